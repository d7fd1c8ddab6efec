"""Which class of a model a name means."""

import random

import pytest

from diffclf_lightning import InputError
from diffclf_lightning.candidates import model_classes
from diffclf_lightning.classnames import class_ids, imagenet_classes

ANIMALS = ["tabby, tabby cat", "dog", "Great White Shark", "crane", "crane", "n02"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["dog", "tabby, tabby cat"], [1, 0]),
        (["DOG", "tabby_cat", "great-white  shark"], [1, 0, 2]),
        (["tabby", "N02"], [0, 5]),
        (ANIMALS, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_names_are_found_however_they_are_written(names, ids):
    assert class_ids(names, ANIMALS) == ids


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dgo", "tabby"], r"'dgo' \(nearest: 'dog'\)"),
        (["tabby", "zebra"], r"'zebra' \(nearest: none\).*classes_by_position"),
        (["crane", "dog"], r"'crane' means 'crane' \(3\), 'crane' \(4\)"),
        (["tabby", "tabby cat"], "both mean 'tabby, tabby cat'"),
        ([str(i) for i in range(9)], "and 4 more"),
    ],
)
def test_names_that_do_not_fit_are_refused_with_the_nearest(names, message):
    with pytest.raises(InputError, match=message):
        class_ids(names, ANIMALS)


def test_imagenet_is_known_by_synset_and_by_name(seed):
    """A model that words its classes in its own way: synonyms behind ours, some other."""
    synsets, names = zip(*imagenet_classes(), strict=True)
    known = [f"{name}, Latin {i}" for i, name in enumerate(names)]
    known[5], known[6] = "something else", "crane"
    chosen = random.Random(seed).sample(range(1000), 50)
    assert class_ids([synsets[i] for i in chosen], known) == chosen
    assert class_ids(synsets, known) == list(range(1000))
    assert class_ids(names, known) == list(range(1000))
    unique = [i for i in chosen if names.count(names[i]) == 1]
    assert class_ids([names[i].upper() for i in unique], known) == unique
    shuffled = list(synsets)
    shuffled[3], shuffled[4] = shuffled[4], shuffled[3]
    assert class_ids(shuffled, known)[3:5] == [4, 3]


def test_a_model_without_names_is_known_by_numbers_or_with_a_word_by_position():
    assert model_classes(["10", "2", "00"], 11, None, False).conditions == (10, 2, 0)
    with pytest.warns(UserWarning, match="no class names"):
        found = model_classes(["cat", "dog"], 2, None, False)
    assert found.conditions == found.labels == (0, 1)
    with pytest.raises(InputError, match="3 names for 2 classes"):
        model_classes(["a", "b", "c"], 2, ["x", "y"], True)
    assert model_classes(["b", "a"], 2, ["a", "b"], True).conditions == (0, 1)
    assert model_classes(["b", "a"], 2, ["a", "b"], False).conditions == (1, 0)
