"""Folders of images."""

from pathlib import Path

import pyarrow.parquet as pq

from corpus.case import FOLDER, PREDICT, TEXT, Case, Holds, Prepare, of, steps, text
from corpus.pictures import WORDS, add, empty, fifo, images, link

TEN = images()
POSITION = "--model.classes_by_position=true"
SKIP = "--data.on_corrupt=skip"


def refused(name: str, prepare: Prepare, says: str, *arguments: str) -> Case:
    """A folder that is refused."""
    return Case(name, (*FOLDER, *arguments), says=says, prepare=prepare)


def has(*keys: str) -> Holds:
    """Rows of some keys."""

    def holds(folder: Path, _: object) -> None:
        found = pq.read_table(folder / "out/images.parquet", columns=["key"])["key"].to_pylist()
        assert set(keys) <= set(found), found

    return holds


def same_pixels(first: str, second: str) -> Holds:
    """Two files that hold the same pixels."""

    def holds(folder: Path, _: object) -> None:
        rows = pq.read_table(folder / "out/images.parquet").to_pylist()
        digests = {row["key"]: row["digest"] for row in rows}
        assert digests[first] == digests[second], digests

    return holds


ROOTS = [
    refused("a folder that is missing", lambda _: None, "images"),
    refused("an empty folder", empty("images"), "images"),
    refused("a root that is a file", text("images", b"none"), "images"),
    refused("an empty root", TEN, "root", "--data.root="),
    refused("a root of null", TEN, "root", "--data.root=null"),
    refused("images without class folders", add("images/0.png"), "has none, but images"),
    refused("a class without images", steps(TEN, empty("images/aleph")), "aleph"),
    refused("more classes than the model's", images(classes=[*WORDS, "ten"]), "10"),
    refused("one split of nothing", steps(images("images/train"), empty("images/test")), "test"),
    refused(
        "a class in test that train lacks",
        steps(images("images/train"), images("images/test", [*WORDS, "ten"])),
        "ten",
    ),
    refused("class folders beside splits", steps(images("images/train"), TEN), "train"),
    refused("a link that dangles", steps(TEN, link("gone.png", "images/three/1.png")), "1.png"),
    refused("names of another number", TEN, "classnames", "--data.classnames=[a,b]"),
    refused("names twice", TEN, "classnames", "--data.classnames=[a,a,b,c,d,e,f,g,h,i]"),
    refused("an empty name", TEN, "classnames", "--data.classnames=['',a,b,c,d,e,f,g,h,i]"),
    refused("a share of one", TEN, "val_share", "--data.val_share=1"),
    refused("a negative share", TEN, "test_share", "--data.test_share=-0.5"),
    refused("a share of nan", TEN, "val_share", "--data.val_share=nan"),
    refused("an unknown metric", TEN, "metric", "--data.metric=f1"),
    refused("no colour", TEN, "background", "--data.background=dark"),
    refused("what to do of corrupt images", TEN, "on_corrupt", "--data.on_corrupt=ignore"),
    refused("predict without files", empty("other"), "images"),
]
WORKS = [
    Case(
        "a name of a set that is empty",
        (*FOLDER, "--data.name="),
        "works",
        prepare=TEN,
        images=of(10, name=""),
    ),
    Case(
        "a name of a set with a slash",
        (*FOLDER, "--data.name=a/b"),
        "works",
        prepare=TEN,
        images=of(10, name="a/b"),
    ),
    Case(
        "the same file twice",
        FOLDER,
        "works",
        prepare=steps(TEN, add("images/three/1.png")),
        images=of(11),
        holds=same_pixels("three/0.png", "three/1.png"),
    ),
    Case(
        "a GIF, which is no kind that is read",
        FOLDER,
        "warned",
        "1 .gif",
        steps(TEN, add("images/three/1.gif")),
        images=of(10),
    ),
    Case(
        "a file of the system",
        FOLDER,
        "warned",
        ".db",
        steps(TEN, text("images/three/Thumbs.db", b"x")),
        images=of(10),
    ),
    Case(
        "a pipe in place of an image",
        FOLDER,
        "warned",
        "1 .png",
        steps(TEN, fifo("images/three/1.png")),
        images=of(10),
    ),
    Case(
        "hidden files and folders",
        FOLDER,
        "works",
        prepare=steps(
            TEN,
            text("images/.DS_Store", b"x"),
            text("images/three/._0.png", b"x"),
            text("images/.git/0.png", b"x"),
        ),
        images=of(10),
    ),
    Case(
        "images beside the class folders",
        FOLDER,
        "warned",
        "beside the class folders",
        steps(TEN, add("images/0.png")),
        images=of(10),
    ),
    Case(
        "folders below class folders",
        FOLDER,
        "works",
        prepare=steps(TEN, add("images/three/more/0.png")),
        images=of(11),
        holds=has("three/more/0.png"),
    ),
    Case(
        "fewer classes than the model's",
        FOLDER,
        "works",
        prepare=images(classes=WORDS[:3]),
        images=of(3),
    ),
    Case(
        "a loop of links",
        FOLDER,
        "works",
        prepare=steps(TEN, link("..", "images/three/loop")),
        images=of(10),
    ),
    Case(
        "a folder that is called like an image",
        FOLDER,
        "works",
        prepare=steps(TEN, add("images/three/1.png/a.png")),
        images=of(11),
    ),
    Case(
        "a link to an image",
        FOLDER,
        "works",
        prepare=steps(TEN, link("0.png", "images/three/1.png")),
        images=of(11),
    ),
    Case(
        "a class folder that is a link",
        FOLDER,
        "works",
        prepare=steps(
            TEN,
            lambda folder: (folder / "images/three").rename(folder / "there"),
            link("../there", "images/three", directory=True),
        ),
        images=of(10),
    ),
    Case(
        "a class with a dot, a space and a letter of elsewhere",
        TEXT,
        "warned",
        "three.5",
        images(classes=["three.5 é", "four"]),
        images=of(2),
    ),
    Case("one class", TEXT, says="two", prepare=images(classes=["four"])),
    Case(
        "classes that are numbers, by their positions",
        (*FOLDER, POSITION),
        "works",
        prepare=images(classes="0123456789"),
        images=of(10),
    ),
    Case(
        "classes that are numbers up to ten, by their positions",
        (*FOLDER, POSITION),
        "warned",
        "label 1, which is class 1 of the model, is '10'",
        images(classes=[str(i) for i in range(1, 11)]),
        images=of(10),
    ),
    Case(
        "a class folder that is called train",
        (*FOLDER, POSITION),
        "works",
        prepare=images(classes=[*WORDS[:9], "train"]),
        images=of(10),
    ),
    Case(
        "a root with a slash at its end",
        (*FOLDER, "--data.root=images/"),
        "works",
        prepare=TEN,
        images=of(10),
    ),
    Case(
        "a root with spaces",
        (*FOLDER, "--data.root=my images"),
        "works",
        prepare=images("my images"),
        images=of(10),
    ),
    Case(
        "predict without labels",
        PREDICT,
        "works",
        prepare=add("images/a.png"),
        images=of(1, name="files"),
    ),
    Case(
        "predict one file that is an image by its content alone",
        (*PREDICT, "--data.paths=images/a.dat"),
        "works",
        prepare=add("images/a.dat", format="PNG"),
        images=of(1, name="files"),
    ),
    Case(
        "predict the same file by two paths",
        (*PREDICT, "--data.paths=[images/a.png,images,./images/a.png]"),
        "works",
        prepare=add("images/a.png"),
        images=of(1, name="files"),
    ),
]
CASES = [*ROOTS, *WORKS]
