"""ErrorFigure: a few images of each test set with the errors of their classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from diffclf_lightning.answers import Predictions
from diffclf_lightning.callbacks.beside import beside_results
from diffclf_lightning.callbacks.first_images import FirstImages, Shown, answered
from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.files import draw_whole, made
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.paths import file_name, path_of
from diffclf_lightning.results import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns = Predictions | Mapping[str, Any]
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
AGAIN = "the same command with this `results.folder` evaluates nothing and draws again."
MANY = 12
"""With more labels than this, only those of lowest score are drawn."""


class ErrorFigure(Callback):
    """Draws the first images of each test set with the error of every class.

    Args:
        images: Number of images of a set. Defaults to 6.
        folder: Where ``errors-SET.png`` go. Defaults to None: the folder of the results.
    """

    def __init__(self, images: int = 6, folder: str | Path | None = None) -> None:
        if images < 1:
            raise InputError(f"Expected argument `images` to be at least 1, but got {images}.")
        self.images, self.folder = images, None if folder is None else path_of(folder)
        self._first = FirstImages(images)
        self._found: dict[str, list[Shown]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a test whose figures could not be drawn at its end."""
        if stage == "test":
            needed("matplotlib", "figures")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first = FirstImages(self.images, trainer.world_size)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what is to be drawn."""
        if isinstance(pl_module, ImageClassifier):
            current = pl_module.sets[dataloader_idx]
            predictions = outputs if isinstance(outputs, Predictions) else None
            with beside_results(f"Keeping images of {current.name!r} to draw", None, ""):
                self._first.add(batch, predictions, current)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._found = self._first.of_all_ranks()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Draw on one rank, when all else of the run is done."""
        found, self._found, stored = self._found, {}, results_folder(trainer)
        folder = self.folder or stored
        if folder is None or not trainer.is_global_zero:
            return
        names = getattr(pl_module, "label_names", None)
        for set_name, shown in found.items():
            with beside_results(f"Drawing the errors of {set_name!r}", stored, AGAIN):
                known = answered(set_name, shown, None if stored is None else RunFolder(stored))
                made(folder)
                if known:
                    figure = draw_errors([(s.image, s.columns or {}, 0) for s in known], names)
                    draw_whole(figure, folder / f"errors-{file_name(set_name)}.png")


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
    predicted = int(predictions["prediction"][place])
    if predicted not in labels.tolist():  # class priors decided
        labels = torch.cat([labels[:-1], labels.new_tensor([predicted])])
    above = (scores - scores.min())[labels]
    spread = predictions["standard_errors"][place][labels].nan_to_num(0)
    rows = list(range(len(labels)))
    axis.barh(rows, above.tolist(), xerr=spread.tolist(), color="#a9c4e4", error_kw={"lw": 0.7})
    known = predictions["label"]
    truth = None if known is None else int(known[place])
    names = [str(int(i)) if classnames is None else str(classnames[int(i)]) for i in labels]
    starred = [f"{n} ★" if int(i) == truth else n for n, i in zip(names, labels, strict=True)]
    axis.set_yticks(rows, starred, parse_math=False)  # a name may have dollars
    axis.plot(
        [0], [labels.tolist().index(predicted)], "o", color="#1b4f8a", markersize=5, clip_on=False
    )
    axis.invert_yaxis()
    axis.set_xlim(left=0)


def _displayed(image: Tensor) -> Any:
    scaled = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    pixels = scaled.permute(1, 2, 0).numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
