"""Figures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from diffclf_lightning.answers import Predictions, as_batch
from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns = Predictions | Mapping[str, Any]
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
MANY = 12
"""With more labels than this, only those of lowest score are drawn."""


class ErrorFigure(Callback):
    """Draws a few images of each test set with the error of every class.

    Args:
        images: Number of images of a set. Defaults to 6.
        folder: Where ``errors-SET.png`` go. Defaults to None: the folder of the results.
    """

    def __init__(self, images: int = 6, folder: str | Path | None = None) -> None:
        if images < 1:
            raise InputError(f"Expected argument `images` to be at least 1, but got {images}.")
        self.images, self.folder = images, folder
        self._shown: dict[str, list[tuple[Tensor, Predictions, int]]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a test whose figures could not be drawn at its end."""
        if stage == "test":
            needed("matplotlib", "figures")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._shown = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        image = as_batch(batch).get("image")
        if not trainer.is_global_zero or not isinstance(outputs, Predictions) or image is None:
            return
        shown = self._shown.setdefault(outputs.set_name, [])
        for place, row in enumerate(outputs.rows[: self.images - len(shown)]):
            shown.append((image[row].cpu(), outputs, place))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = self.folder or results_folder(trainer)
        if folder is None or not trainer.is_global_zero:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        names = getattr(pl_module, "label_names", None)
        for set_name, shown in self._shown.items():
            figure = draw_errors(shown, names)
            figure.savefig(Path(folder) / f"errors-{set_name}.png", dpi=150)


def draw_errors(
    shown: Sequence[tuple[Tensor, Columns, int]], classnames: Any | None = None
) -> "Figure":
    """Images above the errors of their classes.

    Args:
        shown: Image, results of its batch by column, and its place in them.
        classnames: Names of the labels. Defaults to None: their numbers.
    """
    with needed("matplotlib", "figures").rc_context(STYLE):
        kind = needed("matplotlib.figure", "figures").Figure
        figure: Figure = kind(figsize=(1.7 * len(shown) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(2, len(shown), squeeze=False, height_ratios=[1, 2])
        for column, (image, predictions, place) in enumerate(shown):
            axes[0, column].imshow(_displayed(image), cmap="gray")
            axes[0, column].set_axis_off()
            _draw_scores(axes[1, column], predictions, place, classnames)
        figure.supxlabel("error above that of the predicted class, with its standard error")
        figure.suptitle("dot: predicted class   star: true class")
    return figure


def _draw_scores(axis: "Axes", predictions: Columns, place: int, classnames: Any | None) -> None:
    scores = predictions["scores"][place]
    finite = int(scores.isfinite().sum())
    labels = scores.argsort()[: min(MANY, finite)]
    if finite <= MANY:
        labels = labels.sort().values
    above = (scores - scores.min())[labels]
    spread = predictions["standard_errors"][place][labels].nan_to_num(0)
    predicted = int(predictions["prediction"][place])
    rows = list(range(len(labels)))
    axis.barh(rows, above.tolist(), xerr=spread.tolist(), color="#a9c4e4", error_kw={"lw": 0.7})
    known = predictions["label"]
    truth = None if known is None else int(known[place])
    names = [str(int(i)) if classnames is None else str(classnames[int(i)]) for i in labels]
    starred = [f"{n} ★" if int(i) == truth else n for n, i in zip(names, labels, strict=True)]
    axis.set_yticks(rows, starred)
    axis.plot(
        [0], [labels.tolist().index(predicted)], "o", color="#1b4f8a", markersize=5, clip_on=False
    )
    axis.invert_yaxis()
    axis.set_xlim(left=0)


def _displayed(image: Tensor) -> Any:
    scaled = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    pixels = scaled.permute(1, 2, 0).numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
