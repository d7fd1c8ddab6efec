"""Training on a folder of images through the command line, and testing what came of it."""

import re

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from digit_folders import write_digits

from diffclf_lightning import AutoDenoiser, DenoiserTraining, DiffusionClassifier, InputError
from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.denoisers import DiTDenoiser, NewDiT, UNetDenoiser

SHORT = ["--trainer.max_steps=12", "--trainer.limit_val_batches=1", "--data.batch_size=16"]
CHEAP = ["--model.strategy.max_trials=4"]


@pytest.fixture
def images(tmp_path):
    write_digits(tmp_path / "images")
    return "--data.root=images"


def said(run, name):
    return re.search(rf"^{name}: (.*)$", run.stdout, flags=re.MULTILINE)[1]


def rows(folder):
    return pq.read_table(folder / "images.parquet")


@pytest.mark.parametrize(
    ("config", "kind"), [("train_folder_dit", DiTDenoiser), ("train_folder_unet", UNetDenoiser)]
)
def test_fit_ends_with_the_command_that_tests_it(tmp_path, diffclf, images, config, kind):
    """The checkpoint and the exported pipeline give equal answers, without the training images."""
    run = diffclf("fit", "--config", config, images, *SHORT, "--results.folder=r")
    assert re.fullmatch(r"(raw|averaged), [\d.]+% right on validation; .*", said(run, "Weights"))
    assert said(run, "Checkpoint") == "r/checkpoints/last.ckpt"
    assert [file.name for file in (tmp_path / "r/checkpoints").iterdir()] == ["last.ckpt"]
    command = said(run, "Test it").split()
    assert command[:2] == ["diffclf", "test"]
    (tmp_path / "images/train").rename(tmp_path / "elsewhere")
    few = ["--data.batch_size=16"]
    strategy = ["--model.strategy=Racing", *CHEAP]
    diffclf(*command[1:], *strategy, "--results.folder=a")
    model = f"--model.denoiser.pretrained_model_name_or_path={said(run, 'Pipeline')}"
    diffclf("test", "--config", "folder", images, model, *CHEAP, *few, "--results.folder=b")
    first, second = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert len(first) == 20
    for column in ("key", "label", "prediction", "counts"):
        assert first[column].equals(second[column]), column
    scores = [torch.tensor(table["scores"].to_pylist()) for table in (first, second)]
    assert torch.allclose(*scores, atol=1e-6)
    sure = [torch.tensor(table["probabilities"].to_pylist()) for table in (first, second)]
    assert torch.allclose(*sure, atol=1e-5)
    exported = AutoDenoiser.from_pretrained(said(run, "Pipeline"))
    assert type(exported) is kind
    assert exported.image_shape == (1, 8, 8)
    assert exported.classnames == sorted(exported.classnames)
    assert len(exported.classnames) == 10
    assert exported.null_class == 10
    for module in (DenoiserTraining, DiffusionClassifier):
        loaded = module.load_from_checkpoint(said(run, "Checkpoint"))
        assert loaded.calibrated
        assert loaded.temperature == exported.calibration.temperature != 1
        for name, weight in exported.state_dict().items():
            assert torch.equal(loaded.denoiser.state_dict()[name], weight), name
    config = yaml.safe_load((tmp_path / said(run, "Configuration")).read_text())
    assert config["trainer"]["check_val_every_n_epoch"] is None


def test_a_run_goes_on_in_its_folder_and_is_not_overwritten(tmp_path, diffclf, images):
    run = ["fit", "--config", "train_folder_dit", images, *SHORT, "--results.folder=r"]
    diffclf(*run)
    refused = diffclf(*run, code=2)
    assert "new folder for `fit`, but 'r' holds a run" in refused.stderr
    diffclf(*run, "--trainer.max_steps=20", "--ckpt_path=r/checkpoints/last.ckpt")
    checkpoint = torch.load(tmp_path / "r/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 20


def test_a_new_network_needs_its_checkpoint(diffclf, images):
    refused = diffclf("test", "--config", "train_folder_dit", images, code=2)
    assert "a trained model, but got one that is not made yet" in refused.stderr
    assert "--ckpt_path" in refused.stderr
    with pytest.raises(InputError, match="NewDiT is made when"):
        DenoiserTraining(NewDiT()).classify(torch.zeros(1, 8, 8))


def test_a_baseline_takes_its_sizes_from_the_folder(tmp_path, diffclf, images):
    few = ["--trainer.max_steps=12", "--data.batch_size=16"]
    run = diffclf("fit", "--config", "baselines/folder", images, *few, "--results.folder=r")
    (tmp_path / "images/train").rename(tmp_path / "elsewhere")
    tested = diffclf(*said(run, "Test it").split()[1:], "--results.folder=a")
    assert "are random" not in tested.stderr
    assert len(rows(tmp_path / "a")) == 20
    loaded = TimmClassifier.load_from_checkpoint(said(run, "Checkpoint"))
    assert loaded.preprocessing.shape == (1, 32, 32)
    assert loaded.network.num_classes == 10
    refused = diffclf("test", "--config", "baselines/folder", images, code=2)
    assert "a trained model" in refused.stderr
