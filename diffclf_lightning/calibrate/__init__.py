"""``diffclf calibrate``: what stored rows of a run permit to fit, for later runs to take."""

from diffclf_lightning.calibrate.command import main
from diffclf_lightning.calibrate.full_errors import PARTS
from diffclf_lightning.calibrate.informative import density_over_time
from diffclf_lightning.calibrate.level import LEVELS
from diffclf_lightning.calibrate.score_fit import MOST_VALUES

__all__ = ["LEVELS", "MOST_VALUES", "PARTS", "density_over_time", "main"]
