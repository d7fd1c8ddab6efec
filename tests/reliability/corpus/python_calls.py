"""Calls from Python: constructors, data of the user's own, single images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from own_images import classifier, trainer
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from corpus.case import Case, Outcome
from corpus.pictures import digit
from diffclf_lightning import (
    AutoDenoiser,
    Comparing,
    DiffusionClassifier,
    Full,
    Racing,
    Staged,
)
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.datamodules import Digits, ImageCSV, ImageFiles, ImageFolder
from diffclf_lightning.denoisers import GaussianDenoiser

GOOD = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Samples(Dataset[Any]):
    """Gives what it was given."""

    def __init__(self, *samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


class Failing(Samples):
    """Fails by itself."""

    def __getitem__(self, index: int) -> Any:
        raise KeyError("mine")


def a_test(images: Any = GOOD, labels: Any = LABELS, **options: Any) -> Callable[[], object]:
    """A test of two tensors, with stored results."""
    data = TensorDataset(images, labels)
    return of_loader(lambda: DataLoader(data, batch_size=3, **options))


def of_loader(loader: Callable[[], Any], method: str = "test") -> Callable[[], object]:
    """A test of a loader."""

    def call() -> None:
        run = trainer(callbacks=[ResultsWriter("out")])
        getattr(run, method)(classifier(), loader())

    return call


def of_samples(*samples: Any, **options: Any) -> Callable[[], object]:
    """A test of some samples."""
    return of_loader(lambda: DataLoader(Samples(*samples), batch_size=3, **options))


def data(name: str, call: Callable[[], object], says: str, late: bool = False) -> Case:
    """Data that is refused."""
    return Case(f"data set: {name}", call=call, says=says, late=late)


def made(name: str, call: Callable[[], object], says: str) -> Case:
    """A constructor that refuses."""
    return Case(f"python: {name}", call=call, says=says)


def good(
    name: str,
    call: Callable[[], object],
    images: int | None = 6,
    outcome: Outcome = "works",
    says: str = "",
) -> Case:
    """Data that is odd and right."""
    counted = None if images is None else (("test", images),)
    return Case(f"data set: {name}", call=call, outcome=outcome, images=counted, says=says)


def classified(image: Any, **options: Any) -> Callable[[], object]:
    """One image without a Trainer."""
    return lambda: classifier().classify(image, **options)


ONE = GOOD[0]
NAN = GOOD.clone()
NAN[4, 0, 0, 0] = float("nan")
INFINITE = GOOD.clone()
INFINITE[1, 0, 0, 0] = float("inf")
DATA = [
    data("floating point up to 255", a_test(GOOD * 255), "[0, 1]"),
    data("floating point from -1", a_test(GOOD * 2 - 1), "[0, 1]"),
    data("pixels of NaN", a_test(NAN), "NaN", late=True),
    data("pixels of infinity", a_test(INFINITE), "infinity"),
    data("int64 pixels", a_test((GOOD * 255).long()), "int64"),
    data("boolean pixels", a_test(GOOD > 0.5), "bool"),
    data("complex pixels", a_test(GOOD.to(torch.complex64)), "complex64"),
    data("three channels", a_test(GOOD.expand(-1, 3, -1, -1)), "(3, 3, 8, 8)"),
    data("another size", a_test(torch.rand(6, 1, 9, 9)), "(3, 1, 9, 9)"),
    data("channels last", a_test(GOOD.permute(0, 2, 3, 1)), "8, 8, 1"),
    data("no channels", a_test(GOOD[:, 0]), "(3, 8, 8)"),
    data("labels of floating point", a_test(labels=LABELS.float()), "integer labels"),
    data("boolean labels", a_test(labels=LABELS > 0), "integer labels"),
    data("one-hot labels", a_test(labels=torch.eye(3)[LABELS]), "integer labels"),
    data("labels from one", a_test(labels=LABELS + 1), "3"),
    data("a label of -1", a_test(labels=LABELS - 1), "-1"),
    data("a label of 255", a_test(labels=torch.tensor([0, 1, 2, 255, 1, 2])), "255", late=True),
    data("no labels", of_loader(lambda: DataLoader(Samples(*GOOD), batch_size=3)), "label"),
    data("labels of text", of_samples(*((one, "ant") for one in GOOD)), "integer labels"),
    data(
        "PIL images",
        of_samples(
            *((digit(), 0) for _ in range(3)), collate_fn=lambda s: tuple(zip(*s, strict=True))
        ),
        "tensor",
    ),
    data("arrays in lists", of_samples(*((one.tolist(), 0) for one in GOOD)), "tensor"),
    data("None for an image", of_samples((None, 0), collate_fn=lambda s: s[0]), "tensor"),
    data("an empty mapping", of_samples({"a": 1}), "image"),
    data(
        "a mapping of other names",
        of_samples(*({"img": one, "target": 0} for one in GOOD)),
        "image",
    ),
    data(
        "keys twice, of two images",
        of_samples(*({"image": one, "label": 0, "key": "a"} for one in GOOD[:2])),
        "'a'",
    ),
    data(
        "labels of another number",
        of_samples((GOOD[:3], LABELS[:2]), collate_fn=lambda s: s[0]),
        "entries",
    ),
    data(
        "a label that a set does not hold",
        a_test(labels=torch.tensor([0, 1, 2, 0, 1, 3])),
        "3",
        late=True,
    ),
    Case(
        "data set: one that fails by itself",
        own="KeyError",
        call=of_loader(lambda: DataLoader(Failing(1))),
    ),
    good("as it should be", a_test()),
    good("bytes", a_test((GOOD * 255).byte())),
    good("half precision", a_test(GOOD.half())),
    good("double precision", a_test(GOOD.double())),
    good("labels of eight bits", a_test(labels=LABELS.byte())),
    good("labels of 32 bits", a_test(labels=LABELS.int())),
    good("numbers for labels", of_samples(*((one, i % 3) for i, one in enumerate(GOOD)))),
    good("more than images and labels", of_samples(*((one, 0, "more", 7) for one in GOOD))),
    good("the same image many times", of_samples(*((ONE, 0) for _ in range(6)))),
    good("one image", of_samples((ONE, 1)), 1),
    good("a last batch that is left out", a_test(drop_last=True, shuffle=False), 6),
    good("a shuffled loader", a_test(shuffle=True)),
    good("images in memory that is no row", a_test(GOOD.transpose(2, 3))),
    good("images that want a gradient", a_test(GOOD.clone().requires_grad_())),
    good("no images", of_loader(lambda: DataLoader(Samples())), None, "warned", "is zero"),
]
MADE = [
    made("a batch size of None", lambda: ImageFolder("images", batch_size=None), "batch_size"),
    made("a batch size in words", lambda: ImageFolder("images", batch_size="64"), "batch_size"),
    made("a batch size of a half", lambda: ImageFolder("images", batch_size=0.5), "batch_size"),
    made("digits without a number", lambda: Digits(num_test=None), "num_test"),
    made("test sets of None", lambda: Digits(test_sets=None), "test_sets"),
    made("a test set alone", lambda: Digits(test_sets="digits"), "test_sets"),
    made("no paths", lambda: ImageFiles([]).setup("predict"), "paths"),
    made("paths of None", lambda: ImageFiles(None), "`paths`"),
    made("a table of None", lambda: ImageCSV(None), "path"),
    made("a root of None", lambda: ImageFolder(None), "path"),
    made("no trials", lambda: Full(0), "trials"),
    made("trials in words", lambda: Full("all"), "trials"),
    made("half a trial", lambda: Full(2.5), "trials"),
    made("trials of None", lambda: Racing(max_trials=None), "max_trials"),
    made("a level of nan", lambda: Racing(level=float("nan")), "level"),
    made("a level of two", lambda: Racing(level=2), "level"),
    made("growth of one", lambda: Racing(growth=1.0), "growth"),
    made("growth of nan", lambda: Racing(growth=float("nan")), "growth"),
    made("no stages", lambda: Staged([], []), "trials"),
    made("a stage in words", lambda: Staged(["a"], [1]), "trials"),
    made("a comparison of nan", lambda: Comparing(level=float("nan")), "level"),
    made(
        "a denoiser that is a text", lambda: DiffusionClassifier("diffclf/digits-dit"), "denoiser"
    ),
    made("a denoiser of None", lambda: DiffusionClassifier(None), "denoiser"),
    made("a strategy that is a number", lambda: DiffusionClassifier(gaussian(), 100), "strategy"),
    made("a strategy that is a class", lambda: DiffusionClassifier(gaussian(), Racing), "strategy"),
    made("an unknown loss", lambda: DiffusionClassifier(gaussian(), loss="mse"), "mse"),
    made("a loss that is a number", lambda: DiffusionClassifier(gaussian(), loss=2), "loss"),
    made(
        "a temperature of nan",
        lambda: DiffusionClassifier(gaussian(), temperature=float("nan")),
        "temperature",
    ),
    made("a seed in words", lambda: DiffusionClassifier(gaussian(), seed="a"), "seed"),
    made("an empty template", lambda: of_words(template=""), "template"),
    made("a template without a place", lambda: of_words(template="a photo"), "template"),
    made("a template with a name", lambda: of_words(template="a {name}"), "template"),
    made("a template with two places", lambda: of_words(template="{} {}"), "template"),
    made("no templates", lambda: of_words(template=[]), "template"),
    made("an unknown model", lambda: AutoDenoiser.from_pretrained("diffclf/none"), "diffclf/"),
    made(
        "a model of None",
        lambda: AutoDenoiser.from_pretrained(None),
        "pretrained_model_name_or_path",
    ),
    made(
        "an unknown type",
        lambda: AutoDenoiser.from_pretrained("diffclf/digits-dit", torch_dtype="float8"),
        "torch_dtype",
    ),
    made(
        "a negative number of thumbnails", lambda: ResultsWriter("out", thumbnails=-1), "thumbnails"
    ),
]
CLASSIFY = [
    made("classify nothing", classified(None), "image"),
    made("classify a number", classified(3), "image"),
    made("classify a path of nothing", classified("cat.jpg"), "cat.jpg"),
    made("classify a folder", classified("/"), "/"),
    made("classify an array of five channels", classified(np.zeros((8, 8, 5), np.uint8)), "shape"),
    made("classify an empty array", classified(np.zeros((0, 8), np.uint8)), "shape"),
    made("classify an array up to 255", classified(np.full((8, 8), 255.0)), "255"),
    made("classify an array of NaN", classified(np.full((8, 8), np.nan)), "nan"),
    made("classify integers", classified(np.zeros((8, 8), np.int64)), "int64"),
    made("classify words", classified(np.array([["a"]])), "image"),
    made(
        "classify a tensor of two dimensions too many",
        classified(torch.zeros(1, 1, 1, 8, 8)),
        "image",
    ),
    made(
        "classify among names that are too few",
        classified(Image.new("L", (8, 8)), names=["a"]),
        "names",
    ),
    made(
        "classify among the same name twice",
        classified(Image.new("L", (8, 8)), names=["a", "a", "b"]),
        "names",
    ),
    good("classify a PIL image", classified(Image.new("L", (8, 8))), None),
    good("classify an image of another size", classified(Image.new("RGB", (50, 3))), None),
    good("classify a batch", classified(torch.rand(2, 1, 8, 8)), None),
    good("classify an empty list", classified([]), None),
    good("classify an array", classified(np.zeros((8, 8), np.uint8)), None),
]
CASES = [*DATA, *MADE, *CLASSIFY]


def gaussian() -> GaussianDenoiser:
    return GaussianDenoiser(torch.zeros(3, 1, 8, 8), std=0.1)


def of_words(**options: Any) -> DiffusionClassifier:
    denoiser = AutoDenoiser.from_pretrained("diffclf/digits-text")
    return DiffusionClassifier(denoiser, classnames=["zero", "one"], **options)
