"""What the classifier takes, and what it says of what it does not take."""

import pytest
import torch
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    DiffusionClassifier,
    ExponentialWeight,
    Full,
    InputError,
    PiecewiseWeight,
    WeightedError,
)
from diffclf_lightning.datamodules import ImageSet


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature`"),
        ({"evaluations_per_batch": 0}, "`evaluations_per_batch`"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"temperature": 2.0, "calibration": "x"}, "got both"),
        ({"calibration": "nowhere"}, "`calibration`"),
        ({"loss": "l3"}, "`loss`"),
        ({"template": "a {}"}, "`classnames` with a template"),
        ({"template": "a photo", "classnames": ["x"]}, "`template`"),
        ({"classnames": ["x"] * 5}, "5 names for 6 classes"),
        ({"candidates": Candidates([0], [0]), "template": "a {}"}, "got both"),
        ({"candidates": Candidates([0, 1], [0, 1])}, r"labels of set 'test'.*but got 2"),
    ],
)
def test_bad_arguments_are_named_before_any_evaluation(denoiser, data, arguments, message):
    evaluated = []
    denoiser.predict = evaluated.append

    def go():
        classifier = DiffusionClassifier(denoiser, **{"strategy": Full(2), **arguments})
        quiet_trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)

    with pytest.raises(InputError, match=message):
        go()
    assert not evaluated


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (TensorDataset(torch.rand(2, 1, 4, 4)), r"\(image, label\)"),
        (TensorDataset(torch.rand(2, 1, 4, 4), torch.rand(2)), r"integer labels"),
        (TensorDataset(torch.rand(2, 1, 5, 4), torch.zeros(2).long()), r"shape \(batch, 1, 4, 4\)"),
        (TensorDataset(torch.rand(2, 1, 4, 4) - 3, torch.zeros(2).long()), r"in \[0, 1\]"),
    ],
)
def test_bad_batches_are_named_before_any_evaluation(denoiser, dataset, message):
    evaluated = []
    denoiser.predict = evaluated.append
    with pytest.raises(InputError, match=message):
        quiet_trainer().test(DiffusionClassifier(denoiser), DataLoader(dataset, batch_size=2))
    assert not evaluated


def test_unreadable_images_are_left_out_and_counted(denoiser, data):
    """A data set says so; all others are classified as if these were not there."""
    images, labels = data.tensors
    could = torch.ones(24, dtype=torch.bool)
    could[[3, 10, 11]] = False
    classifier = DiffusionClassifier(denoiser, Full(3))
    parts = zip(images, labels, could, strict=True)
    samples = [{"image": i, "label": c, "readable": r} for i, c, r in parts]
    loader = DataLoader(samples, batch_size=5)
    quiet_trainer().test(classifier, loader, verbose=False)
    report = classifier.reports["test"]
    assert (report.total, report.skipped) == (21, 3)
    keys = [key for p in quiet_trainer().predict(classifier, loader) for key in p.keys]
    assert keys == [str(i) for i in range(24) if i not in (3, 10, 11)]


def test_predict_takes_images_with_anything_beside_them(denoiser, data):
    pairs = [(image, f"file {i}") for i, image in enumerate(data.tensors[0])]
    (out,) = quiet_trainer().predict(DiffusionClassifier(denoiser, Full(3)), DataLoader(pairs, 24))
    assert len(out["prediction"]) == 24


def test_foreign_attributes_of_a_data_set_are_left_alone(denoiser, data):
    """Many data sets have `labels` or a method `keys` of another meaning."""
    data.labels = ["some", "thing"]
    data.keys = dict.keys
    classifier = DiffusionClassifier(denoiser, Full(3))
    quiet_trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)
    assert classifier.reports["test"].total == 24


def test_one_label_is_refused(denoiser, data):
    classifier = DiffusionClassifier(denoiser, candidates=Candidates([0], [0]))
    with pytest.raises(InputError, match="at least two labels"):
        quiet_trainer().test(classifier, DataLoader(data, batch_size=24))


def test_unlabelled_images_marked_minus_one_are_predicted(denoiser, data):
    """Prediction counts nothing, and leaves labels aside."""
    images, labels = data.tensors
    loader = DataLoader(TensorDataset(images, labels * 0 - 1), batch_size=24)
    (out,) = quiet_trainer().predict(DiffusionClassifier(denoiser, Full(3)), loader)
    assert len(out["prediction"]) == 24


@pytest.mark.parametrize("command", ["test", "validate"])
@pytest.mark.parametrize("wrong", [-1, 6])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_wrong_label_is_refused_with_its_image(denoiser, data, command, wrong, keyed):
    """Images that could not be read are marked `readable`, never by a label."""
    images, labels = data.tensors[0], data.tensors[1].clone()
    labels[9] = wrong
    samples = [
        {"image": x, "label": c, **({"key": f"k{i}"} if keyed else {})}
        for i, (x, c) in enumerate(zip(images, labels, strict=True))
    ]
    where = "k9" if keyed else "number 2 of its batch"
    name = {"test": "test", "validate": "val"}[command]
    with pytest.raises(InputError, match=rf"set '{name}'.*but got {wrong} for image {where}\."):
        getattr(quiet_trainer(), command)(
            DiffusionClassifier(denoiser, Full(3)), DataLoader(samples, batch_size=7)
        )


def test_a_wrong_label_of_a_set_of_this_package_is_refused_before_the_first_image(denoiser):
    class Blank(ImageSet):
        def image(self, index):
            raise AssertionError("no image is to be read")

    images = Blank([0, 1, -1], keys=["a", "b", "c"])
    with pytest.raises(InputError, match=r"set 'test'.*but got -1 for image c\."):
        quiet_trainer().test(DiffusionClassifier(denoiser, Full(3)), DataLoader(images))


def test_samples_with_keys_and_further_entries(denoiser, data):
    """Mappings are taken as they are: keys name the samples, the rest is left alone."""
    parts = enumerate(zip(*data.tensors, strict=True))
    samples = [{"note": f"n{i}", "key": f"k{i}", "label": c, "image": x} for i, (x, c) in parts]
    classifier = DiffusionClassifier(denoiser, Full(3))
    out = quiet_trainer().predict(classifier, DataLoader(samples, batch_size=7, shuffle=True))
    assert sorted(key for p in out for key in p.keys) == sorted(f"k{i}" for i in range(24))
    (whole,) = quiet_trainer().predict(classifier, DataLoader(data, batch_size=24))
    expected = dict(zip((f"k{i}" for i in range(24)), whole["prediction"].tolist(), strict=True))
    for part in out:
        mine = dict(zip(part.keys, part["prediction"].tolist(), strict=True))
        assert mine == {key: expected[key] for key in mine}


def test_samples_of_one_key_are_refused(denoiser, data):
    """They would count as one."""
    parts = enumerate(zip(*data.tensors, strict=True))
    samples = [{"image": x, "label": c, "key": f"k{i // 2}"} for i, (x, c) in parts]
    with pytest.raises(InputError, match=r"`key`.*'test'.*'k0'"):
        quiet_trainer().test(
            DiffusionClassifier(denoiser, Full(2)), DataLoader(samples, batch_size=1)
        )


def test_keys_may_be_numbers_and_anything_may_come_first(denoiser, data):
    parts = enumerate(zip(*data.tensors, strict=True))
    samples = [{"split": "a", "key": 7 + i, "image": x, "label": c} for i, (x, c) in parts]
    out = quiet_trainer().predict(
        DiffusionClassifier(denoiser, Full(2)), DataLoader(samples, batch_size=5)
    )
    assert [key for p in out for key in p.keys] == [str(7 + i) for i in range(24)]


@pytest.mark.parametrize(
    "batch",
    [
        {"image": torch.rand(3, 1, 4, 4), "label": torch.zeros(2).long()},
        {"image": torch.rand(3, 1, 4, 4), "label": torch.zeros(3).bool()},
        {"image": torch.rand(3, 1, 4, 4), "label": torch.zeros(3).long(), "key": ["a"]},
        {"image": "a", "label": torch.zeros(3).long()},
    ],
)
def test_batches_that_do_not_fit_together_are_named(denoiser, batch):
    loader = DataLoader([batch], batch_size=None)
    with pytest.raises(InputError, match="image"):
        quiet_trainer().test(DiffusionClassifier(denoiser, Full(2)), loader)


@pytest.mark.parametrize("weight", [ExponentialWeight(-1e4), PiecewiseWeight([0] * 99 + [1])])
def test_a_weight_that_leaves_nothing_is_named_before_any_evaluation(denoiser, data, weight):
    evaluated = []
    denoiser.predict = evaluated.append
    classifier = DiffusionClassifier(denoiser, Full(4), score=WeightedError(weight, "l2"))
    with pytest.raises(InputError, match="`weight`"):
        quiet_trainer().test(classifier, DataLoader(data, batch_size=24))
    assert not evaluated


def test_a_score_by_name_is_refused(denoiser):
    with pytest.raises(InputError, match="`score`"):
        DiffusionClassifier(denoiser, score="l1")
