"""Several named sets of one run: several folders, or a column of a table."""

import json

import own_images
import pytest
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.callbacks import EffectiveRobustness
from diffclf_lightning.datamodules import Digits, ImageCSV, ImageFolders


@pytest.fixture
def roots(tmp_path):
    """Clean images, and others of two of their classes with a class folder of another name."""
    return {
        "clean": own_images.write(tmp_path / "clean", 4),
        "fewer": own_images.write(tmp_path / "fewer", 3, ["cat", "bee"]),
    }


def evaluated(module, *callbacks):
    classifier = own_images.classifier()
    trainer = own_images.trainer(callbacks=list(callbacks))
    [*logged] = trainer.test(classifier, module, verbose=False)
    return classifier, {name: v for values in logged for name, v in values.items()}


def test_folders_are_named_sets_whose_classes_match_by_name(roots):
    module = ImageFolders(roots, batch_size=5)
    classifier, logged = evaluated(module)
    assert (logged["clean/accuracy"], logged["fewer/accuracy"]) == (1, 1)
    sets = module.test_sets()
    assert (sets["clean"].candidate_labels, sets["fewer"].candidate_labels) == (None, (1, 2))
    assert sets["fewer"].labels == [1] * 3 + [2] * 3
    assert classifier.reports["fewer"].total == 6
    assert [current.candidate_labels for current in classifier.sets] == [None, (1, 2)]


def test_an_unknown_class_is_refused_with_the_nearest(roots, tmp_path):
    (roots["fewer"] / "bee").rename(roots["fewer"] / "bees")
    with pytest.raises(InputError, match=r"'fewer'.*of 'clean', but got 'bees' \(nearest: 'bee'\)"):
        ImageFolders(roots).test_sets()


@pytest.mark.parametrize("name", ["clean", "fewer"])
def test_a_folder_that_is_not_there_is_named_as_it_was_typed(roots, tmp_path, name):
    with pytest.raises(InputError, match=f"`roots.{name}`.*missing"):
        ImageFolders({**roots, name: tmp_path / "nothing"}).setup("test")
    with pytest.raises(InputError, match="`roots`"):
        ImageFolders({})


def test_the_same_images_are_held_out_in_every_folder(tmp_path):
    roots = {name: own_images.write(tmp_path / name, 20) for name in ("clean", "rotated")}
    module = ImageFolders(roots, test_share=0.2, val_share=0.2)
    module.setup("fit")
    trained = set(module.training_images().keys)
    module.setup("test")
    sets = module.test_sets()
    assert sets["clean"].keys == sets["rotated"].keys
    assert not trained & set(sets["clean"].keys)
    assert all("/clean/" in str(file) for file in sets["clean"].files)


def test_pairs_of_folders_have_effective_robustness(tmp_path):
    roots = {name: own_images.write(tmp_path / name, 3) for name in ("clean", "rotated")}
    Image.new("L", (8, 8), 0).save(roots["clean"] / "cat/0.png")
    for number in range(2):
        Image.new("L", (8, 8), 0).save(roots["rotated"] / f"cat/{number}.png")
    (tmp_path / "mine.csv").write_text(
        "model,clean,rotated\na,0.4,0.3\nb,0.6,0.5\nc,0.7,0.62\nd,0.8,0.7\n"
    )
    callback = EffectiveRobustness(
        [str(tmp_path / "mine.csv")], ["clean:rotated"], folder=tmp_path / "out"
    )
    _, logged = evaluated(ImageFolders(roots), callback)
    assert logged["clean/accuracy"] == pytest.approx(8 / 9)
    assert logged["rotated/accuracy"] == pytest.approx(7 / 9)
    assert "rotated/effective_robustness" in logged


def test_a_column_names_the_test_set_of_each_image(tmp_path):
    own_images.write(tmp_path, 2)
    file = tmp_path / "t.csv"
    rows = [
        "ant/0.png,ant,day",
        "bee/0.png,bee,night",
        "cat/0.png,cat,night",
        "ant/0.png,ant,night",
    ]
    file.write_text("path,label,set\n" + "\n".join(rows) + "\n")
    _, logged = evaluated(ImageCSV(file))
    assert (logged["day/accuracy"], logged["night/accuracy"]) == (1, 1)
    sets = ImageCSV(file).test_sets()
    assert sets["night"].keys == ["bee/0.png", "cat/0.png", "ant/0.png"]
    file.write_text("path,label,set\nant/0.png,ant,day\nant/0.png,ant,day\n")
    with pytest.raises(InputError, match="line 3"):
        ImageCSV(file).setup()


def test_folders_are_given_on_the_command_line_as_json(diffclf, tmp_path):
    for name in ("clean", "again"):
        own_images.write(tmp_path / name, 1, Digits.classnames)
    diffclf(
        "test", "--config", "digits", "--data", "ImageFolders", "--data.roots",
        '{"clean": "clean", "again": "again"}', "--results.folder", "run",
        "--model.strategy=Staged", "--model.strategy.trials=[1]", "--model.strategy.keep=[1]",
    )  # fmt: skip
    assert set(json.loads((tmp_path / "run/summary.json").read_text())["sets"]) == {
        "clean", "again",
    }  # fmt: skip
