"""Many runs at once: models times data."""

from diffclf_lightning.sweep.command import main
from diffclf_lightning.sweep.plan import Member, Sweep

__all__ = ["Member", "Sweep", "main"]
