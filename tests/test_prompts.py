import pytest

from diffclf_lightning import InputError, PromptEnsemble, PromptFile

NAMES = ["cat", "dog"]
TEMPLATES = ["a {}.", "the {}!"]


def test_with_min_each_prompt_is_a_candidate_of_its_label():
    candidates = PromptEnsemble(TEMPLATES).candidates(NAMES)
    assert candidates == PromptEnsemble(TEMPLATES, reduce="min").candidates(NAMES)
    assert list(zip(candidates.conditions, candidates.labels, strict=True)) == [
        ("a cat.", 0),
        ("the cat!", 0),
        ("a dog.", 1),
        ("the dog!", 1),
    ]


def test_with_mean_all_prompts_of_a_class_are_one_candidate():
    candidates = PromptEnsemble(TEMPLATES, reduce="mean").candidates(NAMES)
    assert candidates.conditions == (("a cat.", "the cat!"), ("a dog.", "the dog!"))
    assert candidates.labels == (0, 1)


def test_a_name_with_braces_is_taken_as_it_is():
    candidates = PromptEnsemble("a {}.").candidates(["{}", "{0}"])
    assert candidates.conditions == ("a {}.", "a {0}.")


@pytest.mark.parametrize("template", ["a photo", "a {} of {}", "a {name}"])
def test_template_without_a_place_is_named(template):
    with pytest.raises(InputError, match="`templates`") as caught:
        PromptEnsemble(["a {}", template])
    assert repr(template) in str(caught.value)


def test_missing_names_and_templates_and_other_reductions_are_named():
    with pytest.raises(InputError, match="`classnames`"):
        PromptEnsemble("a {}").candidates(None)
    with pytest.raises(InputError, match="`templates`"):
        PromptEnsemble([])
    with pytest.raises(InputError, match=r"`reduce`.*'max'"):
        PromptEnsemble("a {}", reduce="max")


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


def test_the_published_layout_is_read_as_it_is(tmp_path):
    """Several prompts a class, names in other words, further columns."""
    rows = ["a cat,Cat breed,0,x", "a kitten,kitten,0,x", "a dog,dog,1,x"]
    file = written(tmp_path, "prompt,classname,classidx,note", *rows)
    candidates = file.candidates(NAMES)
    assert candidates.conditions == ("a cat", "a kitten", "a dog")
    assert candidates.labels == (0, 0, 1)


def test_a_permuted_class_order_is_refused_in_both_layouts(tmp_path):
    for column in ("label", "classidx"):
        file = written(tmp_path, f"prompt,classname,{column}", "a dog,dog,0", "a cat,cat,1")
        with pytest.raises(InputError, match=f"'cat' for {column} 0.*line 2 has 'dog'"):
            file.candidates(NAMES)


def test_a_name_that_the_data_repeats_may_stand_for_either_class(tmp_path):
    file = written(tmp_path, "prompt,classname,classidx", "a,missile,0", "b,missile,1")
    assert file.candidates(["missile", "missile"]).labels == (0, 1)


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "p.csv").write_bytes("\ufeffprompt,classname,classidx\r\na cat,cat,0\r\n".encode())
    assert PromptFile(tmp_path / "p.csv").candidates(NAMES).conditions == ("a cat",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["prompt,label", "a cat,0"], "columns prompt, classname.*but got prompt, label"),
        (["prompt,classname", "a cat,cat"], "label.*classidx.*but got prompt, classname"),
        (["prompt,classname,label", "a hen,hen,2"], "from 0 to 1.*line 2 has '2'"),
        (["prompt,classname,classidx", "a hen,hen,2"], "from 0 to 1.*line 2 has '2'"),
        (["prompt,classname,label", "a hen,hen,x"], "line 2 has 'x'"),
        (["prompt,classname,label", "a hen,hen"], "line 2 has ''"),
        (["prompt,classname,label", "a cat,kitten,0"], "'cat' for label 0.*line 2 has 'kitten'"),
        (["prompt,classname,label"], "no line of data"),
    ],
)
def test_bad_files_are_named(tmp_path, lines, message):
    file = written(tmp_path, *lines)
    with pytest.raises(InputError, match=message) as caught:
        file.candidates(NAMES)
    assert "prompts.csv" in str(caught.value)


def test_a_missing_file_or_one_of_bytes_is_named(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"prompt,classname,label\n\xff\xfe,\x80\n")
    for name in ("nothing.csv", "bytes.csv"):
        with pytest.raises(InputError, match=f"`file`.*{name}"):
            PromptFile(tmp_path / name).candidates(NAMES)
