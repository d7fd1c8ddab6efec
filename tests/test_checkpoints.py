"""Checkpoints of models made in Python hold all that loading needs, or say what is missing."""

from copy import deepcopy

import pytest
import tiny
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from diffclf_lightning import (
    AutoDenoiser,
    Candidates,
    DenoiserTraining,
    DiffusionClassifier,
    Full,
    InputError,
    PromptEnsemble,
    Staged,
    Thinning,
    WeightedError,
)
from diffclf_lightning.arguments import NotPlainError, plain
from diffclf_lightning.baselines import TimmClassifier, TorchvisionClassifier
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import GaussianDenoiser, StableDiffusion
from diffclf_lightning.evaluation import ExponentialWeight, PublishedGrid
from diffclf_lightning.weights import checksum

PLAIN = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}


def images_of(shape, labels):
    return DataLoader(TensorDataset(torch.rand(len(labels), *shape), torch.tensor(labels)))


def saved(model, loader, file):
    """The checkpoint of a model after a validation, and what that validation logged."""
    trainer = Trainer(**PLAIN, enable_progress_bar=False)
    (logged,) = trainer.validate(model, loader, verbose=False)
    trainer.save_checkpoint(file)
    torch.load(file, weights_only=True)
    return logged


def check_answers(loaded, loader, expected):
    trainer = Trainer(**PLAIN, enable_progress_bar=False)
    (logged,) = trainer.validate(loaded, loader, verbose=False)
    for name in ("val/accuracy", "val/negative_log_likelihood"):
        assert logged[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("make", [tiny.dit_with_vae, lambda: tiny.unet(null=True)])
def test_class_conditional_models_load_without_arguments(make, tmp_path, seed):
    model = DiffusionClassifier(
        make(),
        strategy=Staged(trials=(2, 4), keep=(2, 1)),
        score=WeightedError(ExponentialWeight(3.0), "l2"),
        grid=PublishedGrid(1000),
        other_losses=["l1"],
        validation_strategy=Full(3),
        temperature=7.0,
        seed=5,
    )
    loader = images_of(model.denoiser.image_shape, [0, 1, 4])
    expected = saved(model, loader, tmp_path / "a.ckpt")
    loaded = DiffusionClassifier.load_from_checkpoint(tmp_path / "a.ckpt")
    for name in ("strategy", "validation_strategy", "grid", "scores", "noise", "temperature"):
        assert repr(getattr(loaded, name)) == repr(getattr(model, name)), name
    assert loaded.denoiser.id2label == model.denoiser.id2label
    assert loaded.denoiser.null_class == model.denoiser.null_class
    assert checksum(loaded.denoiser) == checksum(model.denoiser)
    check_answers(loaded, loader, expected)


@pytest.mark.parametrize("from_folder", [False, True])
def test_a_text_to_image_model_loads_with_its_vocabulary(from_folder, tmp_path, seed):
    pipeline = tiny.stable_diffusion_pipeline("v_prediction")
    if from_folder:  # whose decoder no checkpoint holds
        pipeline.save_pretrained(tmp_path / "pipeline")
        denoiser = AutoDenoiser.from_pretrained(str(tmp_path / "pipeline"), image_size=8)
    else:
        parts = {name: getattr(pipeline, name) for name in ("unet", "scheduler", "text_encoder")}
        denoiser = StableDiffusion(
            **parts, tokenizer=pipeline.tokenizer, vae=pipeline.vae, image_size=8
        ).eval()
    ensemble = PromptEnsemble(["a {}.", "the {}."], reduce="mean")
    model = DenoiserTraining(
        denoiser, Thinning((1, 2)), ensemble, classnames=["cat", "dog"], label_dropout=0.2
    )
    loader = images_of(denoiser.image_shape, [0, 1])
    expected = saved(model, loader, tmp_path / "a.ckpt")
    loaded = DenoiserTraining.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.candidates.templates == ensemble.templates
    assert loaded.label_dropout == 0.2
    assert loaded.denoiser.image_shape == denoiser.image_shape
    assert not any(w.requires_grad for w in loaded.denoiser.text_encoder.parameters())
    check_answers(loaded, loader, expected)
    if from_folder:
        with pytest.raises(InputError, match=r"no decoder.*`ExportDenoiser`"):
            loaded.denoiser.save_pretrained(tmp_path / "export")
    else:
        loaded.denoiser.save_pretrained(tmp_path / "export")
        assert AutoDenoiser.from_pretrained(str(tmp_path / "export"))


def test_half_precision_stays_so(tmp_path, seed):
    model = DiffusionClassifier(tiny.unet().half(), validation_strategy=Full(1))
    trainer = Trainer(**PLAIN)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = DiffusionClassifier.load_from_checkpoint(tmp_path / "a.ckpt")
    assert next(loaded.denoiser.parameters()).dtype == torch.float16


def test_what_cannot_be_stored_is_asked_for(tmp_path, seed):
    means = torch.rand(3, 1, 4, 4)
    model = DiffusionClassifier(
        GaussianDenoiser(means),
        loss=lambda noise, predicted: (noise - predicted).abs().flatten(1).mean(dim=1),
        candidates=Candidates([0, 1, 2], [0, 1, 1]),
        validation_strategy=Full(2),
    )
    loader = images_of((1, 4, 4), [0, 1])
    expected = saved(model, loader, tmp_path / "a.ckpt")
    file = tmp_path / "a.ckpt"
    with pytest.raises(InputError, match=r"`denoiser`.*GaussianDenoiser.*denoiser=\.\.\., loss="):
        DiffusionClassifier.load_from_checkpoint(file)
    given = {"denoiser": GaussianDenoiser(torch.zeros(3, 1, 4, 4))}
    with pytest.raises(InputError, match=r"`loss`.*load_from_checkpoint\(path, loss=\.\.\.\)"):
        DiffusionClassifier.load_from_checkpoint(file, **given)
    loaded = DiffusionClassifier.load_from_checkpoint(file, **given, loss=model.losses[0])
    assert loaded.candidates == model.candidates
    check_answers(loaded, loader, expected)


def test_an_argument_that_is_given_wins(tmp_path, seed):
    model = DiffusionClassifier(tiny.unet(), strategy=Full(4), validation_strategy=Full(1))
    saved(model, images_of((1, 8, 8), [0, 1]), tmp_path / "a.ckpt")
    loaded = DiffusionClassifier.load_from_checkpoint(tmp_path / "a.ckpt", strategy=Full(9))
    assert (loaded.strategy.trials, loaded.validation_strategy.trials) == (9, 1)


def test_baselines_load_without_arguments_and_downloads(tmp_path, seed):
    small = {"img_size": 32}
    timm = TimmClassifier("test_vit", False, num_classes=3, input_size=32, model_args=small)
    loader = images_of((3, 32, 32), [0, 1, 2])
    expected = saved(timm, loader, tmp_path / "a.ckpt")
    loaded = TimmClassifier.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.preprocessing.shape == timm.preprocessing.shape
    check_answers(loaded, loader, expected)
    weights = tmp_path / "weights.pth"
    torch.save(models.shufflenet_v2_x0_5().state_dict(), weights)
    name = "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"
    published = TorchvisionClassifier(name, checkpoint_path=str(weights), label_smoothing=0.2)
    trainer = Trainer(**PLAIN)
    trainer.strategy.connect(published)
    trainer.save_checkpoint(tmp_path / "b.ckpt")
    weights.unlink()
    again = TorchvisionClassifier.load_from_checkpoint(tmp_path / "b.ckpt")
    assert checksum(again.network) == checksum(published.network)
    assert again.label_smoothing == 0.2


def test_sizes_of_a_network_from_scratch_are_those_of_the_data(tmp_path):
    model = TimmClassifier("resnet10t", False)
    trainer = Trainer(**PLAIN, max_steps=1, limit_val_batches=0, enable_progress_bar=False)
    trainer.fit(model, datamodule=Digits())
    assert (model.preprocessing.shape, model.network.num_classes) == ((1, 32, 32), 10)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = TimmClassifier("resnet10t", False)
    Trainer(**PLAIN).test(again, datamodule=Digits(num_test=5), ckpt_path=tmp_path / "a.ckpt")
    assert checksum(again.network) == checksum(model.network)
    with pytest.raises(InputError, match="a trained model"):
        Trainer(**PLAIN).test(TimmClassifier("resnet10t", False), datamodule=Digits(num_test=5))


@pytest.mark.parametrize("value", [lambda: 0, torch.zeros(2), object()])
def test_what_has_no_plain_form_is_refused(value):
    with pytest.raises(NotPlainError):
        plain([value])


def test_a_copy_shares_what_makes_optimizers(seed):
    class Whole:
        def __deepcopy__(self, memo):
            raise AssertionError

        def __call__(self, parameters):
            return torch.optim.SGD(parameters, lr=1.0)

    model = DenoiserTraining(tiny.unet(null=True), optimizer=Whole())
    copied = deepcopy(model)
    assert copied.optimizer is model.optimizer
    assert copied.denoiser is not model.denoiser
    assert checksum(copied.denoiser) == checksum(model.denoiser)
