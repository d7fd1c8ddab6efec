"""Scenes: the grammar, the pictures, and who is held out."""

from collections import Counter
from itertools import product
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import LeftDigit, Scenes
from diffclf_lightning.datamodules.scenes_drawing import (
    HandwrittenDigits,
    draw_scenes,
    looking,
    shrinking,
)
from diffclf_lightning.datamodules.scenes_grammar import (
    AND,
    DIGITS,
    ORDERED,
    UNSEEN,
    Scene,
    Thing,
    draw_scene,
)

BANK = np.rint(load_digits().images / 16 * 255).astype(np.uint8)
LABELS = load_digits().target
ROW = {"above": (1, 0), "below": (-1, 0), "left": (0, 1), "right": (0, -1)}
WAY = {
    "above": "above", "on top of": "above", "below": "below", "under": "below",
    "left of": "left", "to the left of": "left", "right of": "right", "to the right of": "right",
    "and": None,
}  # fmt: skip
"""Where the second digit stands from the first, by phrase."""


def understood(caption):
    """Digits, adjectives, and the way from the first to the second: read from the words alone."""
    words = caption.split()
    where = [place for place, word in enumerate(words) if word in DIGITS]
    digits = [DIGITS.index(words[place]) for place in where]
    looks = [words[p - 1] if words[p - 1] not in ("a", "the") else "" for p in where]
    if len(where) == 1:
        return digits, looks, None
    between = [w for w in words[where[0] + 1 : where[1]] if w not in ("is", *looks)]
    return digits, looks, WAY[" ".join(between[:-1])]  # the last is the article


def drawn(pixels, look):
    """A digit as it must look, from 8-bit levels: halved, or by PIL's own bilinear reduction."""
    if look == "dark":
        return pixels / 2
    if look != "small":
        return pixels.astype(float)
    small = Image.fromarray(pixels.astype(np.float32)).resize((5, 5), Image.Resampling.BILINEAR)
    whole = np.zeros((8, 8))
    whole[2:7, 1:6] = np.asarray(small)
    return whole


def quadrants_of(image):
    """The digits' quadrants by place (row, column)."""
    parts = {
        (r, c): image[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] for r, c in product((0, 1), (0, 1))
    }
    return {place: part for place, part in parts.items() if part.any()}


def shown(part, digit, look, span):
    """Whether a quadrant shows some image of the digit in that look."""
    candidates = [drawn(BANK[i], look) for i in range(*span) if LABELS[i] == digit]
    return any(np.abs(part - one).max() <= 1 for one in candidates)


def holds(image, caption, span):
    digits, looks, way = understood(caption)
    parts = quadrants_of(image)
    for first, second in product(parts, parts):
        step = (second[0] - first[0], second[1] - first[1])
        fits = sum(map(abs, step)) == 1 if way is None else step == ROW[way]
        if fits and all(
            shown(parts[place], digit, look, span)
            for place, digit, look in zip((first, second), digits, looks, strict=True)
        ):
            return True
    return False


@pytest.fixture(scope="module")
def examples():
    (name,) = (sets := Scenes(num_test=60).test_sets())
    assert name == "scenes"
    return sets[name]


def test_captions_have_the_same_words_and_only_their_own_picture(examples):
    for sample in (examples[i] for i in range(60)):
        images = [np.asarray(image) for image in sample["images"]]
        first, second = sample["captions"]
        assert sorted(first.split()) == sorted(second.split())
        for image, own, other in zip(images, (first, second), (second, first), strict=True):
            assert image.shape == (16, 16)
            assert image.dtype == np.uint8
            assert len(quadrants_of(image)) == 2
            assert holds(image, own, (1297, 1797)), own
            assert not holds(image, other, (1297, 1797)), (own, other)


def test_what_changes_places_is_what_the_tag_says(examples):
    tags = Counter(sample["tag"] for sample in map(examples.__getitem__, range(60)))
    assert tags == {"Object": 20, "Relation": 20, "Both": 20}
    for sample in map(examples.__getitem__, range(60)):
        (a, x, _), (b, y, _) = map(understood, sample["captions"])
        swapped = {"Object": (True, False), "Relation": (False, True), "Both": (True, True)}
        digits, looks = swapped[sample["tag"]]
        assert b == (a[::-1] if digits else a)
        assert y == (x[::-1] if looks else x)
        assert a[0] != a[1]
        if sample["tag"] != "Object":
            assert x[0] != x[1]


def test_examples_are_the_same_in_every_run_and_keyed(examples):
    again = Scenes(num_test=12).test_sets()["scenes"]
    for i in range(12):
        assert again.examples[i].captions == examples.examples[i].captions
        for one, other in zip(again.examples[i].images, examples.examples[i].images, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))
    assert len(set(examples.keys)) == 60
    # What this says is fixed: other captions would be another benchmark.
    assert examples.examples[0].captions[0] == "the dark six to the right of the bright nine"
    assert examples.keys[0] == "object/0000"


def test_training_scenes_show_what_their_captions_say(seed):
    torch.manual_seed(seed)
    loader = Scenes(batch_size=64, num_train=64, augment=0.0).train_dataloader()
    (batch,) = loader
    assert batch["image"].shape == (64, 1, 16, 16)
    assert batch["image"].dtype == torch.uint8
    for image, caption, corners in zip(
        batch["image"][:, 0].numpy(), batch["caption"], batch["windows"].tolist(), strict=True
    ):
        assert {(r // 8, c // 8) for r, c in corners} == set(quadrants_of(image))
        digits, looks, _ = understood(caption)
        if len(digits) == 2:
            assert holds(image, caption, (0, 1297)), caption
            assert frozenset(digits) not in UNSEEN
        else:
            (part,) = quadrants_of(image).values()
            assert shown(part, digits[0], looks[0], (0, 1297))


def test_what_is_known_is_what_the_words_say(seed):
    torch.manual_seed(seed)
    (batch,) = Scenes(batch_size=200, num_train=200, singles=0.2).train_dataloader()
    look = {"": 0, "bright": 0, "big": 0, "dark": 1, "small": 2}
    for caption, regions, words in zip(
        batch["caption"], batch["regions"].tolist(), batch["words"].tolist(), strict=True
    ):
        digits, looks, way = understood(caption)
        things = [[digit, look[name]] for digit, name in zip(digits, looks, strict=True)]
        split = caption.split()
        named = [word for word in words if word[0] >= 0]
        assert [split[place] for place, *_ in named] == [DIGITS[digit] for digit in digits]
        assert [thing for _, *thing in named] == things
        if len(digits) == 1:
            expected = things * 4
        elif way is None:
            expected = [[-100, -100]] * 4
        else:
            axis = 0 if ROW[way][0] else 1
            second_at = 1 if sum(ROW[way]) > 0 else 0
            expected = [
                things[1] if place[axis] == second_at else things[0]
                for place in product((0, 1), (0, 1))
            ]
        assert regions == expected, caption


def test_shares_of_captions(seed):
    random = Random(seed)
    scenes = [draw_scene(random, adjectives=0.3, singles=0.2) for _ in range(4000)]
    two = [scene for scene in scenes if scene.relation is not None]
    assert len(two) / 4000 == pytest.approx(0.8, abs=0.03)
    adjectives = [scene for scene in two if scene.things[0].adjective]
    assert len(adjectives) / len(two) == pytest.approx(0.3, abs=0.04)
    conjoined = sum(scene.relation is AND for scene in two) / len(two)
    assert conjoined == pytest.approx(0.12, abs=0.03)
    assert {scene.relation for scene in two} == {AND, *ORDERED}


def test_a_small_digit_is_what_pil_makes_of_it(seed):
    pixels = torch.rand(3, 8, 8, dtype=torch.float64)
    looks = torch.tensor([2, 2, 2])
    for mine, one in zip(looking(pixels, looks), pixels, strict=True):
        assert np.allclose(mine.numpy(), drawn(one.numpy(), "small"), atol=1e-6)
    assert torch.allclose(shrinking().sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_left_digit_is_the_label():
    module = LeftDigit(num_test=40)
    (images,) = module.test_sets().values()
    for index in range(40):
        parts = quadrants_of(images.pixels[index])
        (row,) = {row for row, _ in parts}
        assert set(parts) == {(row, 0), (row, 1)}
        assert shown(parts[row, 0], images.labels[index], "", (1297, 1797))
    assert Counter(images.labels) == dict.fromkeys(range(10), 4)
    assert module.classnames[images.labels[3]] == "three"


def test_fewer_left_digits_are_the_first_ones():
    (some,), (all_of_them,) = (LeftDigit(num_test=n).test_sets().values() for n in (7, 30))
    assert np.array_equal(some.pixels, all_of_them.pixels[:7])
    for kind in ("labels", "keys"):
        assert list(getattr(some, kind)) == list(getattr(all_of_them, kind))[:7]
    assert len({key[1] for key in all_of_them.keys}) > 5
    assert len({picture.tobytes() for picture in all_of_them.pixels}) == 30


def test_one_digit_may_stand_anywhere(seed):
    digits = HandwrittenDigits(held_out=False)
    scenes = [Scene((Thing(4),))] * 100
    pictures, places = draw_scenes(Random(seed), digits, scenes)
    assert {place for (place,) in places} == {0, 1, 2, 3}
    assert all(len(quadrants_of(picture[0].numpy())) == 1 for picture in pictures)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_test": 0}, "`num_test` to be at least 1, but got 0"),
        ({"num_train": 0}, "`num_train` to be at least 1"),
        ({"adjectives": 1.5}, "`adjectives` from 0 to 1, but got 1.5"),
        ({"singles": -0.1}, "`singles` from 0 to 1"),
        ({"batch_size": 0}, "`batch_size` to be at least 1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, said):
    with pytest.raises(InputError, match=said):
        Scenes(**arguments)
