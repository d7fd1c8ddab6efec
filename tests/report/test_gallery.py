"""The images that a report shows, and what it says of each."""

import base64

import numpy as np
import pytest
import torch
from made import make_run, picture

from diffclf_lightning.report.contents import read_run
from diffclf_lightning.report.curves import BEST, binned, candidate_labels
from diffclf_lightning.report.gallery import galleries
from diffclf_lightning.results import RunFolder


@pytest.fixture
def run(tmp_path, seed):
    return read_run(make_run(tmp_path / "run", images=60, labels=6, trials=12), "run")


@pytest.fixture
def rows(run):
    return {row["key"]: row for row in RunFolder(run.path).rows(None).to_pylist()}


def test_kinds_hold_what_they_say(run, rows):
    kinds = {kind.title: kind for kind in galleries(run, 10)["own"]}
    contents = run.sets["own"]
    wrong = [row for row in rows.values() if row["label"] != row["prediction"]]
    assert kinds["Wrong"].total == len(wrong)
    surest = sorted((row["confidence"] for row in wrong), reverse=True)
    assert [card.confidence for card in kinds["Wrong"].cards] == surest[:10]
    assert kinds["Undecided"].total == contents.undecided.sum()
    assert kinds["Right"].total == (contents.right & ~contents.undecided).sum()
    assert not any(card.right for card in kinds["Wrong"].cards)
    assert all(card.right for card in kinds["Right"].cards)
    for kind in kinds.values():
        assert len(kind.cards) == min(10, kind.total)
    answers = [card.answer for card in kinds["Right"].cards]
    available = len({card.answer for card in galleries(run, 100)["own"][2].cards})
    assert len(set(answers)) == min(available, 10)


def test_a_card_says_what_its_row_says(run, rows):
    for card in (card for kind in galleries(run, 6)["own"] for card in kind.cards):
        row = rows[card.key]
        order = np.argsort(row["scores"], kind="stable")[:BEST]
        assert [best.name for best in card.best] == [str(label) for label in order]
        assert [best.score for best in card.best] == [row["scores"][label] for label in order]
        probabilities = [row["probabilities"][label] for label in order]
        assert [best.probability for best in card.best] == probabilities
        assert (card.truth, card.answer) == (str(row["label"]), str(row["prediction"]))
        data = base64.b64decode(card.picture.removeprefix("data:image/webp;base64,"))
        assert (picture(data) == picture(row["thumbnail"])).all()


def test_curves_are_differences_of_stored_errors(run, rows):
    time = (np.arange(12) + 0.5) / 12
    for card in (card for kind in galleries(run, 6)["own"] for card in kind.cards):
        row = rows[card.key]
        flat, ends = dict(row["errors"])["l2"], np.cumsum(row["trial_counts"])
        errors = [np.array(part) for part in np.split(flat, ends[:-1])]
        best = errors[row["prediction"]]
        assert [curve.name for curve in card.curves] == [best.name for best in card.best[1:]]
        for curve in card.curves:
            own = errors[int(curve.name)]
            common = min(len(own), len(best))
            differences = own[:common] - best[:common]
            weights = np.histogram(time[:common], bins=10, range=(0, 1))[0]
            sums = np.histogram(time[:common], bins=10, range=(0, 1), weights=differences)[0]
            expected = sums[weights > 0] / weights[weights > 0]
            assert [value for _, value in curve.points] == pytest.approx(list(expected), abs=1e-6)


def test_bins_of_time_pass_over_what_was_not_evaluated():
    time = np.array([0.95, 0.01, 0.05, 0.5])
    points = binned(time, np.array([1.0, 2.0, 4.0, np.nan]))
    assert points == [(pytest.approx(0.03), 3.0), (pytest.approx(0.95), 1.0)]
    assert binned(time, np.array([1.0])) == [(0.95, 1.0)]


def test_candidates_of_a_set_with_fewer_classes():
    description = {
        "candidates": ["a", "b", "c", "d"], "labels": [0, 1, 2, 2],
        "candidate_labels": {"part": [[2, 0]], "all": None},
    }  # fmt: skip
    assert list(candidate_labels(description, "part")) == [2, 2, 2]
    assert list(candidate_labels(description, "all")) == [0, 1, 2, 2]
    assert list(candidate_labels(description, "unheard of")) == [0, 1, 2, 2]


def test_images_with_a_thumbnail_go_first(run):
    contents = run.sets["own"]
    contents.pictured[:] = torch.rand(len(contents)) < 0.5
    pictured = dict(zip(contents.keys, contents.pictured.tolist(), strict=True))
    for kind in galleries(run, 100)["own"]:
        shown = [pictured[card.key] for card in kind.cards]
        assert shown == sorted(shown, reverse=True)


def test_images_without_labels(tmp_path, seed):
    run = read_run(make_run(tmp_path, images=30, known=False, errors=False), "run")
    kinds = galleries(run, 5)["own"]
    assert [kind.title for kind in kinds] == ["Undecided", "Decided"]
    assert sum(kind.total for kind in kinds) == 30
    assert all(card.truth is None and not card.curves for kind in kinds for card in kind.cards)
