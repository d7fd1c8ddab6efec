"""Text, image and group scores: by hand, with ties, and in any shape."""

import itertools

import numpy as np
import pytest

from diffclf_lightning.metrics import Matched, clopper_pearson, matching_report
from diffclf_lightning.metrics.matching import chances

# Errors of images (rows) under captions; what the definition of Thrush et al. gives, by hand.
HAND = [
    ([[1, 2], [2, 1]], (True, True, True)),
    ([[1, 2], [2, 3]], (False, False, False)),  # one caption is better for both images
    ([[1, 5], [4, 4.5]], (False, True, False)),
    ([[5, 6], [2, 1]], (True, False, False)),  # one image is likelier whatever the caption
    ([[2, 1], [1, 2]], (False, False, False)),
    ([[1, 1], [2, 1]], (False, False, False)),  # a tie is wrong, in a row
    ([[1, 2], [1, 1]], (False, False, False)),
    ([[1, 2], [1, 0]], (True, False, False)),  # and in a column alone
    ([[1, 1], [1, 1]], (False, False, False)),
]


@pytest.mark.parametrize(("errors", "expected"), HAND)
def test_by_hand(errors, expected):
    found = Matched.of(np.array(errors, dtype=float))
    assert (found.text, found.image, found.group) == expected


def test_any_shape_is_the_definition(seed):
    random = np.random.default_rng(seed)
    for images, captions in itertools.product(range(1, 5), repeat=2):
        for _ in range(30):
            errors = random.integers(0, 3, (images, captions)).astype(float)
            errors -= 2 * np.eye(images, captions)  # or nearly all would be wrong
            pairs = range(min(images, captions))
            text = all(
                errors[i, i] < errors[i, j] for i in pairs for j in range(captions) if j != i
            )
            image = all(errors[i, i] < errors[j, i] for i in pairs for j in range(images) if j != i)
            found = Matched.of(errors)
            assert found.text == (text if captions > 1 else None)
            assert found.image == (image if images > 1 else None)
            both = captions > 1 and images > 1
            assert found.group == ((text and image) if both else None)


def of(errors, tags):
    costs = np.ones(len(tags))
    return matching_report(errors, tags, costs.astype(int), costs, costs * np.nan, costs * np.nan)


def test_counts_by_tag_and_by_score():
    raw = [np.array(errors, dtype=float) for errors, _ in HAND]
    right = [np.array([[0.0, 1], [1, 0]])] * len(HAND)
    tags = ["Object"] * 4 + ["Both"] * 5
    report = of({"relative": right, "l2": raw}, tags)
    for tag, chosen in (("all", range(9)), ("Object", range(4)), ("Both", range(4, 9))):
        for place, kind in enumerate(("text", "image", "group")):
            count = report.scores["l2"][tag][kind]
            assert (count.correct, count.total) == (
                sum(HAND[i][1][place] for i in chosen), len(chosen),
            )  # fmt: skip
            assert report.scores["relative"][tag][kind].value == 1
    text = sum(expected[0] for _, expected in HAND)
    stored = report.summary()["scores"]["l2"]["all"]["text"]
    interval = clopper_pearson(text, 9)
    assert stored == {
        "correct": text, "total": 9, "score": text / 9,
        "interval": [interval.lower, interval.upper],
    }  # fmt: skip
    scalars = report.scalars()
    assert scalars["text_score"] == scalars["group_score_Object"] == 1
    assert scalars["text_score_l2"] == text / 9
    assert scalars["image_score_Object_l2"] == 2 / 4
    assert [row.get("", "") for row in report.cells()][1:] == [
        "Both", "Object", "l2",
    ]  # fmt: skip


def test_one_image_has_a_text_score_alone():
    report = of({"l2": [np.array([[1.0, 2, 3]]), np.array([[2.0, 1]])]}, ["", ""])
    assert set(report.counts["all"]) == {"text"}
    assert report.counts["all"]["text"].correct == 1
    assert "text_score" in report.scalars()
    assert "image_score" not in report.scalars()
    assert list(report.counts) == ["all"]


def test_each_kind_counts_the_examples_that_have_it():
    one_image, one_caption = np.array([[1.0, 2]]), np.array([[2.0], [1]])
    report = of({"l2": [one_image, one_caption, np.eye(2)]}, ["", "", ""])
    counts = report.counts["all"]
    assert (counts["text"].correct, counts["text"].total) == (1, 2)
    assert (counts["image"].correct, counts["image"].total) == (0, 2)
    assert (counts["group"].correct, counts["group"].total) == (0, 1)
    assert report.total == 3
    assert not any("chance" in note for note in report.notes)


def test_chance_is_what_independent_errors_give(seed):
    random = np.random.default_rng(seed)
    for shape, expected in {
        (2, 2): {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6},
        (1, 4): {"text": 1 / 4},
        (4, 4): {"text": 1 / 256, "image": 1 / 256},
        (3, 1): {"image": 1 / 3},
    }.items():
        found = chances({shape})
        assert found == pytest.approx(expected)
        drawn = [Matched.of(random.standard_normal(shape)) for _ in range(20_000)]
        for kind, share in found.items():
            right = np.mean([getattr(one, kind) for one in drawn])
            assert right == pytest.approx(share, abs=5 * (share / 20_000) ** 0.5)
    assert chances({(1, 2), (2, 2)}) == {}
