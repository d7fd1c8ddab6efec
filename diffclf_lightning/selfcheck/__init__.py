"""Whether a model is told and understood rightly: latents, sign, time, conditioning, speed."""

from diffclf_lightning.selfcheck.checks import selfcheck
from diffclf_lightning.selfcheck.command import main
from diffclf_lightning.selfcheck.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "main", "selfcheck"]
