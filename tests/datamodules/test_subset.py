import hashlib
import random
from collections import Counter
from itertools import pairwise

import pytest

from diffclf_lightning.datamodules.subset import balanced_subset


def population(classes=7, each=6):
    labels = [label for label in range(classes) for _ in range(each)]
    return [f"image_{i:04d}.jpg" for i in range(len(labels))], labels


def chosen_names(names, labels, size, seed=0):
    return {names[i] for i in balanced_subset(names, labels, size, seed)}


@pytest.mark.parametrize("size", range(1, 43))
def test_classes_differ_by_one_image_at_most(size):
    names, labels = population()
    chosen = balanced_subset(names, labels, size)
    counts = Counter(labels[i] for i in chosen)
    assert len(set(chosen)) == len(chosen) == size
    assert max(counts.values()) - min(counts[label] for label in range(7)) <= 1


@pytest.mark.parametrize("size", [1, 7, 10, 14, 41])
def test_order_of_files_does_not_matter(size, seed):
    names, labels = population()
    order = random.Random(seed).sample(range(len(names)), len(names))
    shuffled = [names[i] for i in order], [labels[i] for i in order]
    assert chosen_names(*shuffled, size) == chosen_names(names, labels, size)


def test_the_least_hashes_of_each_class_are_chosen():
    names, labels = population()
    expected = set()
    for label in range(7):
        own = [name for name, other in zip(names, labels, strict=True) if other == label]
        own.sort(key=lambda name: hashlib.sha256(f"5/{name}".encode()).hexdigest())
        expected |= set(own[:2])
    assert chosen_names(names, labels, 14, seed=5) == expected


def test_a_smaller_subset_is_part_of_a_larger_one():
    names, labels = population()
    sets = [chosen_names(names, labels, size) for size in range(1, 43)]
    assert all(small < large for small, large in pairwise(sets))


def test_seeds_choose_other_images():
    names, labels = population()
    assert len({frozenset(chosen_names(names, labels, 14, seed)) for seed in range(20)}) > 10


def test_positions_ascend():
    chosen = balanced_subset(*population(), 20)
    assert chosen == sorted(chosen)


def test_small_classes_leave_their_places_to_others():
    names, labels = population()
    keep = [i for i, label in enumerate(labels) if label != 3 or i % 6 == 0]
    names, labels = [names[i] for i in keep], [labels[i] for i in keep]
    counts = Counter(labels[i] for i in balanced_subset(names, labels, 19))
    assert counts[3] == 1
    assert [counts[label] for label in range(7) if label != 3] == [3] * 6


def test_no_more_images_than_there_are():
    names, labels = population()
    assert balanced_subset(names, labels, 1000) == list(range(42))
