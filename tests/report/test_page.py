"""The page: well-formed, of itself alone, and harmless whatever classes are called."""

import json
import re
from html.parser import HTMLParser

import pytest
from made import make_run

from diffclf_lightning.report.contents import read_runs
from diffclf_lightning.report.page import ALL_SHOWN, render

VOID = {"meta", "img", "br", "hr", "link", "input", "col"}


class Reader(HTMLParser):
    """Checks that elements are nested, and keeps them and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(*folders):
    return Reader(render(read_runs(folders)))


@pytest.fixture
def folder(tmp_path, seed):
    return make_run(tmp_path / "run", ("own", "other"))


def test_the_page_is_of_itself_alone(folder):
    page = render(read_runs([folder]))
    reader = Reader(page)
    assert not re.search(r"https?:|[\"'(]//", page)
    for _, attributes in reader.elements:
        assert (attributes.get("src") or "data:image/webp;base64,").startswith("data:image/webp")
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(m["content"] for m in reader.of("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert not reader.of("link")
    assert re.findall(r"url\((?!#)", page) == []


def test_the_page_can_be_read_by_machine(folder):
    reader = read(folder)
    assert reader.of("html") == [{"lang": "en"}]
    assert len(reader.of("h1")) == 1
    assert all(image.get("alt") for image in reader.of("img"))
    assert all(head.get("scope") in ("row", "col") for head in reader.of("th"))
    figures = [svg for svg in reader.of("svg") if svg.get("role") == "img"]
    assert len(figures) > 6
    assert all(svg["aria-label"] for svg in figures)
    targets = {attributes.get("id") for _, attributes in reader.elements}
    assert {link["href"][1:] for link in reader.of("a")} <= targets


def test_names_are_text_whatever_they_are(tmp_path, seed):
    evil = '<script>alert("&amp;")</script>'
    names = [evil, "</style>", "a'b\"c", "$x_1$"]
    folder = make_run(tmp_path / "run", (evil, "$\\frac$"), classnames=names)
    reader = read(folder)
    assert len(reader.of("script")) == 1
    text = "".join(reader.text)
    for name in (*names, "$\\frac$"):
        assert name in text


def test_names_of_the_run_stand_for_numbers(tmp_path, seed):
    folder = make_run(tmp_path / "run", classnames=["ant", "bee", "cat", "dog"])
    text = " ".join(read(folder).text)
    assert text.count("bee") > 2


def test_without_errors_and_thumbnails_the_page_says_how_to_get_them(folder, tmp_path):
    bare = make_run(tmp_path / "bare", errors=False, pictures=False)
    text = "".join(read(bare).text)
    assert "--results.errors true" in text
    assert "--results.thumbnails 500" in text
    assert "own-0" in text
    full = "".join(read(folder).text)
    assert "--results" not in full
    assert "over time" in full


def test_images_without_labels_have_no_accuracy(tmp_path, seed):
    reader = read(make_run(tmp_path / "run", known=False))
    text = "".join(reader.text)
    assert "without known classes" in text
    assert "Wrong" not in text


def test_confidence_of_a_run_that_was_not_calibrated_is_said_to_mean_nothing(tmp_path, seed):
    folder = make_run(tmp_path / "run")
    assert "was not fitted" not in "".join(read(folder).text)
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, "calibrated": False}))
    assert "was not fitted" in "".join(read(folder).text)


def test_several_runs_stand_side_by_side(tmp_path, seed):
    folders = [
        make_run(tmp_path / "one", ("a", "b")),
        make_run(tmp_path / "two", ("b", "c"), labels=5, errors=False),
    ]
    reader = read(*folders)
    text = "".join(reader.text)
    assert [link["href"] for link in reader.of("a")][2:] == ["#set-1", "#set-2", "#set-3"]
    for run, name in (("one", "a"), ("one", "b"), ("two", "b"), ("two", "c")):
        assert re.search(rf"{run}, {name}:\s+\d", text)


def test_what_is_shown_is_bounded(tmp_path, seed):
    sets = [f"set {i}" for i in range(6)]
    large = make_run(tmp_path / "run", sets, images=90, labels=30, trials=12, side=90)
    page = render(read_runs([large]))  # of noise, whose files are the largest
    images = len(Reader(page).of("img"))
    assert 100 < images <= 3 * ALL_SHOWN
    assert len(page) < 5e6
