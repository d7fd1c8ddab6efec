"""Distilled models, which did not learn all that a classifier asks of them: they are said to be."""

import re
import warnings
from pathlib import Path
from typing import Any

STEPS = (
    "it was distilled to draw in few steps, and did not learn to predict at all times: errors at "
    "the other ones mean little"
)
GUIDANCE = (
    "guidance was distilled into it: told a scale, it predicts what guidance by that scale would "
    "make of the noise, and no longer the noise itself"
)
SAID_BY_NAMES = re.compile(
    r"turbo|schnell|lightning|\blcm\b|hyper|distill|\bdmd\d?\b|(?<!\d)[1-8]-?steps?\b", re.I
)
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")


def say_distilled(denoiser: Any, path: str | Path) -> None:
    """Warn of a model that was distilled, with the reason.

    Args:
        denoiser: The model; a family knows more by its ``distilled``.
        path: Its folder or hub id, whose name may tell.
    """
    reasons = list(denoiser.distilled)
    if STEPS not in reasons and (told := _told_by(denoiser, Path(path).name)):
        reasons.insert(0, f"{STEPS} (by {told})")
    if reasons:
        warnings.warn(
            f"{str(path)!r} may be a poor classifier: {'; '.join(reasons)}. Take the model that it "
            "was made of, or learn which times to trust (diffclf calibrate).",
            stacklevel=5,
        )


def _told_by(denoiser: Any, name: str) -> str | None:
    """What tells that a model draws in few steps."""
    if found := SAID_BY_NAMES.search(name.replace("_", " ")):
        return f"its name, {found[0]!r}"
    scheduler = type(denoiser.schedule.scheduler).__name__
    if scheduler in FEW_STEP_SCHEDULERS:
        return f"its {scheduler}"
    if getattr(getattr(denoiser.network, "config", None), "time_cond_proj_dim", None):
        return "its network, which is told a scale of guidance (time_cond_proj_dim)"
    return None
