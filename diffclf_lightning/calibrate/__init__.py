"""``diffclf calibrate``: what stored rows of a run permit to fit, for later runs to take."""

from diffclf_lightning.calibrate.command import main
from diffclf_lightning.calibrate.full_errors import PARTS
from diffclf_lightning.calibrate.informative import density_over_time
from diffclf_lightning.calibrate.level import LEVELS

__all__ = ["LEVELS", "PARTS", "density_over_time", "main"]
