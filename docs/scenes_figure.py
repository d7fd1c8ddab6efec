"""Draws examples of the scenes: ``python docs/scenes_figure.py``."""

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from diffclf_lightning.datamodules import Scenes

TARGET = Path(__file__).parent / "images" / "scenes.png"
EXAMPLES = (3, 0, 1, 7, 2, 5)
"""Their numbers: two of each kind."""


def main() -> None:
    """Draw them."""
    examples = Scenes().test_sets()["scenes"]
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    axes = figure.subplots(2, len(EXAMPLES))
    for column, number in zip(axes.T, EXAMPLES, strict=True):
        sample = examples[number]
        column[0].set_title(sample["tag"], fontsize=9, fontweight="bold")
        for axis, image, caption in zip(column, sample["images"], sample["captions"], strict=True):
            axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255)
            axis.set_xlabel(fill(caption, 22), fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(TARGET, dpi=130)


if __name__ == "__main__":
    main()
