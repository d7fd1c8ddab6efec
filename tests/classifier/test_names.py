"""Names decide: through a Trainer, and without one."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import LightningDataModule
from PIL import Image
from running import quiet_trainer, run
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import Classification, DiffusionClassifier, Full, InputError
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.guesses import Guess

NAMES = ["ant", "bee", "cat", "dog", "eel", "fox"]
ORDER = [4, 1, 5, 0]
"""Classes of the model that the data has, in its own order."""


class Named(LightningDataModule):
    """Images of some classes, in an order that is not the model's."""

    def __init__(self, data, order=ORDER):
        super().__init__()
        images, labels = data.tensors
        kept = torch.tensor([int(label) in order for label in labels])
        self.classnames = [NAMES[i].upper() for i in order]
        own = torch.tensor([order.index(int(label)) for label in labels[kept]])
        self.data = TensorDataset(images[kept], own)

    def test_dataloader(self):
        return DataLoader(self.data, batch_size=8)

    predict_dataloader = test_dataloader


@pytest.fixture
def named(denoiser):
    denoiser.classnames = NAMES
    return denoiser


def test_names_in_another_order_than_the_models(named, data, tmp_path):
    datamodule = Named(data)
    classifier = DiffusionClassifier(named, Full(20))
    trainer = quiet_trainer(callbacks=[ResultsWriter(tmp_path / "r")])
    trainer.test(classifier, datamodule=datamodule, verbose=False)
    images, labels = datamodule.data.tensors
    means = run(named, images * 2 - 1, Full(20), conditions=ORDER)["l2"].means
    assert classifier.reports["test"].correct == int((means.argmin(dim=1) == labels).sum()) > 8
    rows = pq.read_table(tmp_path / "r" / "images.parquet").to_pylist()
    assert [row["label_name"] for row in rows] == [datamodule.classnames[i] for i in labels]
    for row, best in zip(rows, means.argmin(dim=1), strict=True):
        assert row["prediction_name"] == datamodule.classnames[best]
    assert json.loads((tmp_path / "r/run.json").read_text())["classnames"] == datamodule.classnames
    (out, *_) = quiet_trainer().predict(classifier, datamodule=datamodule)
    assert out["prediction_name"] == [datamodule.classnames[i] for i in means[:8].argmin(dim=1)]


def test_names_that_the_model_lacks_stop_the_run(named, data):
    datamodule = Named(data)
    datamodule.classnames[2] = "foxx"
    evaluated = []
    named.predict = evaluated.append
    with pytest.raises(InputError, match="'foxx' \\(nearest: 'fox'\\)"):
        quiet_trainer().test(DiffusionClassifier(named, Full(2)), datamodule=datamodule)
    assert not evaluated


def test_position_decides_when_asked(named, data):
    datamodule = Named(data, list(range(6)))
    datamodule.classnames = [f"class {i}" for i in range(6)]
    classifier = DiffusionClassifier(named, Full(20), classes_by_position=True)
    quiet_trainer().test(classifier, datamodule=datamodule, verbose=False)
    assert classifier.reports["test"].accuracy > 0.7


def test_priors_enter_as_bayes_rule_says(named, data):
    images, _ = data.tensors
    priors = dict(zip(NAMES, [0.5, 1, 400, 2, 0.01, 1], strict=True))
    classifier = DiffusionClassifier(named, Full(9), temperature=10.0, task=Classification(priors))
    means = run(named, images * 2 - 1, Full(9))["l2"].means.double()
    joint = (-10 * means).exp() * torch.tensor(list(priors.values()))
    expected = joint / joint.sum(dim=1, keepdim=True)
    assert classifier(images).exp().numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    best = expected.argmax(dim=1).tolist()
    assert best != means.argmin(dim=1).tolist()  # priors do matter here
    assert [guess.label for guess in classifier.classify(images)] == best
    (out,) = quiet_trainer().predict(classifier, DataLoader(data, batch_size=24))
    assert out["prediction"].tolist() == best


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_size_of_priors_does_not_matter(named, data, size):
    images, _ = data.tensors
    tasks = [Classification([prior * scale for prior in range(1, 7)]) for scale in (1.0, size)]
    one, other = (DiffusionClassifier(named, Full(3), task=task)(images).exp() for task in tasks)
    assert other.numpy() == pytest.approx(one.numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"ant": 1.0, "bees": 1.0}, "'bees' \\(nearest: bee"),
        ({"ant": 1.0}, "each of the 6 classes"),
        ([1.0] * 5, "each of the 6 classes"),
        ([1.0] * 5 + [0.0], "above 0"),
        ([1.0] * 5 + [float("nan")], "above 0"),
        ([1.0] * 5 + [1e-40], "none below 1e-30 of the largest"),
    ],
)
def test_bad_priors_are_named(named, data, priors, message):
    classifier = DiffusionClassifier(named, Full(2), task=Classification(priors))
    with pytest.raises(InputError, match=message):
        quiet_trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)


def test_classifying_without_a_trainer_equals_the_formula(named, data):
    images, _ = data.tensors
    classifier = DiffusionClassifier(named, Full(30), temperature=50.0).train()
    chosen = ["dog", "ant", "fox"]
    means = run(named, images * 2 - 1, Full(30), conditions=[3, 0, 5])["l2"].means
    posterior = (-50 * means.double()).softmax(dim=1)
    guesses = classifier.classify(images, chosen, batch_size=7)
    assert classifier.training
    assert len(guesses) == len(images)
    for guess, mean, probability in zip(guesses, means, posterior, strict=True):
        assert guess.name == chosen[int(mean.argmin())] == chosen[guess.label]
        assert list(guess.probabilities) == [chosen[i] for i in mean.argsort()]
        assert guess.scores[guess.name] == pytest.approx(float(mean.min()), abs=1e-6)
        assert guess.probability == pytest.approx(float(probability.max()), abs=1e-4)
        assert (guess.evaluations, guess.calibrated) == (90, True)
    log_probabilities = classifier(images)
    assert log_probabilities.shape == (24, 6)
    assert log_probabilities.exp().sum(dim=1).tolist() == pytest.approx([1] * 24)


def test_images_of_every_kind_give_one_answer(named, tmp_path):
    """What they hold is the same: pixels of a grey image of another size than the model's."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    classifier = DiffusionClassifier(named, Full(3))
    kinds = [
        Image.fromarray(pixels), tmp_path / "image.png", str(tmp_path / "image.png"), pixels,
        pixels[..., None], np.stack([pixels] * 3, axis=2), pixels / 255.0,
        torch.from_numpy(pixels), torch.from_numpy(pixels)[None],
        torch.from_numpy(pixels)[None].float() / 255,
    ]  # fmt: skip
    first, *others = classifier.classify(kinds)
    assert all(guess == first or _alike(guess, first) for guess in others)
    assert _alike(classifier.classify(kinds[0]), first)


def _alike(one: Guess, other: Guess) -> bool:
    return all(math.isclose(one.scores[n], other.scores[n], abs_tol=1e-6) for n in NAMES)


@pytest.mark.parametrize("bad", [3, np.ones((2, 2, 2)), np.full((2, 2), 2.0), np.ones((2, 2), int)])
def test_what_is_no_image_is_refused(named, bad):
    with pytest.raises(InputError, match="Expected an image as a PIL image"):
        DiffusionClassifier(named, Full(2)).classify([bad])


def test_a_temperature_that_came_with_the_model_belongs_to_its_score(named):
    named.calibration = Calibration(7.0, "l2", 100)
    with_it, without = DiffusionClassifier(named), DiffusionClassifier(named, loss="l1")
    assert (with_it.temperature, with_it.calibrated) == (7.0, True)
    assert (without.temperature, without.calibrated) == (1.0, False)
    assert DiffusionClassifier(named, temperature=3.0).temperature == 3.0


def test_without_a_fitted_temperature_the_report_says_so(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Full(2))
    quiet_trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)
    assert any("not calibrated" in note for note in classifier.reports["test"].notes)
    classifier = DiffusionClassifier(denoiser, Full(2), temperature=1.0)
    quiet_trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)
    assert not any("not calibrated" in note for note in classifier.reports["test"].notes)
