"""Comparisons over tables and models, against SciPy, and what is said when they cannot be made."""

import time

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import linregress

from diffclf_lightning import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness import (
    Model,
    Pair,
    Settings,
    Table,
    compare,
    compare_all,
    get_scale,
    read_table,
)
from diffclf_lightning.robustness.pairs import known_pairs
from diffclf_lightning.robustness.report import notes

PAIR = Pair("digits", "noise")


def model(name, id, ood, total=1000, **kwargs):
    return Model(
        name,
        kwargs.pop("family", name),
        {"digits": Accuracy(id, total), "noise": Accuracy(ood, total)},
        **kwargs,
    )


@pytest.fixture
def table(seed):
    generator = np.random.default_rng(seed)
    id = generator.uniform(0.5, 0.95, 20).round(3)
    ood = expit(0.8 * logit(id) - 0.5 + generator.normal(scale=0.1, size=20)).round(3)
    models = [model(f"m{i}", x, y) for i, (x, y) in enumerate(zip(id, ood, strict=True))]
    return Table("mine", models)


def axes(table):
    points = [m.accuracies for m in table.models if m.standard]
    return [[p[name].value for p in points] for name in ("digits", "noise")]


def test_effective_robustness_is_the_distance_from_the_line(table):
    (row,) = compare(PAIR, table, [model("it", 0.8, 0.9)]).rows
    line = linregress(*map(logit, axes(table)))
    expected = 0.9 - expit(line.intercept + line.slope * logit(0.8))
    assert row.robustness.effective == pytest.approx(expected)
    assert not row.robustness.extrapolates
    (outside,) = compare(PAIR, table, [model("it", 0.99, 0.9)]).rows
    assert outside.robustness.extrapolates


def test_models_that_saw_more_are_not_fitted(table):
    more = Table("mine", [*table.models, model("clip", 0.6, 0.95, standard=False)])
    comparison = compare(PAIR, more, [])
    assert comparison.fit.slope == compare(PAIR, table, []).fit.slope
    assert [point.name for point in comparison.others] == ["clip"]


def test_a_line_that_explains_too_little_predicts_nothing(seed):
    generator = np.random.default_rng(seed)
    points = generator.uniform(0.3, 0.9, (40, 2))
    noisy = Table("mine", [model(f"m{i}", x, y) for i, (x, y) in enumerate(points)])
    comparison = compare(PAIR, noisy, [model("it", 0.6, 0.9)])
    share = linregress(*map(logit, points.T)).rvalue ** 2
    assert share < 0.5
    (row,) = comparison.rows
    assert row.robustness is None
    assert row.problem == f"no line: R² {share:.2f}"
    assert not comparison.bands
    lenient = compare(PAIR, noisy, [model("it", 0.6, 0.9)], Settings(min_r_squared=0.0))
    assert lenient.rows[0].robustness is not None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_baselines_at_0_and_1_are_left_out_by_name_where_they_are_infinite(table, value):
    more = Table("mine", [*table.models, *(model(f"e{i}", 0.7, value) for i in range(4))])
    out = compare(PAIR, more, [])
    assert out.fit.slope == compare(PAIR, table, []).fit.slope
    assert "left out, with an accuracy of 0 or 1: e0, e1, e2 and 1 more" in out.notes
    linear = compare(PAIR, more, [], Settings(get_scale("linear")))
    assert linear.fit.count == 24
    assert not any("left out" in note for note in linear.notes)


def test_many_baselines_that_are_left_out_cost_no_more_each(table):
    """They were looked for one by one in the list of all."""
    perfect = [model(f"perfect {i}", 1.0, 0.9) for i in range(20_000)]
    start = time.process_time()
    comparison = compare(PAIR, Table("mine", [*table.models, *perfect]), [])
    assert time.process_time() - start < 5
    assert len(comparison.baselines) == len(table.models)
    assert any("perfect 0, perfect 1, perfect 2 and 19997 more" in n for n in comparison.notes)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_named(share):
    with pytest.raises(InputError, match=rf"`min_r_squared` .* got {share}"):
        Settings(min_r_squared=share)


@pytest.mark.parametrize("id", [0.0, 1.0])
def test_a_model_at_the_end_of_the_axis_is_said_to_be_there(table, id):
    (row,) = compare(PAIR, table, [model("it", id, 0.9)]).rows
    assert row.robustness is None
    assert f"{id:.0%} in distribution: infinite on the logit scale" in row.problem


def test_a_perfect_model_out_of_distribution_is_no_problem(table):
    (row,) = compare(PAIR, table, [model("it", 0.8, 1.0)]).rows
    assert row.robustness.interval.upper > row.robustness.effective > 0


def test_unknown_numbers_of_images_leave_the_interval_unknown(table):
    (row,) = compare(PAIR, table, [model("it", 0.8, 0.9, total=None)]).rows
    assert row.robustness.interval is None


def test_other_numbers_of_images_are_said(table):
    comparison = compare(PAIR, table, [model("it", 0.8, 0.9, total=200)])
    assert comparison.totals == {"digits": ("200", "1,000"), "noise": ("200", "1,000")}
    said = "digits 200 and 1,000; noise 200 and 1,000"
    assert any(said in note for note in notes([comparison, comparison]))
    assert not compare(PAIR, table, [model("it", 0.8, 0.9)]).totals


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(0.7, 0.6)], "at least 2 baselines, but got 1"),
        ([], "at least 2 baselines, but got 0"),
        ([(0.7, 0.5), (0.7, 0.6)], r"different in-distribution accuracies, but the 2 have 0\.7"),
    ],
)
def test_baselines_that_give_no_line_are_an_error(points, message):
    few = Table("mine", [model(f"m{i}", x, y) for i, (x, y) in enumerate(points)])
    few.models.append(
        Model("elsewhere", "elsewhere", {"digits": Accuracy(0.5), "noise": Accuracy(0.4)}, False)
    )
    with pytest.raises(InputError, match=message):
        compare_all([model("it", 0.8, 0.9)], [few])


def test_all_baselines_on_one_side_of_the_break_are_an_error(table):
    with pytest.raises(InputError, match=r"below the break at 0\.4, but got 0"):
        compare_all([], [table], [Pair("digits", "noise", 0.4)])


def test_one_family_has_no_band_and_says_so(table):
    alike = Table("mine", [Model(m.name, "one", m.accuracies) for m in table.models])
    comparison = compare(PAIR, alike, [])
    assert not comparison.bands
    assert any("no band" in note and "two families" in note for note in comparison.notes)


def test_published_lines():
    """Slope and intercept of ImageNetV2's line are those that the vectors give for the testbed."""
    table = read_table("testbed")
    v2 = compare(Pair("imagenet", "imagenetv2"), table, [])
    assert (v2.fit.slope, v2.fit.intercept) == pytest.approx((0.92323, -0.49769), abs=1e-5)
    a = compare(Pair.parse("imagenet_a_id:imagenet_a"), table, [])
    assert a.pair.at == 0.9186
    assert sum(line.count for line in a.pieces.values()) == 84
    assert "at the break itself, in neither line: resnet50" in a.notes


def test_paper_rows_on_the_full_axis():
    pair = Pair("imagenet", "imagenet_a", 0.7613)
    rows = {
        r.name: r for r in compare(pair, read_table("testbed"), read_table("paper").models).rows
    }
    assert rows["Diffusion Classifier 512"].robustness.effective > 0.15
    assert rows["Diffusion Classifier 256"].robustness.interval.lower > 0.1


def test_known_pairs_of_sets():
    sets = ["noise_0.25", "digits", "fonts", "imagenet", "imagenetv2", "imagenet_a"]
    pairs = known_pairs(sets)
    assert [(p.id, p.ood) for p in pairs] == [
        ("imagenet", "imagenetv2"), ("digits", "noise_0.25"), ("digits", "fonts"),
    ]  # fmt: skip
    assert known_pairs(["imagenet_a_id", "imagenet_a"])[0].at == 0.9186
    assert known_pairs(["fonts"]) == []


@pytest.mark.parametrize(
    ("text", "at"),
    [("a:b", None), ("a:b@91.86", 0.9186), ("a:b@0.5", 0.5), ("imagenet_a_id:imagenet_a", 0.9186)],
)
def test_pairs_are_read(text, at):
    pair = Pair.parse(text)
    assert f"{pair.id}:{pair.ood}" == text.split("@")[0]
    assert pair.at == (None if at is None else pytest.approx(at))
    assert Pair.parse(str(pair)) == pair


@pytest.mark.parametrize("text", ["a", "a:", ":b", "a:a", "a:b@", "a:b@x", "a:b@0", "a:b@100"])
def test_pairs_that_are_none_are_named(text):
    with pytest.raises(InputError, match="ID:OOD@BREAK"):
        Pair.parse(text)


def test_resamples_without_a_line_are_counted_in_a_note():
    table = Table("mine", [model("a", 0.5, 0.4), model("b", 0.6, 0.5), model("c", 0.7, 0.7)])
    said = compare(PAIR, table, []).notes
    assert any("of 1000 resamples gave no line" in note for note in said)


def test_predictions_outside_of_0_to_100_are_said():
    table = Table("mine", [model(f"m{x}", x, 3 * x - 1.6) for x in (0.6, 0.7, 0.8)])
    linear = Settings(get_scale("linear"))
    comparison = compare(PAIR, table, [model("it", 0.95, 0.9)], linear)
    assert comparison.rows[0].robustness.predicted == pytest.approx(1.25)
    assert any("outside of 0 to 100 %" in note for note in comparison.notes)


@pytest.mark.parametrize("pair", ["imagenet_a_id:imagenet", "imagenet_r_id:imagenet_a"])
def test_shifts_of_other_classes_are_refused_either_way(pair):
    with pytest.raises(InputError, match="--allow-other-classes"):
        compare_all([], [read_table("testbed")], [Pair.parse(pair)])


def test_classes_of_baseline_runs_are_looked_at_too(table):
    candidates = {"digits": None, "noise": (1,)}
    other = model("run", 0.8, 0.9, images={"digits": frozenset("a")}, candidates=candidates)
    with pytest.raises(InputError, match="run chose among other classes"):
        compare_all([], [Table("runs", [*table.models, other])])


def test_a_model_among_its_own_baselines_is_said(table):
    own = model("own", 0.8, 0.9, weights="abc")
    (comparison,) = compare_all([own], [Table("runs", [*table.models, own])])
    assert "among the baselines of its own line: own" in comparison.notes
    (comparison,) = compare_all([own], [table])
    assert not any("its own line" in note for note in comparison.notes)


def test_an_id_set_of_other_classes_is_refused_unless_asked_for():
    paper, testbed = read_table("paper"), read_table("testbed")
    pair = Pair("imagenet", "imagenet_a", 0.7613)
    with pytest.raises(InputError, match="Pair imagenet_a with imagenet_a_id"):
        compare_all(paper.models, [testbed], [pair])
    (comparison,) = compare_all(paper.models, [testbed], [pair], other_classes=True)
    assert any("other classes" in note for note in comparison.notes)


def test_candidates_of_runs_tell_classes_apart(table):
    one = model("it", 0.8, 0.9, candidates={"digits": None, "noise": (1, 2, (3, 4))})
    with pytest.raises(InputError, match="it chose among other classes on either"):
        compare_all([one], [table])
    same = model("it", 0.8, 0.9, candidates={"digits": (1, (3, 4)), "noise": (1, (3, 4))})
    assert compare_all([same], [table])


def test_runs_over_other_images_are_refused(table):
    first = model("first", 0.8, 0.9, images={"digits": frozenset("abc")})
    second = model("second", 0.8, 0.9, images={"digits": frozenset("abd")})
    with pytest.raises(InputError, match="3 in first and 3 in second, 2 of them in both"):
        compare_all([first, second], [table])
    of_baselines = Table("runs", [*table.models, second])
    with pytest.raises(InputError, match="same images of 'digits'"):
        compare_all([first], [of_baselines])


def test_models_of_other_numbers_of_images_are_refused(table):
    """Tables name no images; and a model on 200 and one on 100 are not on the same."""
    first, second = model("first", 0.8, 0.9, total=200), model("second", 0.8, 0.9, total=100)
    with pytest.raises(InputError, match=r"'digits' .* got 200 for first and 100 for second"):
        compare_all([first, second], [table])
    assert compare_all([first], [table])  # of baselines that a table gives it is said
    unknown = model("second", 0.8, 0.9, total=None)
    assert compare_all([first, unknown], [table])


def test_models_are_compared_on_the_images_in_common_if_asked_for(table):
    def on(name, images, correct):
        known = {"digits": frozenset(images), "noise": frozenset("xyz")}
        right = {"digits": frozenset(correct), "noise": frozenset("xy")}
        shares = {one: Accuracy.of(len(right[one]), len(known[one])) for one in known}
        return Model(name, name, shares, images=known, correct=right)

    first, second = on("first", "abcdef", "abe"), on("second", "cdefgh", "cdgh")
    with pytest.raises(InputError, match=r"6 in first and 6 in second, 4 of .*--common"):
        compare_all([first, second], [table])
    (comparison,) = compare_all([first, second], [table], common=True)
    counts = [(row.id.correct, row.id.total, row.ood.total) for row in comparison.rows]
    assert counts == [(1, 4, 3), (2, 4, 3)]
    assert "on the 4 images of digits that all runs have in common" in comparison.notes
    of_baselines = Table("runs", [*table.models, second])
    (comparison,) = compare_all([first], [of_baselines], common=True)
    assert comparison.rows[0].id == Accuracy.of(1, 4)
    assert next(p for p in comparison.baselines if p.name == "second").id == Accuracy.of(2, 4)
    with pytest.raises(InputError, match="that first, third have in common, but there are none"):
        compare_all([first, on("third", "uvw", "u")], [table], common=True)


def test_nothing_to_compare_says_what_there_is(table):
    stranger = Model("it", "it", {"pets": Accuracy(0.8)})
    with pytest.raises(InputError, match=r"Models have the sets pets; baselines digits, noise"):
        compare_all([stranger], [Table("mine", table.models[:3])])
