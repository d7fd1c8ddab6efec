import pytest

from diffclf_lightning import EachPrompt, InputError, MeanEmbedding, PromptFile

NAMES = ["cat", "dog"]


def test_each_prompt_is_a_candidate_of_its_label():
    candidates = EachPrompt(["a {}.", "the {}!"]).candidates(NAMES)
    assert list(zip(candidates.conditions, candidates.labels, strict=True)) == [
        ("a cat.", 0),
        ("the cat!", 0),
        ("a dog.", 1),
        ("the dog!", 1),
    ]


def test_mean_embedding_is_one_candidate_a_class():
    candidates = MeanEmbedding(["a {}.", "the {}!"]).candidates(NAMES)
    assert candidates.conditions == (("a cat.", "the cat!"), ("a dog.", "the dog!"))
    assert candidates.labels == (0, 1)


@pytest.mark.parametrize("template", ["a photo", "a {} of {}", "a {name}"])
@pytest.mark.parametrize("kind", [EachPrompt, MeanEmbedding])
def test_template_without_a_place_is_named(kind, template):
    with pytest.raises(InputError, match="`template` to have one place"):
        kind([template])


def test_missing_names_and_templates_are_named():
    with pytest.raises(InputError, match="`classnames` with a template"):
        EachPrompt("a {}").candidates(None)
    with pytest.raises(InputError, match="at least one template"):
        EachPrompt([])


def written(tmp_path, *lines):
    file = tmp_path / "prompts.csv"
    file.write_text("\n".join(lines) + "\n")
    return PromptFile(file)


def test_prompts_of_a_file(tmp_path):
    file = written(tmp_path, "prompt,classname,label", '"a dog, big",dog,1', "a cat,cat,0")
    candidates = file.candidates(NAMES)
    assert candidates.conditions == ("a dog, big", "a cat")
    assert candidates.labels == (1, 0)
    assert file.candidates(None) == candidates


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["prompt,label", "a cat,0"], "columns prompt, classname, label.*but got prompt, label"),
        (["prompt,classname,label", "a hen,hen,2"], "labels from 0 to 1.*line 2 has '2'"),
        (["prompt,classname,label", "a hen,hen,x"], "line 2 has 'x'"),
        (["prompt,classname,label", "a cat,dog,0"], "class 'cat' for label 0.*line 2 has 'dog'"),
        (["prompt,classname,label"], "no line of data"),
    ],
)
def test_bad_files_are_named(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        written(tmp_path, *lines).candidates(NAMES)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*nothing\.csv"):
        PromptFile(tmp_path / "nothing.csv").candidates(NAMES)
