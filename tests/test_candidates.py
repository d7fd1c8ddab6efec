import json

import numpy as np
import pytest
import torch

from diffclf_lightning import Candidates, Classification, InputError
from diffclf_lightning.tasks import Asked


def test_restriction_keeps_all_candidates_of_a_label():
    candidates = Candidates([10, 11, 12, 13], [0, 1, 1, 2]).restrict([2, 1])
    assert candidates.conditions == (11, 12, 13)
    assert candidates.labels == (1, 1, 2)


def test_bad_candidates_are_named():
    with pytest.raises(InputError, match="2 conditions and 1 labels"):
        Candidates([1, 2], [0])
    with pytest.raises(InputError, match="at least one candidate"):
        Candidates([], [])
    with pytest.raises(InputError, match="`labels` from 0 up"):
        Candidates([1], [-1])
    with pytest.raises(InputError, match=r"none for \[7\]"):
        Candidates([1, 2], [0, 1]).restrict([1, 7])


def test_merged_labels_count_as_the_first_of_their_group():
    candidates = Candidates(range(6), [0, 1, 2, 3, 4, 4]).restrict([(3, 1), 4])
    assert candidates.conditions == (1, 3, 4, 5)
    assert candidates.labels == (3, 3, 4, 4)


def test_a_label_in_two_groups_is_refused():
    with pytest.raises(InputError, match="2 in the groups of 1 and 3"):
        Candidates(range(4), range(4)).restrict([(1, 2), (3, 2)])


def test_a_label_in_a_hole_of_the_candidates_is_refused():
    task = Classification().bind(Asked(Candidates([3, 4], [0, 2])))
    task.check_labels([0, 2, 2], "mine")
    with pytest.raises(InputError, match=r"'mine'.* got 1"):
        task.check_labels([0, 1], "mine")
    with pytest.raises(InputError, match=r"'mine'.* got 2"):
        task.restrict([0]).check_labels([2], "mine")


def test_numbers_of_numpy_and_torch_are_plain_numbers_and_others_are_refused():
    candidates = Candidates(np.arange(2), torch.tensor([0, 1]))
    assert json.dumps([candidates.conditions, candidates.labels]) == "[[0, 1], [0, 1]]"
    with pytest.raises(InputError, match="`labels`"):
        Candidates([0, 1], [0.0, 1.0])
