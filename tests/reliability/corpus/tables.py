"""Tables of images, of baselines, of examples."""

import json

from corpus.case import FAST, OUT, TABLE, Case, Prepare, of, steps, text
from corpus.pictures import WORDS, add, images

TEN = images()
ROWS = [(f"images/{word}/0.png", word) for word in WORDS]


def table(rows: object = ROWS, header: str = "path,label", end: str = "\n") -> str:
    return end.join([header, *(",".join(row) for row in rows)]) + end  # type: ignore[attr-defined]


def refused(name: str, content: str | bytes, says: str, *arguments: str) -> Case:
    """A table that is refused."""
    prepare = steps(TEN, text("images.csv", content))
    return Case(name, (*TABLE, *arguments), says=says, prepare=prepare)


def works(name: str, content: str | bytes, *arguments: str, number: int = 10) -> Case:
    """One that is not."""
    prepare = steps(TEN, text("images.csv", content))
    return Case(name, (*TABLE, *arguments), "works", prepare=prepare, images=of(number, name="csv"))


IMAGES = [
    Case("no table", TABLE, says="images.csv", prepare=TEN),
    Case(
        "a table that is a folder",
        TABLE,
        says="images.csv",
        prepare=lambda folder: (folder / "images.csv").mkdir(),
    ),
    refused("an empty table", "", "images.csv"),
    refused("a header alone", "path,label\n", "images.csv"),
    refused("no header", table().partition("\n")[2], "path"),
    refused("semicolons", table().replace(",", ";"), "path"),
    refused("tabs", table().replace(",", "\t"), "path"),
    refused("a column of another name", table(header="file,label"), "path"),
    refused("no column of labels", table([(p,) for p, _ in ROWS], "path"), "label"),
    refused("a label that is empty", table([*ROWS[:9], (ROWS[9][0], "")]), "line 11"),
    refused("a row of one cell", table(ROWS[:9]) + "images/nine/0.png\n", "line 11"),
    refused("a row of three cells", table(ROWS[:9]) + "images/nine/0.png,nine,more\n", "line 11"),
    refused("a column twice", table([(p, w, w) for p, w in ROWS], "path,label,label"), "label"),
    refused(
        "a label outside the classes",
        table([*ROWS[:9], (ROWS[9][0], "ten")]),
        "ten",
        f"--data.classnames=[{','.join(WORDS)}]",
    ),
    refused(
        "a file that is not there", table([*ROWS[:9], ("images/gone.png", "nine")]), "gone.png"
    ),
    refused(
        "an absolute path that is not there",
        table([*ROWS[:9], ("/none/a.png", "nine")]),
        "/none/a.png",
    ),
    refused("a path that is a folder", table([*ROWS[:9], ("images/nine", "nine")]), "images/nine"),
    refused("a row twice", table([*ROWS, ROWS[0]]), "again"),
    refused("a file with two labels", table([*ROWS, (ROWS[0][0], "one")]), "again"),
    refused("one file by two paths", table([*ROWS, (f"./{ROWS[0][0]}", ROWS[0][1])]), "again"),
    refused("an unknown split", table([(*row, "dev") for row in ROWS], "path,label,split"), "dev"),
    refused("bytes that are no UTF-8", table().encode() + b"\xff\xfe", "images.csv"),
    refused("zero bytes", table().encode() + b"\0\0\0", "images.csv"),
    refused("a workbook called csv", b"PK\x03\x04" + bytes(range(256)), "images.csv"),
    refused("UTF-16", table().encode("utf-16"), "images.csv"),
    refused("an image called csv", b"\x89PNG\r\n\x1a\n\0\0", "images.csv"),
    refused("a quote that never ends", table(ROWS[:9]) + '"images/nine/0.png,nine\n', "line"),
    works("CRLF", table(end="\r\n")),
    works("a byte order mark", b"\xef\xbb\xbf" + table().encode()),
    works("blank lines", table().replace("\n", "\n\n")),
    works("no line break at the end", table().rstrip("\n")),
    works("spaces around cells", table([(f" {p} ", f" {w} ") for p, w in ROWS])),
    works("spaces in the header", table(header="path, label")),
    refused("capital letters in the header", table(header="Path,Label"), "column path"),
    refused(
        "labels that are numbers, for a model that knows words",
        table([(p, str(i)) for i, (p, _) in enumerate(ROWS)]),
        "classes_by_position",
    ),
    works("a class less than the model has", table(ROWS[:9]), number=9),
    works(
        "labels that are numbers, by their positions",
        table([(p, str(i)) for i, (p, _) in enumerate(ROWS)]),
        "--model.classes_by_position=true",
    ),
    works("further columns", table([(*row, "x") for row in ROWS], "path,label,remark")),
    works("quoted cells", table([(f'"{p}"', f'"{w}"') for p, w in ROWS])),
    works("a table that is called otherwise", table(), "--data.file=./images.csv"),
]

BASELINES = "model,digits,digits_shifts"
RUN = ("robustness", "--baselines", "table.csv", "--output", "figures")


def baselines(name: str, content: str | bytes, says: str) -> Case:
    """A table of accuracies that is refused."""
    return Case(f"baselines: {name}", RUN, says=says, prepare=text("table.csv", content))


HEADER = "model,digits/100,rotation_30/100\n"
GOOD = "".join(f"m{i},{40 + 5 * i},{31 + 5 * i}\n" for i in range(5))
ACCURACIES = [
    Case("baselines: no table", RUN, says="table.csv"),
    baselines("an empty table", "", "table.csv"),
    baselines("a header alone", HEADER, "table.csv"),
    baselines("no header", GOOD, "table.csv"),
    baselines("semicolons", (HEADER + GOOD).replace(",", ";"), "table.csv"),
    baselines("more right than there are", HEADER + GOOD + "m9,101,50\n", "101"),
    baselines("a negative count", HEADER + GOOD + "m9,-1,50\n", "-1"),
    baselines("a set of no images", "model,digits/0\nm,0\n", "0"),
    baselines("a fraction of an image", HEADER + GOOD + "m9,1.5,50\n", "1.5"),
    baselines("words in place of counts", HEADER + GOOD + "m9,many,50\n", "many"),
    baselines("a count of nan", HEADER + GOOD + "m9,nan,50\n", "nan"),
    baselines("an infinite count", HEADER + GOOD + "m9,inf,50\n", "inf"),
    baselines("a percentage of nan", "model,digits,rotation_30\nm,nan,5\n", "nan"),
    baselines("a percentage above 100", "model,digits,rotation_30\nm,130,5\n", "130"),
    baselines("a negative share", "model,digits,rotation_30\nm,-0.2,0.5\n", "-0.2"),
    baselines("shares beside percent", "model,digits,rotation_30\nm,0.9,0.5\nn,90,50\n", "percent"),
    baselines("a cell too many", HEADER + GOOD + "m9,40,50,60\n", "line 7"),
    baselines("a column twice", "model,digits/100,digits/100\nm,5,6\n", "digits"),
    baselines("a set twice, of other totals", "model,digits/100,digits/50\nm,5,6\n", "digits"),
    baselines("a model twice", HEADER + GOOD + "m1,45,36\n", "m1"),
    baselines("bytes that are no UTF-8", (HEADER + GOOD).encode() + b"\xff", "table.csv"),
    baselines("no column of models", "digits/100,rotation_30/100\n5,6\n", "model"),
    baselines("no column of sets", "model\nm\n", "test set"),
    baselines("standard in words", "model,standard,digits/100\nm,yes,5\n", "yes"),
    Case(
        "baselines: a byte order mark, CRLF and comments",
        RUN,
        "works",
        prepare=text("table.csv", "\ufeff# mine\r\n" + (HEADER + GOOD).replace("\n", "\r\n")),
    ),
    Case(
        "baselines: an empty cell, which is not known",
        RUN,
        "works",
        prepare=text("table.csv", HEADER + GOOD + "m9,,50\n"),
    ),
    Case(
        "baselines: models without names",
        RUN,
        says="model",
        prepare=text("table.csv", HEADER + GOOD + ",50,40\n"),
    ),
    Case(
        "baselines: a folder that is empty",
        RUN,
        says="table.csv",
        prepare=lambda folder: (folder / "table.csv").mkdir(),
    ),
]

EXAMPLES = (
    "test", "--config", "scenes", OUT, FAST, "--data=ImageCaptions", "--data.file=e.jsonl",
)  # fmt: skip
PAIRED = {"images": ["a.png", "b.png"], "captions": ["a red circle", "a blue square"]}


def examples(name: str, *lines: object, says: str) -> Case:
    """Lines of examples of images and captions that are refused."""
    content = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    return Case(f"examples: {name}", EXAMPLES, says=says, prepare=_examples(content))


def _examples(content: str) -> Prepare:
    return steps(add("a.png"), add("b.png"), text("e.jsonl", content))


MATCHING = [
    Case("examples: no file", EXAMPLES, says="e.jsonl"),
    examples("an empty file", says="'e'"),
    examples("a line that is no JSON", PAIRED, "{'images': 1}", says="line 2"),
    examples("a line that is a list", [1, 2], says="line 1"),
    examples("no captions", {"images": ["a.png"]}, says="captions"),
    examples("an empty caption", {**PAIRED, "captions": ["", "a"]}, says="caption"),
    examples("captions that are one text", {**PAIRED, "captions": "ab"}, says="captions"),
    examples("a caption twice", {**PAIRED, "captions": ["a", "a"]}, says="a"),
    examples("an image that is not there", {**PAIRED, "images": ["a.png", "c.png"]}, says="c.png"),
    examples("a key twice", {**PAIRED, "key": "a"}, {**PAIRED, "key": "a"}, says="'a'"),
    examples("a key that is a list", {**PAIRED, "key": ["a"]}, says="key"),
    Case(
        "examples: more images than captions",
        EXAMPLES,
        "works",
        prepare=_examples(json.dumps({**PAIRED, "captions": ["a red circle"]})),
        images=of(1, name="e"),
    ),
    Case(
        "examples: a byte order mark and CRLF",
        EXAMPLES,
        "works",
        prepare=_examples("\ufeff" + json.dumps(PAIRED) + "\r\n"),
        images=of(1, name="e"),
    ),
    Case(
        "examples: a separator of lines in a caption",
        EXAMPLES,
        "works",
        prepare=_examples(
            json.dumps({**PAIRED, "captions": ["a\u2028b", "b"]}, ensure_ascii=False)
        ),
        images=of(1, name="e"),
    ),
    examples("numbers for captions", {**PAIRED, "captions": [1, 2]}, says="captions"),
    examples("no images", {**PAIRED, "images": []}, says="images"),
]
CASES = [*IMAGES, *ACCURACIES, *MATCHING]
