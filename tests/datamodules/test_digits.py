import pytest
import torch
from sklearn.datasets import load_digits

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import Augmentation, Digits
from diffclf_lightning.datamodules.digits import SHIFTS
from diffclf_lightning.denoisers import ResizeCenterCrop


def loaded(name="digits", **kwargs):
    data = Digits(test_sets=[name], batch_size=1000, **kwargs)
    data.transform = ResizeCenterCrop(8, channels=1)
    return next(iter(data.test_dataloader()[name]))


def test_held_out_images_are_the_last_500():
    batch = loaded()
    images, labels = batch["image"], batch["label"]
    bunch = load_digits()
    assert batch["key"] == [str(i) for i in range(1297, 1797)]
    assert batch["readable"].all()
    assert labels.tolist() == bunch.target[1297:].tolist()
    levels = images[:, 0].double() / 255 * 16
    assert (levels - torch.from_numpy(bunch.images[1297:])).abs().max() < 0.05


def test_training_never_sees_a_held_out_image():
    data = Digits(augment=0.0, batch_size=1297)
    data.transform = ResizeCenterCrop(8, channels=1)
    batch = next(iter(data.train_dataloader()))
    images, labels = batch["image"], batch["label"]
    bunch = load_digits()
    expected = torch.from_numpy(bunch.images[:1297] / 16 * 255).round()
    key = (images[:, 0].double() * torch.arange(64).reshape(8, 8)).sum(dim=(1, 2))
    assert torch.equal(
        key.sort().values, (expected * torch.arange(64).reshape(8, 8)).sum((1, 2)).sort().values
    )
    assert sorted(labels.tolist()) == sorted(bunch.target[:1297].tolist())


@pytest.mark.parametrize("name", [*SHIFTS, "fonts"])
def test_shifted_sets_keep_labels_and_change_pixels(name):
    batch, held_out = loaded(name), loaded()
    images, labels = batch["image"], batch["label"]
    if name == "fonts":
        assert labels.bincount().tolist() == [len(labels) // 10] * 10
        assert len(set(batch["key"])) == len(labels) >= 150
        assert [int(key.split("/")[1]) for key in batch["key"]] == labels.tolist()
        return
    assert torch.equal(labels, held_out["label"])
    assert batch["key"] == held_out["key"]
    changed = (images != held_out["image"]).flatten(1).any(dim=1).float().mean()
    assert changed > 0.9
    assert torch.equal(images, loaded(name)["image"])


def test_subset_is_the_first_images():
    few, many = loaded("noise_0.25", num_test=7), loaded("noise_0.25")
    assert torch.equal(few["image"], many["image"][:7])
    assert few["key"] == many["key"][:7]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"test_sets": ["digit"]}, "`test_sets`.*but got digit"),
        ({"test_sets": []}, "but got nothing"),
        ({"num_test": 501}, "`num_test` to be from 1 to 500, but got 501"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"shift": "fonts"}, "`shift`.*rotation_30.*but got 'fonts'"),
        ({"shots": 0}, "`shots`"),
        ({"shots": 2, "num_train": 12}, "`shots` to be from 1 to 1.*but got 2"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(InputError, match=message):
        Digits(**kwargs)


def test_augmentation_changes_the_share_that_was_asked_for(seed):
    images = torch.randint(256, (2000, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(Augmentation(share=0)(images), images)
    changed = (Augmentation(share=0.7)(images) != images).flatten(1).any(dim=1).float().mean()
    assert changed == pytest.approx(0.7, abs=0.05)


def test_shots_are_as_many_of_each_class_of_the_shifted_training_images():
    """Those of a seed; fewer are a part of more."""
    bunch = load_digits()
    pixels = (SHIFTS["occlusion_3"](bunch.images[:1297] / 16) * 255).round().astype("uint8")
    places = {image.tobytes(): place for place, image in enumerate(pixels)}

    def chosen(shots, **kwargs):
        data = Digits(shift="occlusion_3", shots=shots, augment=0.0, **kwargs)
        data.transform = ResizeCenterCrop(8, channels=1)
        (batch,) = data.train_dataloader()
        labels = batch["label"].tolist()
        assert sorted(labels) == sorted(list(range(10)) * shots)
        found = [places[image.numpy().tobytes()] for image in batch["image"]]
        assert bunch.target[found].tolist() == labels
        return set(found)

    assert chosen(1) < chosen(4)
    assert chosen(4) == chosen(4)
    assert chosen(4) != chosen(4, seed=1)
