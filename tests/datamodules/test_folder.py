import random

import pytest
import tiny_sets

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ImageCSV, ImageFolder, ImageNet

FILES = ["mixed_breed/a.jpg", "mixed_breed/deep/b.PNG", "Siamese/a.webp", "pug/c.jpeg"]


@pytest.fixture
def root(tmp_path, seed):
    folder = tmp_path / "own"
    for file in FILES:
        tiny_sets.save(folder / file, random.Random(seed))
    (folder / "pug/notes.txt").write_text("no image")
    for hidden in (".cache/x.jpg", "pug/.ipynb_checkpoints/c.jpeg"):
        tiny_sets.save(folder / hidden, random.Random(seed))
    return folder


@pytest.fixture
def table(root):
    """Writes a table beside the images."""

    def write(*lines, header="path,label"):
        file = root / "images.csv"
        file.write_text("\n".join([header, *lines]) + "\n")
        return file

    return write


def test_folders_are_classes_in_sorted_order(root):
    module = ImageFolder(root)
    images = module.test_sets()["folder"]
    assert module.classnames == ("Siamese", "mixed breed", "pug")
    assert dict(zip(images.keys, images.labels, strict=True)) == {
        "Siamese/a.webp": 0,
        "mixed_breed/a.jpg": 1,
        "mixed_breed/deep/b.PNG": 1,
        "pug/c.jpeg": 2,
    }
    assert images[0]["image"].size == (24, 16)


def test_name_names_and_metric_are_as_given(root):
    names = ["Siamese cat", "mongrel", "pug dog"]
    module = ImageFolder(root, name="pets", classnames=names, metric="mean_per_class_accuracy")
    assert list(module.test_sets()) == ["pets"]
    assert (list(module.classnames), module.metric) == (names, "mean_per_class_accuracy")


@pytest.mark.parametrize("count", [2, 4])
def test_one_name_a_folder(root, count):
    module = ImageFolder(root, classnames=["a"] * count)
    with pytest.raises(InputError, match=f"{count} names for 3 labels"):
        module.setup()


def test_a_root_without_class_folders_is_an_error(tmp_path):
    cases = {"missing": tmp_path / "nothing", "has none": tmp_path / "flat"}
    tiny_sets.save(tmp_path / "flat/a.jpg", random.Random(0))
    for said, folder in cases.items():
        with pytest.raises(InputError, match=f"`root`.*{said}"):
            ImageFolder(folder).setup()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        ImageFolder(tmp_path / "empty").setup()


def test_a_class_folder_without_images_is_named(root):
    (root / "zebra").mkdir()
    with pytest.raises(InputError, match="zebra"):
        ImageFolder(root).setup()


def test_a_table_gives_labels_in_the_order_of_sorted_names(table):
    module = ImageCSV(table(f"{FILES[3]},pug", f"{FILES[2]},Siamese", f"{FILES[0]},pug"))
    images = module.test_sets()["csv"]
    assert module.classnames == ("Siamese", "pug")
    assert images.labels == [1, 0, 1]
    assert images.keys == [FILES[3], FILES[2], FILES[0]]
    assert images[1]["image"].size == (24, 16)


def test_a_table_takes_the_order_of_given_names(table):
    file = table(f"{FILES[3]},pug", f"{FILES[2]},Siamese")
    module = ImageCSV(file, name="own", classnames=["pug", "zebra", "Siamese"])
    assert module.test_sets()["own"].labels == [0, 2]


def test_paths_may_be_relative_to_another_root_or_absolute(root, tmp_path):
    file = tmp_path / "elsewhere.csv"
    file.write_text(f"label,note,path\npug,x,{FILES[3]}\nSiamese,y,{root / FILES[2]}\n")
    assert ImageCSV(file, root=root).test_sets()["csv"].labels == [1, 0]


def test_a_table_saved_by_a_spreadsheet_is_read(root):
    (root / "images.csv").write_bytes(f"\ufeffpath,label\r\n{FILES[3]},pug\r\n".encode())
    assert len(ImageCSV(root / "images.csv").test_sets()["csv"]) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{FILES[2]},cat", "'cat'"),
        ("no/such.jpg,pug", "such.jpg"),
        (f"{FILES[3]},pug", "again"),
        (FILES[2], "label"),
        (f"{FILES[2]},", "label"),
        (",pug", "path"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(table, row, said):
    file = table(f"{FILES[3]},pug", f"{FILES[0]},pug", row)
    with pytest.raises(InputError, match="line 4") as caught:
        ImageCSV(file, classnames=["pug", "Siamese"]).setup()
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "lines", "said"),
    [
        ("file,label", ["a.jpg,pug"], "no column path"),
        ("path,class", [f"{FILES[0]},pug"], "no column label"),
        ("path,label", [], "no rows"),
        ("", [], "no column path"),
    ],
)
def test_a_table_without_columns_or_rows_is_an_error(table, header, lines, said):
    with pytest.raises(InputError, match=said):
        ImageCSV(table(*lines, header=header)).setup()


def test_a_missing_table_or_one_of_bytes_is_named(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"path,label\n\xff\xfe,\x80\n")
    for name in ("nothing.csv", "bytes.csv"):
        with pytest.raises(InputError, match=f"`file`.*{name}"):
            ImageCSV(tmp_path / name).setup()


def test_labels_that_several_classes_share_are_named_and_no_others(table):
    names = ["pug", "missile", "Siamese", "missile", "tank", "tank"]
    file = table(f"{FILES[3]},pug", f"{FILES[2]},missile")
    with pytest.raises(InputError, match="`classnames` repeats 'missile'") as caught:
        ImageCSV(file, classnames=names).setup()
    assert "tank" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_names_of_imagenet_serve_a_table_without_those_that_repeat(table):
    names = ImageNet.classnames
    file = table(f"{FILES[3]},tench", f"{FILES[2]},toilet paper")
    assert len(set(names)) < len(names)
    assert ImageCSV(file, classnames=names).test_sets()["csv"].labels == [0, 999]
