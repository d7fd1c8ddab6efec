"""Splits of a user's own images, by folders, by a column and by seeded shares."""

import logging
import warnings

import own_images
import pytest
import torch
from PIL import Image

from diffclf_lightning import DenoiserTraining, InputError
from diffclf_lightning.datamodules import Augmentation, ImageCSV, ImageFolder
from diffclf_lightning.datamodules.splits import seeded_splits


def keys(loader):
    return set(loader.dataset.keys)


def shares(names, labels, val, test, seed):
    splits = seeded_splits(names, labels, val, test, seed)
    return {s: {n for n, t in zip(names, splits, strict=True) if t == s} for s in set(splits)}


def test_shares_are_stable_under_added_images_and_reordering(seed):
    names = [f"{label}/{i}.png" for label in range(5) for i in range(200)]
    labels = [int(name[0]) for name in names]
    few = shares(names[::2], labels[::2], 0.2, 0.1, seed)
    all_of_them = shares(names, labels, 0.2, 0.1, seed)
    turned = shares(names[::-1], labels[::-1], 0.2, 0.1, seed)
    assert turned == all_of_them
    assert all(few[split] <= all_of_them[split] for split in few)
    assert len(all_of_them["val"]) == pytest.approx(200, abs=60)
    assert len(all_of_them["test"]) == pytest.approx(100, abs=50)
    assert shares(names, labels, 0.2, 0.1, seed + 1) != all_of_them
    assert shares(names, labels, 0.2, 0.0, seed)["val"] == all_of_them["val"]


@pytest.mark.parametrize(("val", "test"), [(0.01, 0.01), (0.5, 0.49)])
def test_small_classes_have_an_image_in_every_split_as_far_as_they_go(seed, val, test):
    for count, expected in {1: {"train"}, 2: {"train", "val"}, 3: {"train", "val", "test"}}.items():
        assert set(seeded_splits([str(i) for i in range(count)], [0] * count, val, test, seed)) == (
            expected
        )


@pytest.fixture
def root(tmp_path):
    """Folders of splits, under one of their names each."""
    own_images.write(tmp_path / "own/train", 4)
    own_images.write(tmp_path / "own/Validation", 2)
    own_images.write(tmp_path / "own/test", 3, ["bee", "cat"])
    return tmp_path / "own"


@pytest.fixture
def said(caplog):
    """What Lightning's logger says, which does not hand it on."""
    logger = logging.getLogger("lightning.pytorch")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_folders_of_splits_serve_the_stages_they_are_named_after(root):
    module = ImageFolder(root, batch_size=5)
    module.setup("fit")
    assert module.classnames == ("ant", "bee", "cat")
    assert {key.split("/")[0] for key in keys(module.train_dataloader())} == {"train"}
    assert len(module.training_images()) == 12
    assert len(keys(module.val_dataloader())) == 6
    assert module.image_shape() == (1, 8)
    for stage in ("test", "predict"):
        with pytest.warns(UserWarning, match=r"No images of 1 of the 3 classes.*'test'.*'ant'"):
            module.setup(stage)
        assert len(keys(module.predict_dataloader()["folder"])) == 6
        assert set(module.test_sets()["folder"].labels) == {1, 2}
    module.setup("validate")
    assert {key.split("/")[0] for key in keys(module.val_dataloader())} == {"Validation"}


def test_a_class_that_training_does_not_have_is_refused_with_the_nearest(root):
    (root / "test/bee").rename(root / "test/Bees")
    with pytest.raises(InputError, match=r"of 'train', but got 'Bees' \(nearest: 'bee'\)"):
        ImageFolder(root).setup("validate")


def test_a_split_that_is_missing_is_named_with_the_remedy(root):
    (root / "test").rename(root.parent / "elsewhere")
    with pytest.raises(InputError, match=r"split 'test'.*train and val alone.*`test_share`"):
        ImageFolder(root).setup("test")
    module = ImageFolder(root, test_share=0.25)
    module.setup("test")
    tested = keys(module.test_dataloader()["folder"])
    module.setup("fit")
    trained = keys(module.train_dataloader())
    assert len(tested | trained) == 12
    assert not tested & trained


def test_folders_that_may_be_splits_or_classes_are_refused(root):
    own_images.write(root / "extra", 1)
    with pytest.raises(InputError, match=r"once, but got .*train.* beside extra"):
        ImageFolder(root).setup("fit")


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    module = ImageFolder(tmp_path)
    assert len(module.test_sets()["folder"]) == 2
    assert module.classnames == ("bus", "train")


def test_a_flat_split_and_stray_images_hold_up_no_other_stage(root):
    (root / "test/bee").rename(root / "bees")
    for file in [*(root / "test/cat").iterdir(), *(root / "bees").iterdir()]:
        file.rename(root / "test" / f"{file.parent.name}{file.name}")
    for folder in (root / "test/cat", root / "bees"):
        folder.rmdir()
    (root / "train/ant/0.png").rename(root / "train/0.png")
    module = ImageFolder(root)
    with pytest.warns(UserWarning, match="7 images beside the class folders"):
        module.setup("fit")
    assert len(module.training_images()) == 11
    with pytest.raises(InputError, match=r"split 'test'.*train and val alone"):
        module.setup("test")


def test_flat_splits_alone_are_no_classes(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    with pytest.raises(InputError, match="which has none"):
        ImageFolder(tmp_path).setup("fit")


def test_without_splits_fit_holds_out_a_tenth_and_says_so(tmp_path, said):
    module = ImageFolder(own_images.write(tmp_path / "own", 20))
    module.setup("fit")
    assert "10% of each class is held out" in said.text
    trained, validated = keys(module.train_dataloader()), keys(module.val_dataloader())
    assert len(trained | validated) == 60
    assert not trained & validated
    module.setup("validate")
    assert keys(module.val_dataloader()) == validated
    with pytest.warns(UserWarning, match="among them those of the training"):
        module.setup("test")
    assert len(module.test_sets()["folder"]) == 60
    assert module.image_shape() == (1, 8)
    assert len(module.test_sets()["folder"]) == 60
    again = ImageFolder(tmp_path / "own", val_share=0.1)
    assert keys(again.val_dataloader()) == validated
    assert len(keys(ImageFolder(tmp_path / "own").val_dataloader())) == 60


def test_a_share_of_nothing_leaves_all_images_to_train_on(tmp_path):
    module = ImageFolder(own_images.write(tmp_path / "own"), val_share=0)
    module.setup("fit")
    assert module.val_dataloader() == []
    assert len(module.training_images()) == 12


def test_a_share_beside_a_split_is_said_to_be_of_no_effect(root, said):
    module = ImageFolder(root, val_share=0.5)
    module.setup("fit")
    assert "`val_share` has no effect" in said.text
    assert len(module.training_images()) == 12


def test_shots_are_as_many_images_of_each_class_of_those_to_train_on(root):
    module = ImageFolder(root, shots=2, batch_size=100)
    module.setup("fit")
    few = module.training_images()
    assert few.labels == [0, 0, 1, 1, 2, 2]
    assert {key.split("/")[0] for key in few.keys} == {"train"}
    assert len(keys(module.val_dataloader())) == 6
    fewer = ImageFolder(root, shots=1)
    assert set(fewer.training_images().keys) < set(few.keys)
    with pytest.raises(InputError, match="`shots` to be from 1 to 4"):
        ImageFolder(root, shots=5).setup("fit")
    ImageFolder(root, shots=5).setup("validate")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"val_share": 1.0}, r"`val_share` in \[0, 1\), but got 1.0"),
        ({"test_share": -0.1}, "`test_share`"),
        ({"val_share": 0.5, "test_share": 0.5}, "leave images to train on"),
    ],
)
def test_shares_out_of_range_are_named(tmp_path, kwargs, message):
    with pytest.raises(InputError, match=message):
        ImageFolder(tmp_path, **kwargs)


def table(root, *rows, header="path,label,split"):
    file = root / "images.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_a_column_gives_splits(tmp_path):
    own_images.write(tmp_path, 3)
    rows = [f"{c}/{i}.png,{c},{s}" for c in ["ant", "bee", "cat"] for i, s in SPLITS.items()]
    module = ImageCSV(table(tmp_path, *rows))
    module.setup("fit")
    assert keys(module.train_dataloader()) == {"ant/0.png", "bee/0.png", "cat/0.png"}
    assert keys(module.val_dataloader()) == {"ant/1.png", "bee/1.png", "cat/1.png"}
    assert set(module.test_sets()["csv"].keys) == {"ant/2.png", "bee/2.png", "cat/2.png"}


SPLITS = dict(enumerate(["train", "valid", "TEST"]))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ant/1.png,ant,dev", "train, val or test in column split in line 3.*'dev'"),
        ("ant/1.png,ant,", "column split in line 3.*empty"),
        ("ant/0.png,ant,test", "each image once in line 3"),
    ],
)
def test_a_wrong_split_is_named_by_its_line(tmp_path, row, said):
    own_images.write(tmp_path, 2)
    with pytest.raises(InputError, match=said):
        ImageCSV(table(tmp_path, "ant/0.png,ant,train", row)).setup("fit")


def test_a_model_is_trained_and_validated_on_its_own_splits(root):
    denoiser = own_images.classifier().denoiser
    before = denoiser.means.requires_grad_().detach().clone()
    training = DenoiserTraining(denoiser, label_dropout=0)
    module = ImageFolder(root, batch_size=5, augment=Augmentation(flip=0.5))
    fitting = own_images.trainer(max_epochs=2, num_sanity_val_steps=0)
    with warnings.catch_warnings(action="ignore"):
        fitting.fit(training, module)
    assert fitting.global_step == 4  # the last two of twelve images are dropped
    assert not torch.equal(before, denoiser.means)
    assert fitting.callback_metrics["val/accuracy"] > 0.5
    assert training.reports["val"].total == 6


def test_augmentation_keeps_what_it_must_not_change(seed):
    images = torch.randint(256, (200, 3, 8, 8), dtype=torch.uint8)
    mirrored = Augmentation(flip=1, share=0)(images)
    assert torch.equal(mirrored.flip(3), images)
    grey = torch.randint(256, (200, 1, 1, 1), dtype=torch.uint8).expand(-1, 3, 8, 8)
    assert torch.equal(Augmentation(flip=0.5, share=1)(grey), grey)
    assert (Augmentation(share=1, padding="zeros", shift=0.5)(grey) != grey).any()
    with pytest.raises(InputError, match=r"`flip` of argument `augment`.*2"):
        Augmentation(flip=2)
