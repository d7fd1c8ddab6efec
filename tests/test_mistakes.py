"""What people type wrongly, and what the command line starts without."""

import re
import subprocess
import sys

import pytest

import diffclf_lightning

DIGITS = ["test", "--config", "digits"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tset"], "but got 'tset'. The nearest is `diffclf test`"),
        (["test", "--config", "digts"], "The nearest: digits"),
        ([*DIGITS, "--trainer.devcies=2"], "The nearest: --trainer.devices"),
        ([*DIGITS, "--model.stratgy.trials=[1]"], "argument of DiffusionClassifier"),
        ([*DIGITS, "--model.stratgy.trials=[1]"], "--model.strategy"),
        ([*DIGITS, "--model.strategy.max_trails=9"], "argument of Racing, but got 'max_trails'"),
        ([*DIGITS, "--model.strategy.max_trails=9"], "The nearest: max_trials"),
        ([*DIGITS, "--model.strategy=Stagd"], "Expected one of Comparing, Full, Racing, Staged"),
        ([*DIGITS, "--model.strategy=Stagd"], "The nearest: Staged"),
        ([*DIGITS, "--data=ImageFoldr"], "The nearest: ImageFolder"),
        ([*DIGITS, "--data.num_tests=3"], "The nearest: --data.num_test"),
        ([*DIGITS, "--data.batch_size=many"], "--data.batch_size: Expected a <class 'int'>"),
        ([*DIGITS, "--trainer.precision=17"], "--trainer.precision: "),
        (["fit", "--config", "digits_train", "--dry-run"], "--dry-run with `diffclf test`"),
    ],
)
def test_the_nearest_is_said_in_one_line(diffclf, args, message):
    run = diffclf(*args, code=2)
    *_, said = run.stderr.rstrip("\n").splitlines()
    assert said.startswith("diffclf: error: ")
    assert message in said
    assert "usage:" not in run.stderr


@pytest.mark.parametrize(
    ("flag", "name", "argument"),
    [
        ("--data.help", "ImageFolder", "--data.root"),
        ("--data.help", "OxfordPets", "--data.download"),
        ("--model.help", "TimmClassifier", "--model.pretrained"),
        ("--model.help", "DiffusionClassifier", "--model.strategy"),
        ("--model.help", "DenoiserTraining", "--model.label_dropout"),
    ],
)
def test_short_names_are_known_everywhere(diffclf, flag, name, argument):
    assert argument in diffclf("test", flag, name).stdout


def test_a_typed_template_replaces_candidates(diffclf, tmp_path):
    few = ["--data.num_test=4", "--model.strategy=Full", "--model.strategy.trials=1"]
    template = ["--model.template", "the digit {}"]
    diffclf("test", "--config", "digits_text_ensemble", *few, *template, "--results.folder=r")
    assert "'the digit {}'" not in (tmp_path / "r/run.json").read_text()
    assert '"the digit zero"' in (tmp_path / "r/run.json").read_text()
    several = ["--model.candidates=PromptEnsemble", "--model.candidates.templates=a {}"]
    diffclf("test", "--config", "digits_text", *few, *several, "--results.folder=s")
    assert '"a zero"' in (tmp_path / "s/run.json").read_text()


def test_help_and_version_import_nothing_heavy(diffclf):
    """And no more does the package itself, whose names come when they are used."""
    heavy = "torch", "lightning", "diffusers", "matplotlib", "sklearn", "timm", "pyarrow"
    code = (
        "import sys, diffclf_lightning.cli as cli; cli.main(['--help']); cli.main(['--version']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    for command in ("classify", "test", "fit", "compare", "sweep", "report", "robustness"):
        assert f"\n  {command} " in run.stdout
    assert f"diffclf-lightning {diffclf_lightning.__version__}" in run.stdout


def test_every_public_name_is_there():
    for name in diffclf_lightning.__all__:
        assert getattr(diffclf_lightning, name).__name__ == name
    assert set(diffclf_lightning.__all__) <= set(dir(diffclf_lightning))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        diffclf_lightning.Nothing  # noqa: B018


def test_a_dry_run_says_what_a_test_would_take(diffclf, tmp_path):
    """Evaluations as Algorithm 2 counts them: 4 of 10, 8 more of 4, 38 more of 2."""
    staged = ("--model.strategy=Staged", "--model.strategy.trials=[4,12,50]")
    staged += ("--model.strategy.keep=[4,2,1]", "--data.num_test=30")
    run = diffclf("test", "--config", "digits_shifts", *staged, "--dry-run")
    (row,) = [line.split() for line in run.stdout.splitlines() if "rotation_30" in line]
    each = 4 * 10 + 8 * 4 + 38 * 2
    assert row[1:4] == ["30", str(each), f"{30 * each:,}"]
    assert float(row[4]) > 0
    assert "MiB" in run.stdout
    assert not (tmp_path / "runs").exists()
    race = ("--model.strategy.max_trials=20", "--data.num_test=30")
    run = diffclf("test", "--config", "digits", *race, "--dry-run")
    assert re.search(r"digits +30 +at most 200 +at most 6,000 +at most ", run.stdout)
    run = diffclf("test", "--config", "baselines/digits", "--data.num_test=30", "--dry-run")
    assert "30" in run.stdout


def test_completion_in_a_real_shell(diffclf, tmp_path):
    """What bash offers after a few letters."""
    (tmp_path / "script").write_text(diffclf("completion", "bash").stdout)
    ask = (
        "source ./script; COMP_WORDS=({words}); COMP_CWORD={last}; _shtab_diffclf; "
        'printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    for words, expected in (
        ("diffclf cla", {"classify"}),
        (
            "diffclf test --config digits_te",
            {"digits_text", "digits_text_ensemble", "digits_text_lora", "digits_text_train"},
        ),
        ("diffclf classify --den", {"--denoiser"}),
    ):
        code = ask.format(words=words, last=len(words.split()) - 1)
        run = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert set(run.stdout.split()) == expected, run.stderr
