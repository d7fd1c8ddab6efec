"""Draws the picture of the method, from the embedded model: ``python docs/method_figure.py``."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffclf_lightning import AutoDenoiser, Denoiser
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.evaluation import Noised

TARGET = Path(__file__).parent / "images" / "method.png"
IMAGE, CLASSES, TIMES = 5, (3, 5, 8, 9), (0.25, 0.45, 0.65)
TRIALS = 200
BLUE, PALE, INK = "#1b4f8a", "#a9c4e4", "#333333"


def said_of(
    x_0: Tensor, denoiser: Denoiser, times: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Noised samples, and what is said of them class by class: estimates of x_0, and errors."""
    noised = Noised(x_0.expand(len(times), -1, -1, -1), noise, denoiser.at(times))
    estimates, errors = [], []
    for label in CLASSES:
        told = denoiser.condition([label]).rows(torch.zeros(len(times), dtype=torch.int64))
        said = denoiser.predict(noised, told)
        estimates.append(said.x_0)
        errors.append((said.noise - noise).square().mean(dim=(1, 2, 3)))
    return noised.x_t, torch.stack(estimates), torch.stack(errors)


@torch.no_grad()
def main() -> None:
    """Draw it."""
    denoiser = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    digits = Digits()
    images = digits.test_sets()["digits"]
    x_0 = denoiser.encode(denoiser.transform(images.image(IMAGE))[None])
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(TRIALS, *x_0.shape[1:], generator=generator)
    times = (torch.arange(TRIALS) + 0.5) / TRIALS
    _, _, errors = said_of(x_0, denoiser, times, noise)
    shown = torch.tensor(TIMES, dtype=torch.float64)
    x_t, estimates, _ = said_of(x_0, denoiser, shown, noise[: len(TIMES)])

    figure = Figure(figsize=(9.2, 4.1), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=[1.0, 2.6, 2.4])
    axis = left.subplots()
    draw(axis, x_0[0])
    left.suptitle("1. an image", fontsize=10, color=INK)

    rows = middle.subplots(len(CLASSES) + 1, len(TIMES))
    middle.suptitle("2. noise, the same for all; denoised as ...", fontsize=10, color=INK)
    for column, time in enumerate(TIMES):
        draw(rows[0][column], x_t[column])
        rows[0][column].set_title(f"t = {time}", fontsize=8, color=INK)
        for row in range(len(CLASSES)):
            draw(rows[row + 1][column], estimates[row, column])
    for row, name in enumerate(("noised", *(digits.classnames[i] for i in CLASSES))):
        rows[row][0].text(
            -0.15, 0.5, name, transform=rows[row][0].transAxes, ha="right", va="center", fontsize=9
        )

    axis = right.subplots()
    right.suptitle(f"3. the smallest error wins ({TRIALS} trials)", fontsize=10, color=INK)
    means = errors.mean(dim=1)
    best = int(means.argmin())
    colours = [BLUE if place == best else PALE for place in range(len(CLASSES))]
    bars = axis.barh([digits.classnames[i] for i in CLASSES], means.tolist(), color=colours)
    axis.bar_label(bars, [f" {mean:.3f}" for mean in means.tolist()], fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(0, float(means.max()) * 1.2)
    axis.set_xlabel("mean squared error of the predicted noise", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET, dpi=150)


def draw(axis: Axes, sample: Tensor) -> None:
    """A sample in [-1, 1] as a picture."""
    axis.imshow(sample[0].clamp(-1, 1), cmap="gray", vmin=-1, vmax=1)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color("#cccccc")


if __name__ == "__main__":
    main()
