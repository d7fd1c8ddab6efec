"""FittedWith: which weights fitted values belong to, so that those of another model do not pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from diffclf_lightning.calibration import Calibration


class FittedWith:
    """The models that were calibrated, by the argument that brings what was fitted.

    Args:
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote, or None.
        score: The score, which may hold what was learned.
        grid: The order of the times, likewise.
    """

    def __init__(self, calibration: str | Path | None, score: Any = None, grid: Any = None) -> None:
        of_path = None if calibration is None else Calibration.load(calibration).model
        models = {"calibration": of_path, "score": _of(score), "grid": _of(grid)}
        self._models = {name: model for name, model in models.items() if model is not None}

    def check(self, weights: Callable[[], str | None]) -> None:
        """Warn once, on rank zero, of each other model; what has no entry of a model is trusted.

        Args:
            weights: Gives the checksum of the model that runs, as ``run.json`` has it, or None.
        """
        models, self._models = self._models, {}
        own = weights() if models else None
        for model in dict.fromkeys(models.values()):
            if own is not None and model != own:
                names = " and ".join(f"`{name}`" for name, one in models.items() if one == model)
                rank_zero_warn(
                    f"What is in {names} was fitted with weights {model}, but those of this model "
                    f"are {own}: it is another one, or in another precision. Calibrate a run of "
                    "this one."
                )


def _of(part: Any) -> str | None:
    """The model of a part, or of the score that it goes around."""
    model: str | None = getattr(part, "fitted_with", None)
    inner = getattr(part, "score", None)
    return model if model is not None or inner is None else _of(inner)
