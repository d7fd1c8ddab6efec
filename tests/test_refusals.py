"""What Lightning refuses is answered in one line; what is wrong in the package shows where."""

import re

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.refusals import checkpoint_path, refusals

RUN = ["test", "--config", "digits", "--trainer.accelerator=cpu", "--data.num_test=4"]


def line(ended):
    """The only thing that is said of the error, on a line of its own."""
    assert "Traceback" not in ended.stderr
    (said,) = re.findall(r"^diffclf: .*$", ended.stderr, re.MULTILINE)
    assert said.startswith("diffclf: error: Expected ")
    return said


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--trainer.devices=0"], "devices='0'"),
        (["--trainer.devices=foo"], "should be an int > 0"),
        (["--trainer.strategy=foo"], "strategy='foo'"),
        (["--trainer.limit_test_batches=0"], "`trainer.limit_test_batches` to leave something"),
        (["--ckpt_path=nope.ckpt"], "`ckpt_path` to be the file of a checkpoint, but got 'nope.c"),
        (["--ckpt_path="], "but got '', a folder of something else"),
        (["--ckpt_path=."], "but got '.', a folder of something else"),
        (["--ckpt_path=" + "x" * 300], "`ckpt_path` to be a path that file systems take"),
        (["--ckpt_path=~/x.ckpt"], "`ckpt_path` to be the file of a checkpoint, but got '~/x.ck"),
        (["--ckpt_path=best"], "`ckpt_path` to be the file of a checkpoint, but got 'best'"),
        (["--ckpt_path=last"], "but got 'last', which no callback of this run stores"),
    ],
)
def test_the_command_line_says_it_in_one_line(diffclf, arguments, names):
    assert names in line(diffclf(*RUN, *arguments, code=2))


def test_a_checkpoint_of_another_model_is_named(diffclf, tmp_path):
    content = {"state_dict": {"a": torch.zeros(2)}, "pytorch-lightning_version": "2.0.0"}
    torch.save(content, tmp_path / "other.ckpt")
    said = line(diffclf(*RUN, "--ckpt_path=other.ckpt", code=2))
    assert re.search(r"which of (\d+) weights lacks \1 \(.*has beside them 1 \(a", said)


def test_the_difference_between_checkpoints_is_told():
    classifier = DiffusionClassifier(GaussianDenoiser(torch.rand(3, 1, 4, 4)), Full(2))
    weights = classifier.state_dict()
    name, *_ = weights
    classifier.load_state_dict(weights)
    with pytest.raises(InputError, match=rf"has in other sizes 1 \({re.escape(name)}, "):
        classifier.load_state_dict({**weights, name: torch.zeros(1, 2, 3)})
    with pytest.raises(InputError, match=rf"lacks 1 \({re.escape(name)}, "):
        classifier.load_state_dict({k: v for k, v in weights.items() if k != name})


@pytest.mark.parametrize(
    ("make", "making"),
    [
        (lambda: Trainer(accelerator="foo", logger=False), True),
        (lambda: Trainer(accelerator="cpu", num_nodes=0, logger=False), True),
        (lambda: Timer("nonsense"), False),
    ],
)
def test_what_lightning_raises_for_arguments_is_answered(make, making):
    said = r"^Expected arguments .*, but it says: \S"
    with pytest.raises(InputError, match=said), refusals(making=making):
        make()


def test_errors_of_other_code_are_raised_as_they_are():
    for kind in (ValueError, TypeError, ImportError, RuntimeError):
        with pytest.raises(kind, match=r"^ours$"), refusals(making=True):
            raise kind("ours")
    with pytest.raises(InputError, match=r"^ours$"), refusals(making=True):
        raise InputError("ours")
    with pytest.raises(ValueError, match="invalid accelerator"), refusals():
        Trainer(accelerator="foo", logger=False)  # not while the Trainer of a run is made
    with pytest.raises(InputError, match="says: theirs"), refusals():
        raise RuntimeError("around it") from MisconfigurationException("theirs")


@pytest.mark.parametrize("path", [None, "hpc", "s3://bucket/a.ckpt", "folder"])
def test_other_checkpoints_are_left_to_lightning(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "meta.pt").touch()
    assert checkpoint_path(path) == path


def test_an_error_does_not_stand_behind_the_progress(diffclf):
    given = ["--data.batch_size=2", "--trainer.callbacks=waiting.Failing"]
    ended = diffclf(*RUN, *given, code=2)
    before, said = ended.stderr.split("diffclf: error: ")
    assert said == "Expected nothing.\n"
    assert before.endswith("\n")
    assert "evaluations [" in before.replace("\r", "\n").splitlines()[-1]
