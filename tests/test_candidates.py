import pytest

from diffclf_lightning import Candidates, InputError


def test_templates_share_labels():
    candidates = Candidates.from_template(["a {}.", "the {}!"], ["cat", "dog"])
    assert list(zip(candidates.conditions, candidates.labels, strict=True)) == [
        ("a cat.", 0),
        ("the cat!", 0),
        ("a dog.", 1),
        ("the dog!", 1),
    ]


def test_restriction_keeps_all_candidates_of_a_label():
    candidates = Candidates([10, 11, 12, 13], [0, 1, 1, 2]).restrict([2, 1])
    assert candidates.conditions == (11, 12, 13)
    assert candidates.labels == (1, 1, 2)


@pytest.mark.parametrize("template", ["a photo", "a {} of {}", "a {name}"])
def test_template_without_a_place_is_named(template):
    with pytest.raises(InputError, match="`template` to have one place"):
        Candidates.from_template(template, ["cat"])


def test_bad_candidates_are_named():
    with pytest.raises(InputError, match="2 conditions and 1 labels"):
        Candidates([1, 2], [0])
    with pytest.raises(InputError, match="at least one candidate"):
        Candidates([], [])
    with pytest.raises(InputError, match="`labels` from 0 up"):
        Candidates([1], [-1])
    with pytest.raises(InputError, match=r"none for \[7\]"):
        Candidates([1, 2], [0, 1]).restrict([1, 7])
