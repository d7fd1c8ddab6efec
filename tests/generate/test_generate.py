"""``diffclf generate``: which images, by whom they are drawn, and what becomes of interruptions."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tiny import unet

from diffclf_lightning import InputError
from diffclf_lightning.cli import main
from diffclf_lightning.datamodules import FGVCAircraft, ImageFolder
from diffclf_lightning.datamodules.names import folder_name, for_prompt
from diffclf_lightning.generate.command import _class_ids
from diffclf_lightning.generate.plan import Plan
from diffclf_lightning.generate.samplers import (
    DDIMSampler,
)
from diffclf_lightning.generate.tree import ImageTree

QUICK = ["--denoiser", "diffclf/digits-dit", "--names", "one, seven, eight", "--steps", "3"]


def contents(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def pixels(folder):
    return {f.relative_to(folder): np.asarray(Image.open(f)) for f in folder.rglob("*.png")}


def generate(folder, *more, size=4, images=5):
    main(["generate", *QUICK, "--out", str(folder), "--images", str(images),
          "--batch-size", str(size), *more])  # fmt: skip
    return pixels(folder)


def close(found, expected):
    """Equal up to the round-off of batches, which may tip a grey level."""
    assert found.keys() == expected.keys()
    for file, image in found.items():
        difference = np.abs(image.astype(int) - expected[file])
        assert difference.max() <= 1, file
        assert (difference > 0).mean() < 0.1, file


def test_images_are_the_same_whatever_batches_parts_and_numbers(tmp_path):
    expected = generate(tmp_path / "whole")
    assert Counter(file.parts[0] for file in expected) == {"one": 5, "seven": 5, "eight": 5}
    assert len({image.tobytes() for image in expected.values()}) == 15
    close(generate(tmp_path / "single", size=1), expected)
    for part in (2, 1):
        generate(tmp_path / "parts", "--part", f"{part}/2")
    close(pixels(tmp_path / "parts"), expected)
    more = generate(tmp_path / "whole", images=7)
    close({file: more[file] for file in expected}, expected)
    assert len(more) == 21
    other = generate(tmp_path / "seed", "--seed", "1")
    assert all((other[file] != image).any() for file, image in expected.items())


@pytest.mark.parametrize("after", [0, 4, 6, 14])
def test_a_generation_that_was_killed_goes_on_to_the_same_bytes(tmp_path, monkeypatch, after):
    generate(tmp_path / "whole")
    written, write = [], ImageTree._write

    def killed(self, image, drawn):
        if len(written) == after:
            (self.folder / image.file).write_bytes(b"\x89PNG half")  # as a full disk leaves it
            raise KeyboardInterrupt
        written.append(image)
        write(self, image, drawn)

    with monkeypatch.context() as patched:
        patched.setattr(ImageTree, "_write", killed)
        with pytest.raises(SystemExit, match="130"):
            generate(tmp_path / "cut")
    before = {f: f.stat().st_mtime_ns for f in tmp_path.glob("cut/*/*.png")}
    generate(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    kept = [f for f, time in before.items() if f.stat().st_mtime_ns == time]
    assert len(kept) == after


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    generate(tmp_path / "whole")
    save, done = Image.Image.save, []

    def full(self, *args, **kwargs):
        if len(done) == 4:
            raise OSError(28, "No space left on device")
        done.append(args)
        save(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", full)
        with pytest.raises(SystemExit, match="2"):
            generate(tmp_path / "cut")
    assert "No space left on device" in capsys.readouterr().err
    assert len(list(tmp_path.glob("cut/*/*"))) == 4
    generate(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_parts_of_other_batch_sizes_leave_nothing_out(tmp_path, capsys):
    generate(tmp_path / "t", "--part", "1/2", size=4)
    said = capsys.readouterr().out
    assert "8 images written; 8 of 15 are there" in said
    assert "--part 1/2 to 2/2" in said
    assert "Train on them" not in said
    assert len(generate(tmp_path / "t", "--part", "2/2", size=2)) == 15
    said = capsys.readouterr().out
    assert "7 images written; 15 of 15 are there" in said
    assert "Train on them" in said
    for parts in (1, 2, 7, 20):
        plan = Plan(["a", "b"], [[0], [1]], images=8)
        batches = [b for p in range(parts) for b in plan.batches(1 + p % 3, p + 1, parts)]
        assert Counter(image.file for b in batches for image in b) == Counter(
            image.file for image in plan
        )


def test_a_whole_tree_is_not_drawn_again(tmp_path, monkeypatch):
    generate(tmp_path / "t")
    files = sorted((tmp_path / "t").rglob("*.png"))
    before = [(file, file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    monkeypatch.setattr(DDIMSampler, "sample", lambda *_: pytest.fail("drawn again"))
    generate(tmp_path / "t")
    assert before
    assert [(file, file.stat().st_mtime_ns, file.read_bytes()) for file in files] == before


def test_index_and_images_say_what_made_them(tmp_path):
    main(["generate", "--config", "digits_text", "--names", "two", "three", "--steps", "2",
          "--template", "a {}", "the {} .", "--images", "3",
          "--out", str(tmp_path / "t")])  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "t/index.jsonl").read_text().splitlines()]
    assert {line["file"]: line["prompt"] for line in lines} == {
        "two/00000.png": "a two", "three/00000.png": "a three",
        "two/00001.png": "the two .", "three/00001.png": "the three .",
        "two/00002.png": "a two", "three/00002.png": "a three",
    }  # fmt: skip
    assert len({line["seed"] for line in lines}) == 6
    for line in lines:
        with Image.open(tmp_path / "t" / line["file"]) as image:
            image.load()
            told = {name: line[name] for name in ("class", "prompt", "number", "seed")}
            assert image.text == {name: str(value) for name, value in told.items()}
    made = json.loads((tmp_path / "t/generation.json").read_text())
    assert (made["denoiser"], made["steps"], made["guidance"]) == ("diffclf/digits-text", 2, 7.5)
    data = ImageFolder(tmp_path / "t")
    data.setup("test")
    assert (data.classnames, len(data.images)) == (("three", "two"), 6)


def test_every_class_of_the_sets_has_a_folder_that_means_it():
    names = [*FGVCAircraft.classnames, "baluster / handrail", "a_b", "100% wool", ".hidden", "a\\b"]
    folders = [folder_name(name) for name in names]
    assert [for_prompt(folder) for folder in folders] == names
    assert not any(set(folder) & set("/\\_") or folder.startswith(".") for folder in folders)
    assert for_prompt("apple_pie") == "apple pie"
    with pytest.raises(InputError, match="spaces"):
        folder_name("a  b")


def test_numbered_folders_stand_in_the_order_of_the_classes():
    names = [f"class {number}" for number in range(12)] + ["missile", "missile"]
    plan = Plan(names, [[name] for name in names], images=1, numbered=True)
    assert sorted(plan.folders) == plan.folders
    assert len({image.seed for image in plan}) == 14
    with pytest.raises(InputError, match=r"'missile' and 'missile'.*--numbered"):
        Plan(names, [[name] for name in names], images=1)


def test_seeds_are_of_class_and_number_alone():
    few = {(i.classname, i.number): i.seed for i in Plan(["a", "b"], [[0], [1]], images=3)}
    many = {(i.classname, i.number): i.seed for i in Plan(["b", "c", "a"], [[0]] * 3, images=9)}
    assert few.items() <= many.items()
    assert len(set(many.values())) == 27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "--images to be at least 1"),
        (["--steps", "0"], "--steps to be at least 1"),
        (["--steps", "1001"], "--steps to be at most 1000"),
        (["--guidance", "0.5"], "--guidance to be at least 1"),
        (["--guidance", "inf"], "--guidance to be at least 1 and finite"),
        (["--guidance", "nan"], "--guidance to be at least 1 and finite"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", "-1"], "--seed from 0"),
        (["--part", "3/2"], "--part as K/N"),
        (["--part", "half"], "--part as K/N"),
        (["--names", "one, eleven"], "--names to be among the 10 classes of.*zero, one, two"),
        (["--template", "a {}"], "no --template"),
        (["--denoiser", "diffclf/digits-text", "--names", "a", "A"], "'a' and 'A'"),
        (["--denoiser", "diffclf/digits-text", "--template", "a"], "one place {}"),
        (["--device", "moon"], "--device"),
        (["--config", "folder"], "--config folder.*--names"),
    ],
)
def test_wrong_arguments_are_named(diffclf, arguments, message):
    quick = [] if "--config" in arguments else QUICK
    said = diffclf("generate", *quick, "--out", "t", *arguments, code=2).stderr
    assert message.split(".*")[0] in said
    assert message.split(".*")[-1] in said
    assert "classes_by_position=true" not in said  # which is none of its arguments


def test_names_of_a_model_without_names_are_its_numbers_or_all_of_them_in_order():
    denoiser = unet(null=True)
    assert denoiser.classnames is None
    count = denoiser.num_classes
    assert _class_ids(["2", "0"], denoiser, "mine") == [2, 0]
    letters = [*"abcdefghij"[:count]]
    with pytest.warns(UserWarning, match="mine has no class names: --names"):
        assert _class_ids(letters, denoiser, "mine") == list(range(count))
    with pytest.raises(InputError, match=f"among the {count} classes of mine, but got 'a'.*0, 1"):
        _class_ids(["a", "1"], denoiser, "mine")


def test_a_device_that_is_not_there_leaves_nothing_behind(tmp_path):
    with pytest.raises(SystemExit):
        generate(tmp_path / "t", "--device", "cuda:99", images=1)
    assert not (tmp_path / "t").exists()
    generate(tmp_path / "t", "--device", "cpu", images=1)


def test_another_type_is_named_rather_than_the_weights_that_it_changes(tmp_path, capsys):
    generate(tmp_path / "t", images=1)
    with pytest.raises(SystemExit):
        generate(tmp_path / "t", "--dtype", "bfloat16", images=1)
    said = capsys.readouterr().err
    assert "`dtype` was 'float32' and is 'bfloat16' now" in said, said


@pytest.mark.parametrize("damage", [b'{"denoiser": "diff', b"", b"[1]", b"\xff\xfe"])
def test_a_damaged_description_is_said(tmp_path, damage):
    plan = Plan(["a"], [[0]], images=1)
    ImageTree(tmp_path / "t", plan, {"steps": 3}).begin()
    (tmp_path / "t/generation.json").write_bytes(damage)
    with pytest.raises(InputError, match=r"generation\.json can be read.*damaged.*Choose another"):
        ImageTree(tmp_path / "t", plan, {"steps": 3}).begin()


def test_what_is_missing_is_named(diffclf):
    assert "--denoiser or --config" in diffclf("generate", "--out", "t", code=2).stderr
    said = diffclf("generate", "--out", "t", "--denoiser", "diffclf/digits-text", code=2).stderr
    assert "Expected --names" in said


def test_other_images_do_not_mix(tmp_path):
    generate(tmp_path / "t", images=1)
    with pytest.raises(SystemExit):
        generate(tmp_path / "t", "--guidance", "2", images=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.png").touch()
    with pytest.raises(SystemExit):
        generate(tmp_path / "mine", images=1)
    assert not (tmp_path / "mine/one").exists()
