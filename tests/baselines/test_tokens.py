"""Prompts that a tokenizer of open_clip would cut, or does not know."""

import warnings

import open_clip
import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.baselines.tokens import tokens_of
from diffclf_lightning.denoisers.scratch import word_tokenizer


def words(length):
    return " ".join(["one"] * length)


@pytest.fixture
def word_level(tmp_path):
    def made(**kwargs):
        word_tokenizer(["one"], 8).save_pretrained(tmp_path / "words")
        return open_clip.tokenizer.HFTokenizer(str(tmp_path / "words"), 8, **kwargs)

    return made


@pytest.mark.parametrize("kind", ["simple", "words", "clips"])
def test_prompts_that_are_cut_are_refused(kind, word_level):
    if kind == "simple":
        tokenizer, most = open_clip.SimpleTokenizer(context_length=8), 6
    elif kind == "words":
        tokenizer, most = word_level(), 6
    else:
        tokenizer, most = word_level(tokenizer_mode="clips"), 5
        tokenizer.tokenizer.cls_token = "<end>"
    for length in range(most + 1):
        expected = tokenizer([words(length)])
        assert torch.equal(tokens_of(tokenizer, [words(length)]), expected)
    for length in range(most + 1, most + 12):
        with pytest.raises(InputError, match=f"at most 8 tokens.*'{words(length)}'.*Shorten"):
            tokens_of(tokenizer, ["one", words(length)])


def test_unknown_words_are_said(word_level):
    with pytest.warns(UserWarning, match=r"1 of 2 prompts have words.*'one cat'.*<unk>"):
        tokens_of(word_level(), ["one", "one cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens_of(word_level(), ["one one"])
        tokens_of(open_clip.SimpleTokenizer(context_length=8), ["cat"])
