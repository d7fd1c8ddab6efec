"""The digits as folders of PNG files."""

from pathlib import Path

from PIL import Image

from diffclf_lightning.datamodules import Digits
from diffclf_lightning.datamodules.digits import to_bytes


def write_digits(root, train=100, test=20, classes=10):
    """The first images of the digits below ``train`` and ``test``, one folder a class name."""
    digits = Digits()
    pixels = to_bytes(digits.images)
    kept = [i for i, label in enumerate(digits.labels) if label < classes]
    for place, i in enumerate(kept[: train + test]):
        split = "train" if place < train else "test"
        folder = Path(root) / split / digits.classnames[digits.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(folder / f"{i}.png")
