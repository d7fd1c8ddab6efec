"""The command line, through every shipped configuration of digits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser
from safetensors.torch import load_file, save_file

from diffclf_lightning import AutoDenoiser, DenoiserTraining, DiffusionClassifier
from diffclf_lightning.cli import resolve_configs
from diffclf_lightning.configurations import CONFIGS, find_config, shipped_configs
from diffclf_lightning.denoisers.auto import ASSETS
from diffclf_lightning.lightning_cli import take_counts
from diffclf_lightning.weights import checksum

STAGED = [
    "--model.strategy=Staged", "--model.strategy.trials=[1,3]", "--model.strategy.keep=[2,1]",
]  # fmt: skip
CHEAP = [*STAGED, "--data.num_test=20"]


def check_same(first, second):
    """Equal rows, but for time and round-off."""
    exact = ["set", "key", "label", "prediction", "counts", "evaluations"]
    assert first.select(exact).equals(second.select(exact))
    for mine, theirs in zip(first["scores"].to_pylist(), second["scores"].to_pylist(), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_command_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-m", "diffclf_lightning", "test", "--config", "digits"]
    run = subprocess.run([*command, *CHEAP], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "/20" in run.stdout
    bad = [*command, *STAGED, "--model.strategy.keep=[3,2]"]
    run = subprocess.run(bad, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2
    assert "diffclf: error: Expected the last entry of argument `keep`" in run.stderr
    assert "Traceback" not in run.stderr
    assert "FutureWarning" not in run.stderr


def test_digits_end_to_end(tmp_path, diffclf):
    run = diffclf("test", "--config", "digits", *CHEAP, "--results.errors=true")
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"Results: runs/{folder.name}" in run.stdout
    summary = json.loads((folder / "summary.json").read_text())["sets"]["digits"]
    rows = pq.read_table(folder / "images.parquet").to_pylist()
    assert summary["total"] == len(rows) == 20
    assert summary["correct"] == sum(r["label"] == r["prediction"] for r in rows) >= 18
    assert isinstance(summary["correct"], int)
    assert f"{summary['correct']}/20" in run.stdout
    assert all(r["evaluations"] == 14 == sum(r["counts"]) for r in rows)
    ((loss, errors),) = rows[0]["errors"]
    assert (loss, len(errors)) == ("l2", 14)
    again = diffclf("score", folder, "--score=MeanError")
    assert f"{summary['correct']}/20" in again.stdout
    weighted = ["--score=WeightedError", "--score.weight=UniformWeight", "--score.loss=l2"]
    assert f"{summary['correct']}/20" in diffclf("score", folder, *weighted).stdout
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["init_args"]["strategy"]["init_args"]["trials"] == [1, 3]
    assert (folder / "errors-digits.png").stat().st_size > 10_000
    assert "280/280 evaluations" in run.stderr
    assert not list(folder.rglob("*.partial"))


def test_resolved_configuration_repeats_the_run(tmp_path, diffclf):
    diffclf("test", "--config", "digits", *CHEAP, "--results.folder=a")
    diffclf("test", "--config=a/config.yaml", "--results.folder=b")
    first, second = (pq.read_table(tmp_path / f / "images.parquet") for f in "ab")
    check_same(first, second)


def test_all_shifted_sets(tmp_path, diffclf):
    run = diffclf("test", "--config", "digits_shifts", *CHEAP, "--results.folder=r")
    sets = json.loads((tmp_path / "r" / "summary.json").read_text())["sets"]
    assert len(sets) == 12
    assert sets["digits"]["total"] == sets["rotation_30"]["total"] == 20
    assert sets["fonts"]["total"] > 100
    assert all(name in run.stdout for name in sets)


def test_validate_gives_a_temperature(tmp_path, diffclf):
    strategy = [
        "--model.validation_strategy=Full",
        "--model.validation_strategy.trials=3",
        "--trainer.limit_val_batches=1",
        "--data.batch_size=40",
    ]
    run = diffclf("validate", "--config", "digits", *strategy)
    assert "val/temperature" in run.stdout


def test_one_batch_is_one(tmp_path, diffclf):
    """Whatever the order is in which jsonargparse sees `Union[int, float]`."""
    parser = LightningArgumentParser()
    parser.add_argument("--limit", type=float | int | None)
    assert isinstance(parser.parse_args(["--limit=1"]).limit, float)
    take_counts(parser)
    read = [parser.parse_args([f"--limit={text}"]).limit for text in ("1", "1.0", "0.5", "null")]
    assert [*map(repr, read)] == ["1", "1.0", "0.5", "None"]
    one = ["--trainer.limit_test_batches=1", "--data.batch_size=5", "--results.folder=r"]
    diffclf("test", "--config", "digits", *CHEAP, *one)
    assert pq.read_table(tmp_path / "r" / "images.parquet").num_rows == 5


def test_predict_stores_predictions(tmp_path, diffclf):
    diffclf("predict", "--config", "digits", *CHEAP, "--results.folder=r")
    rows = pq.read_table(tmp_path / "r" / "images.parquet").to_pylist()
    assert len(rows) == 20
    assert [r["label"] for r in rows] == [None] * 20


def test_training_writes_a_model_that_test_takes(tmp_path, diffclf):
    short = ["--trainer.max_steps=4", "--data.repeats=1", "--trainer.limit_val_batches=0"]
    diffclf("fit", "--config", "digits_train", *short)
    assert (tmp_path / "runs/digits-dit/model_index.json").is_file()
    model = "--model.denoiser.pretrained_model_name_or_path=runs/digits-dit"
    diffclf("test", "--config", "digits", *CHEAP, model, "--results.folder=r")
    assert (
        json.loads((tmp_path / "r" / "summary.json").read_text())["sets"]["digits"]["total"] == 20
    )


def test_an_interrupted_run_goes_on(tmp_path, diffclf):
    """Half of the rows are taken away; the run brings back exactly those."""
    run = ["test", "--config", "digits", *CHEAP, "--results.folder=r", "--data.batch_size=4"]
    diffclf(*run)
    file = tmp_path / "r" / "images.parquet"
    whole = pq.read_table(file)
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())["sets"]
    pq.write_table(whole.slice(0, 9), file)
    again = diffclf(*run)
    assert "154/154 evaluations" in again.stderr
    check_same(pq.read_table(file), whole)
    after = json.loads((tmp_path / "r" / "summary.json").read_text())["sets"]
    for key in ("correct", "total", "evaluations", "negative_log_likelihood", "top5_accuracy"):
        assert after["digits"][key] == pytest.approx(summary["digits"][key], rel=1e-4)


def test_a_folder_of_another_configuration_is_refused(tmp_path, diffclf):
    diffclf("test", "--config", "digits", *CHEAP, "--results.folder=r")
    other = diffclf(
        "test", "--config", "digits", *CHEAP, "--results.folder=r", "--model.loss=l1", code=2
    )
    assert "its losses was ['l2'] and is now ['l1']" in other.stderr


def test_a_checkpoint_of_training_gives_its_weights_and_nothing_else(tmp_path, diffclf):
    """The strategy is the one that was typed; and the file alone makes the model again."""
    short = ["--trainer.max_steps=4", "--trainer.limit_train_batches=4", "--data.repeats=1"]
    short += ["--trainer.limit_val_batches=1", "--trainer.check_val_every_n_epoch=1"]
    short += ["--trainer.enable_checkpointing=true", "--data.batch_size=16"]
    diffclf("fit", "--config", "digits_train", *short)
    (file,) = tmp_path.rglob("*.ckpt")
    diffclf("test", "--config", "digits", *CHEAP, "--ckpt_path", file, "--results.folder=r")
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (run["classifier"], run["strategy"]) == (
        "DiffusionClassifier",
        "Staged(trials=(1, 3), keep=(2, 1))",
    )
    assert run["weights"] != checksum(AutoDenoiser.from_pretrained("diffclf/digits-dit"))
    for module in (DiffusionClassifier, DenoiserTraining):
        alone = module.load_from_checkpoint(file)
        assert isinstance(alone, module)
        assert checksum(alone.denoiser) == run["weights"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([*STAGED, "--model.strategy.keep=[1,1]"], "`keep` to be decreasing"),
        ([*STAGED, "--model.strategy.keep=[3,2]"], "last entry of argument `keep`"),
        ([*STAGED, "--model.strategy.trials=[4,4]"], "`trials` to be increasing"),
        ([*STAGED, "--model.strategy.keep=[1]"], "one entry a stage"),
        (["--model.loss=l7"], "l2, l1, huber"),
        (["--model.template=a photo"], "one place {} for the class name"),
        (["--model.template=a {}"], "leave out `template`"),
        (["--data.test_sets=[nothing]"], "`test_sets`"),
        (["--model.denoiser.pretrained_model_name_or_path=."], "it has no model_index.json"),
    ],
)
def test_bad_input_gets_one_error_and_no_traceback(diffclf, args, message):
    run = diffclf("test", "--config", "digits", *args, code=2)
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert "evaluations" not in run.stderr


def test_damaged_weights_are_named(tmp_path, diffclf):
    shutil.copytree(ASSETS / "digits-dit", tmp_path / "model")
    file = tmp_path / "model/transformer/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["proj_out_2.bias"][0] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    model = "--model.denoiser.pretrained_model_name_or_path=model"
    run = diffclf("test", "--config", "digits", *CHEAP, model, code=2)
    assert "the model gave nan for candidate '0' at timestep" in run.stderr
    assert "Traceback" not in run.stderr


def test_shipped_configurations_are_found_by_name():
    assert {"digits", "digits_shifts", "digits_train"} <= set(shipped_configs())
    assert Path(find_config("digits")) == CONFIGS / "digits.yaml"
    args, name = resolve_configs(["test", "--config=digits", "-c", "digits_shifts"])
    assert args[1] == f"--config={CONFIGS / 'digits.yaml'}"
    assert args[3] == str(CONFIGS / "digits_shifts.yaml")
    assert name == "digits-digits_shifts"


def test_unknown_configuration_is_named(diffclf):
    run = diffclf("test", "--config", "digitz", code=2)
    assert "a file or one of" in run.stderr
    assert "'digitz'" in run.stderr


def test_interrupted_predictions_go_on_without_repeats(tmp_path, diffclf):
    run = ["predict", "--config", "digits", *CHEAP, "--results.folder=r"]
    diffclf(*run)
    file = tmp_path / "r" / "images.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.slice(0, 9), file)
    diffclf(*run)
    check_same(pq.read_table(file), whole)
    refused = diffclf("test", *run[1:], code=2)
    assert "its command was 'predict' and is now 'test'" in refused.stderr


def test_a_run_with_mean_embeddings_goes_on(tmp_path, diffclf):
    run = ["test", "--config", "digits_text_ensemble", *CHEAP, "--results.folder=r"]
    diffclf(*run)
    whole = pq.read_table(tmp_path / "r" / "images.parquet")
    diffclf(*run)
    check_same(pq.read_table(tmp_path / "r" / "images.parquet"), whole)


def test_words_classify_digits(tmp_path, diffclf):
    few = ["--data.num_test=100", "--model.strategy.max_trials=8"]
    diffclf("test", "--config", "digits_text", *few, "--results.folder=r")
    report = json.loads((tmp_path / "r" / "summary.json").read_text())["sets"]["digits"]
    assert report["correct"] >= 94


def test_training_from_words_writes_a_model_that_test_takes(tmp_path, diffclf):
    diffclf("fit", "--config", "digits_text_train", "--trainer.max_steps=2", "--data.repeats=1")
    model = "--model.denoiser.pretrained_model_name_or_path=runs/digits-text"
    diffclf("test", "--config", "digits_text", *CHEAP, model, "--results.folder=r")
    assert (tmp_path / "r" / "summary.json").is_file()
