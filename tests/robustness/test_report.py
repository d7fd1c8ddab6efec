"""Tables and figures of comparisons, read back."""

import csv
import json
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from rich.console import Console
from scipy.special import expit, logit

from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness import (
    Model,
    Pair,
    Settings,
    Table,
    compare,
    get_scale,
    read_table,
)
from diffclf_lightning.robustness.figure import draw
from diffclf_lightning.robustness.report import show, write


@pytest.fixture
def comparisons(seed):
    generator = np.random.default_rng(seed)
    id = generator.uniform(0.6, 0.97, 24)
    models = [
        Model(
            f"m{i}",
            f"f{i % 6}",
            {
                "digits": Accuracy.of(round(500 * x), 500),
                "line": Accuracy.of(round(500 * expit(0.8 * logit(x) - 0.4)), 500),
                "cloud": Accuracy.of(int(generator.integers(100, 400)), 500),
            },
        )
        for i, x in enumerate(id)
    ]
    own = {"digits": Accuracy.of(480, 500), "line": Accuracy.of(470, 500)}
    own["cloud"] = Accuracy.of(300, 500)
    one, other = Model("one", "one", own), Model("other", "other", {**own, "line": Accuracy(0.5)})
    table = Table("mine", models)
    return [compare(Pair("digits", name), table, [one, other]) for name in ("line", "cloud")]


def printed(comparisons, width=80):
    console = Console(width=width, record=True, quiet=False)
    show(comparisons, console, lines=True)
    return console.export_text()


def test_a_terminal_of_80_columns_shows_all(comparisons):
    text = printed(comparisons)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
    result = comparisons[0].rows[0].robustness
    row = next(line for line in text.splitlines() if line.startswith(" one "))
    assert f"{100 * result.predicted:.1f}" in row
    assert f"{100 * result.effective:+.1f} [" in row
    assert "96.0" in row
    assert "94.0 (" in row
    assert text.count("no line") == 3
    assert "explains too little" in text
    assert "nan" not in text.lower()
    assert "inf" not in text.lower().replace("information", "")


def test_one_model_is_one_table(comparisons):
    one = [replace(c, rows=c.rows[:1]) for c in comparisons]
    text = printed(one)
    assert "Effective robustness of one against mine" in text
    assert [line.split()[0] for line in text.splitlines() if "480" in line or " 96.0 " in line] == [
        "line",
        "cloud",
    ]


def test_of_many_baselines_without_a_line_some_are_shown():
    shares = {"digits": Accuracy(0.7), "line": Accuracy(0.5)}
    table = Table("mine", [Model(f"m{i}", f"m{i}", shares) for i in range(150)])
    made = compare(Pair("digits", "line"), table, [Model("one", "one", shares)])
    text = printed([made])
    assert text.count("m99 ") >= 1
    assert "m100" not in text
    assert "50 more" in " ".join(text.split())


def test_brackets_are_printed_as_they_are(comparisons):
    """Rich would take them for markup, and drop the words in them."""
    row = comparisons[0].rows[1]
    named = replace(row, name="vit[/b] [red]x")
    text = printed([replace(comparisons[0], rows=[comparisons[0].rows[0], named])], width=100)
    assert "[unknown]" in text
    assert "vit[/b] [red]x" in text


def test_extrapolation_is_marked_in_table_and_figure(comparisons):
    one = comparisons[0]
    row = replace(one.rows[0], robustness=replace(one.rows[0].robustness, extrapolates=True))
    marked = [replace(one, rows=[row])]
    assert f"†{100 * row.robustness.predicted:.1f}" in printed(marked)
    assert "†: outside of the baselines" in printed(marked)
    assert "†" in draw(marked).axes[0].get_title("left")
    inside = replace(row, robustness=replace(row.robustness, extrapolates=False))
    assert "†" not in printed([replace(one, rows=[inside])])


def test_files_hold_what_was_compared(comparisons, tmp_path):
    write(tmp_path / "new", comparisons)
    with (tmp_path / "new/robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["ood_set"], r["model"]) for r in rows] == [
        ("line", "one"), ("line", "other"), ("cloud", "one"), ("cloud", "other"),
    ]  # fmt: skip
    result = comparisons[0].rows[0].robustness
    assert float(rows[0]["effective_robustness"]) == pytest.approx(result.effective)
    assert float(rows[0]["lower"]) == pytest.approx(result.interval.lower)
    assert (rows[0]["id_correct"], rows[0]["id_total"]) == ("480", "500")
    assert rows[1]["ood_total"] == rows[1]["lower"] == ""
    assert rows[2]["effective_robustness"] == ""
    assert rows[2]["problem"].startswith("no line: R²")
    content = json.loads((tmp_path / "new/robustness.json").read_text())
    assert [c["lines"]["line"]["is_line"] for c in content] == [True, False]
    assert content[0]["lines"]["line"]["slope"] == pytest.approx(comparisons[0].fit.slope)
    assert (tmp_path / "new/robustness-mine.png").stat().st_size > 10_000
    assert not list((tmp_path / "new").glob("*.partial"))


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_figure_shows_points_line_band_and_models_where_they_are(comparisons):
    figure = draw(comparisons)
    axis = figure.axes[0]
    cloud = axis.collections[0].get_offsets()
    expected = [[logit(p.id.value), logit(p.ood.value)] for p in comparisons[0].baselines]
    assert np.allclose(cloud, expected)
    star = next(line for line in axis.lines if line.get_label() == "one")
    assert star.get_xydata().tolist() == [[pytest.approx(logit(0.96)), pytest.approx(logit(0.94))]]
    fitted = next(line for line in axis.lines if line.get_label() == "line, fitted")
    x, y = fitted.get_xydata().T
    piece = comparisons[0].fit
    assert np.allclose(y, piece.intercept + piece.slope * x)
    assert expit(x[[0, -1]]) == pytest.approx([piece.lowest, piece.highest])
    assert [float(t.get_text()) / 100 for t in axis.get_xticklabels()] == pytest.approx(
        expit(axis.get_xticks()).tolist()
    )
    assert {"95% band, by family", "line, extrapolated", "no drop", "other"} <= set(legend(figure))


def test_error_bars_and_band_are_where_they_belong(comparisons):
    comparison = comparisons[0]
    axis = draw(comparisons).axes[0]
    own = comparison.rows[0]
    bars = [c.get_segments()[0] for c in axis.collections if isinstance(c, LineCollection)]
    wanted = [*logit([own.id.interval.lower, own.id.interval.upper])]
    horizontal = [
        b for b in bars if np.allclose(b[:, 0], wanted) and np.allclose(b[:, 1], logit(0.94))
    ]
    assert horizontal
    wanted = logit([own.ood.interval.lower, own.ood.interval.upper])
    assert [b for b in bars if np.allclose(b[:, 1], wanted) and np.allclose(b[:, 0], logit(0.96))]
    band = comparison.bands[""]
    (drawn,) = [c for c in axis.collections if isinstance(c, PolyCollection)]
    corners = drawn.get_paths()[0].vertices
    middle = len(band.x) // 2
    heights = corners[np.isclose(corners[:, 0], band.x[middle]), 1]
    drawn = sorted({round(height, 9) for height in heights})
    assert drawn == pytest.approx([band.lower[middle], band.upper[middle]])


def test_a_model_at_100_percent_is_drawn_at_the_edge(comparisons):
    row = replace(comparisons[0].rows[0], ood=Accuracy.of(500, 500))
    axis = draw([replace(comparisons[0], rows=[row])]).axes[0]
    (marker,) = [line for line in axis.lines if line.get_label() == "one"]
    assert marker.get_ydata()[0] == axis.get_ylim()[1]
    assert "one: 96, 100 %" in {text.get_text() for text in axis.texts}


def steep(values):
    models = [
        Model(f"m{i}", f"f{i % 3}", {"a": Accuracy.of(x, 1000), "b": Accuracy.of(y, 1000)})
        for i, (x, y) in enumerate(values)
    ]
    return Table("steep", models)


@pytest.mark.parametrize("scale", ["logit", "probit", "linear"])
def test_bands_that_leave_the_range_are_drawn(scale):
    """Few baselines on a steep line: some resamples predict accuracies that round to 1."""
    values = [(700, 10), (705, 30), (710, 300), (715, 700), (716, 950), (720, 990), (724, 999)]
    comparison = compare(Pair("a", "b"), steep(values), [], Settings(get_scale(scale)))
    assert comparison.bands
    draw([comparison])


@pytest.mark.parametrize("scale", ["logit", "linear"])
def test_baselines_at_0_and_100_percent_are_no_problem_for_the_figure(scale, tmp_path):
    values = [(500, 0), (600, 100), (700, 300), (800, 500), (900, 1000), (1000, 990)]
    table = steep(values)
    own = Model("own", "own", {"a": Accuracy.of(1000, 1000), "b": Accuracy.of(0, 1000)})
    settings = Settings(get_scale(scale))
    comparison = compare(Pair("a", "b", 0.65), table, [own], settings)
    whole = compare(Pair("a", "b"), table, [own], settings)
    write(tmp_path, [comparison, whole])
    assert (tmp_path / "robustness-steep.png").is_file()


def test_no_line_is_drawn_where_there_is_none(comparisons):
    axis = draw(comparisons).axes[1]
    assert not [line for line in axis.lines if line.get_label().startswith("line,")]
    assert "no line" in axis.get_title("left")


def test_broken_lines_end_at_the_break():
    pair, settings = Pair.parse("imagenet_a_id:imagenet_a"), Settings(min_r_squared=0.0)
    comparison = compare(pair, read_table("testbed"), [], settings)
    axis = draw([comparison]).axes[0]
    at = logit(0.9186)
    dashed = [line for line in axis.lines if line.get_label() == "line, extrapolated"]
    below, above = (line.get_xdata() for line in dashed)
    assert (below[-1], above[0]) == (pytest.approx(at), pytest.approx(at))
    assert "break" in legend(axis.figure)
    (vertical,) = [line for line in axis.lines if line.get_label() == "break"]
    assert vertical.get_xdata() == pytest.approx([at, at])


def test_models_differ_in_colour_and_marker(comparisons):
    names = [f"model {i}" for i in range(30)]
    row = comparisons[0].rows[0]
    rows = [replace(row, name=name) for name in names]
    many = replace(comparisons[0], rows=rows)
    axis = draw([many]).axes[0]
    looks = {
        (to_hex(line.get_color()), line.get_marker())
        for line in axis.lines
        if line.get_label() in names
    }
    assert len(looks) == 30


@pytest.mark.parametrize("scale", ["probit", "linear"])
def test_other_scales_are_drawn(scale, comparisons):
    table, models = read_table("testbed"), read_table("paper").models
    pair = Pair("imagenet", "imagenetv2")
    comparison = compare(pair, table, models, Settings(get_scale(scale)))
    axis = draw([comparison]).axes[0]
    point = comparison.baselines[0]
    assert axis.collections[1].get_offsets()[0][0] == pytest.approx(
        float(get_scale(scale)(point.id.value))
    )


def test_drawing_leaves_matplotlib_as_it_was(comparisons):
    before = dict(mpl.rcParams)
    draw(comparisons)
    assert dict(mpl.rcParams) == before
