"""Fine-tuning by LoRA: what moves, the cross-entropy, checkpoints, exports, the command line."""

import re
from copy import deepcopy

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from diffusers import DDPMScheduler
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    AutoDenoiser,
    DenoiserTraining,
    DiffusionClassifier,
    Full,
    InputError,
)
from diffclf_lightning.callbacks import AveragedWeights, ExportDenoiser, ExportLoRA
from diffclf_lightning.denoisers import LoRA, NewDiT, VariancePreserving
from diffclf_lightning.denoisers.gaussian import GaussianDenoiser
from diffclf_lightning.evaluation import Noised
from diffclf_lightning.evaluation.losses import LOSSES
from diffclf_lightning.training import CandidateCrossEntropy

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
EMBEDDED = "diffclf/digits-text"
NAMES = ["zero", "one", "two"]
TEMPLATE = "the number {}"


def training(**kwargs):
    given = {"denoiser": AutoDenoiser.from_pretrained(EMBEDDED), "template": TEMPLATE}
    given |= {"lora": LoRA(rank=2), "validation_strategy": Full(2), "classnames": NAMES}
    given |= {"optimizer": lambda weights: torch.optim.AdamW(weights, lr=0.01)}
    return DenoiserTraining(**{**given, **kwargs})


@pytest.fixture
def data(seed):
    labels = torch.arange(3).repeat(4)
    return DataLoader(TensorDataset(torch.rand(3, 1, 8, 8)[labels], labels), batch_size=6)


def fitted(module, data, steps=3, callbacks=()):
    trainer = Trainer(max_steps=steps, limit_val_batches=1, callbacks=list(callbacks), **QUIET)
    trainer.fit(module, data, data)
    return trainer


def logged(module, data):
    (values,) = Trainer(**QUIET).validate(module, data, verbose=False)
    return values["val/negative_log_likelihood"]


@pytest.mark.parametrize("classification", [None, CandidateCrossEntropy(trials=2, candidates=2)])
def test_layers_move_and_all_else_stays_to_the_bit(data, classification):
    module = training(classification=classification)
    before = deepcopy(module.state_dict())
    fitted(module, data)
    for name, weight in module.state_dict().items():
        assert torch.equal(weight, before[name]) == ("lora_" not in name), name


def test_a_class_conditional_model_is_tuned_with_its_embeddings(seed, tmp_path):
    denoiser = tiny.dit_with_vae()
    module = training(
        denoiser=denoiser,
        template=None,
        classnames=None,
        lora=LoRA(rank=2, class_embeddings=True),
        classification=CandidateCrossEntropy(),
    )
    before = deepcopy(module.state_dict())
    labels = torch.arange(5)
    images = DataLoader(TensorDataset(torch.rand(5, *denoiser.image_shape), labels), batch_size=5)
    fitted(module, images, callbacks=[ExportDenoiser(tmp_path)])
    for name, weight in module.state_dict().items():
        moves = "lora_" in name or "embedding_table" in name
        assert torch.equal(weight, before[name]) == (not moves), name
    AutoDenoiser.from_pretrained(str(tmp_path))


def test_cross_entropy_is_that_of_a_plain_loop(seed):
    """Errors of each candidate by the closed-form model, its softmax, and the mean over images."""
    means = torch.randn(4, 1, 3, 3)
    model = GaussianDenoiser(means, schedule=VariancePreserving(DDPMScheduler()))
    x_0, labels = torch.randn(5, 1, 3, 3), torch.tensor([3, 0, 0, 2, 1])
    noised = Noised(
        x_0.repeat_interleave(2, dim=0), torch.randn(10, 1, 3, 3), model.at(torch.rand(10))
    )
    entropy = CandidateCrossEntropy(temperature=3.0, trials=2)
    value = entropy(model, noised, labels, {label: label for label in range(4)}, LOSSES["l2"])
    losses = []
    for image, label in enumerate(labels.tolist()):
        errors = np.zeros(4)
        for trial in (2 * image, 2 * image + 1):
            for candidate in range(4):
                x_t = noised.x_t[trial : trial + 1]
                told = model.condition([candidate])
                output = model(x_t, noised.at.timestep[trial : trial + 1], told)
                errors[candidate] += (output - noised.noise[trial]).square().mean().item() / 2
        likelihood = np.exp(-3.0 * errors)
        losses.append(-np.log(likelihood[label] / likelihood.sum()))
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-5)
    usual = CandidateCrossEntropy(trials=2)
    same = CandidateCrossEntropy(temperature=9 / 2, trials=2)
    values = [
        one(model, noised, labels, dict(enumerate(range(4))), LOSSES["l2"]) for one in (usual, same)
    ]
    assert torch.allclose(*values)


def test_some_candidates_are_the_true_one_and_others_of_all(seed):
    labels = torch.tensor([7, 2, 9, 2]).repeat(500)
    asked = CandidateCrossEntropy(candidates=3).asked(labels, torch.tensor([2, 4, 5, 7, 9]))
    assert asked.shape == (2000, 3)
    assert torch.equal(asked[:, 0], labels)
    assert all(len(set(row)) == 3 for row in asked.tolist())
    others = asked[labels == 7][:, 1:].flatten().bincount(minlength=10)[[2, 4, 5, 9]]
    assert others.sum() == 1000
    assert (others > 180).all()  # 250 each; six standard deviations of a binomial are 82
    every = CandidateCrossEntropy().asked(labels, torch.tensor([2, 4, 5, 7, 9]))
    assert every.sort(dim=1).values.unique(dim=0).tolist() == [[2, 4, 5, 7, 9]]


def test_cross_entropy_falls_and_is_logged(data):
    """On the images that it is trained on, at trials of their own, the same before and after."""
    module = training(classification=CandidateCrossEntropy(), label_dropout=0.0)
    images, labels = data.dataset.tensors
    x_0 = module.denoiser.encode(images).repeat_interleave(20, dim=0)
    noised = Noised(x_0, torch.randn_like(x_0), module.denoiser.at(torch.rand(len(x_0))))
    told = {label: TEMPLATE.format(name) for label, name in enumerate(NAMES)}

    @torch.no_grad()
    def measured():
        entropy = CandidateCrossEntropy(trials=20)
        return entropy(module.denoiser, noised, labels, told, LOSSES["l2"]).item()

    before = measured()
    logged = fitted(module, data, 20).logged_metrics
    assert measured() < 0.8 * before
    assert logged["train/loss"] > logged["train/cross_entropy"]


def test_a_checkpoint_holds_what_was_trained_and_loads_by_either_class(data, tmp_path):
    """Without arguments, with the averaged weights that it has; and training goes on from it."""
    module = training()
    trainer = fitted(module, data, callbacks=[AveragedWeights(0.5)])
    file = tmp_path / "a.ckpt"
    trainer.save_checkpoint(file)
    held = torch.load(file, weights_only=True)
    for entry in ("state_dict", "current_model_state"):
        assert held[entry]
        assert all("lora_" in name for name in held[entry])
    expected = logged(module, data)
    assert logged(training(), data) != pytest.approx(expected, rel=1e-3)
    for kind in (DenoiserTraining, DiffusionClassifier):
        loaded = kind.load_from_checkpoint(file)
        assert logged(loaded, data) == pytest.approx(expected, rel=1e-5)
        again = Trainer(**QUIET)
        again.strategy.connect(loaded)
        again.save_checkpoint(tmp_path / "b.ckpt")
        twice = DiffusionClassifier.load_from_checkpoint(tmp_path / "b.ckpt")
        assert logged(twice, data) == pytest.approx(expected, rel=1e-5)
    going_on = Trainer(max_steps=5, callbacks=[AveragedWeights(0.5)], limit_val_batches=0, **QUIET)
    going_on.fit(training(), data, ckpt_path=file)
    assert going_on.global_step == 5


def test_a_checkpoint_of_a_model_made_by_hand_is_whole(data, tmp_path, seed):
    denoiser = AutoDenoiser.from_pretrained(EMBEDDED)
    denoiser.source = None
    module = training(denoiser=denoiser)
    trainer = fitted(module, data, 1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    held = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    assert held.keys() == module.state_dict().keys()
    loaded = DiffusionClassifier.load_from_checkpoint(tmp_path / "a.ckpt")
    assert logged(loaded, data) == pytest.approx(logged(module, data), rel=1e-5)


def test_a_checkpoint_refuses_other_weights_and_none(data, tmp_path):
    module = training()
    fitted(module, data, 1).save_checkpoint(tmp_path / "a.ckpt")
    other = AutoDenoiser.from_pretrained(EMBEDDED)
    other.unet.conv_in.weight.data[0] += 1
    with pytest.raises(InputError, match="other weights"):
        DenoiserTraining.load_from_checkpoint(
            tmp_path / "a.ckpt", denoiser=other, lora=LoRA(rank=2)
        )
    with pytest.raises(InputError, match="one without"):
        DiffusionClassifier.load_from_checkpoint(
            tmp_path / "a.ckpt", denoiser=AutoDenoiser.from_pretrained(EMBEDDED)
        )


def test_exports_answer_as_the_tuned_model(data, tmp_path):
    """Layers alone, by `lora`, and the pipeline with them in its weights: errors to 1e-5."""
    module = training(lora=LoRA(rank=2, alpha=6))
    exports = [ExportLoRA(tmp_path / "lora"), ExportDenoiser(tmp_path / "whole")]
    fitted(module, data, callbacks=exports)
    models = [
        AutoDenoiser.from_pretrained(EMBEDDED, lora=str(tmp_path / "lora")),
        AutoDenoiser.from_pretrained(str(tmp_path / "whole")),
    ]
    assert sum(file.stat().st_size for file in (tmp_path / "lora").iterdir()) < 100_000
    images = list(next(iter(data))[0])

    def errors(denoiser):
        same = {"template": TEMPLATE, "classnames": NAMES, "strategy": Full(4)}
        guesses = DiffusionClassifier(denoiser, **same).classify(images)
        return torch.tensor([sorted(guess.scores.values()) for guess in guesses])

    expected = errors(module.denoiser)
    for exported in models:
        assert torch.allclose(errors(exported), expected, atol=1e-5)
    assert not torch.allclose(errors(AutoDenoiser.from_pretrained(EMBEDDED)), expected, atol=1e-3)


def test_an_export_of_layers_is_refused_before_the_first_step(data, seed, tmp_path):
    with pytest.raises(InputError, match="one without"):
        fitted(training(lora=None), data, callbacks=[ExportLoRA(tmp_path)])
    module = training(denoiser=tiny.dit_with_vae(), template=None, classnames=None)
    images = DataLoader(TensorDataset(torch.rand(2, 3, 16, 16), torch.tensor([0, 1])))
    with pytest.raises(InputError, match="`ExportDenoiser`"):
        fitted(module, images, callbacks=[ExportLoRA(tmp_path)])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: training(denoiser=NewDiT()), "`lora`"),
        (lambda: CandidateCrossEntropy(weight=0.0), "`weight`"),
        (lambda: CandidateCrossEntropy(temperature=-1.0), "`temperature`"),
        (lambda: CandidateCrossEntropy(weight=float("inf")), "`weight`"),
        (lambda: CandidateCrossEntropy(trials=0), "`trials`"),
        (lambda: CandidateCrossEntropy(candidates=1), "`candidates`"),
    ],
)
def test_arguments_that_do_not_fit_are_named(made, said):
    with pytest.raises(InputError, match=said):
        made()


def test_fit_then_test_from_the_checkpoint_and_from_the_layers(diffclf, tmp_path):
    short = ["--trainer.max_steps=3", "--data.batch_size=10", "--data.num_test=10"]
    run = diffclf("fit", "--config=digits_text_lora", *short, "--results.folder=r")
    said = dict(re.findall(r"^(LoRA|Checkpoint|Test it): (.*)$", run.stdout, flags=re.MULTILINE))
    assert (tmp_path / said["Checkpoint"]).stat().st_size < 1_000_000
    few = ["--data.test_sets=[rotation_30]", "--data.batch_size=10", "--data.num_test=10"]
    full = ["--model.strategy=Full", "--model.strategy.trials=2"]
    diffclf(*said["Test it"].split()[1:], *few, *full, "--results.folder=a")
    lora = f"--model.denoiser.lora={said['LoRA']}"
    diffclf("test", "--config=digits_text", lora, *few, *full, "--results.folder=b")
    diffclf("test", "--config=digits_text", *few, *full, "--results.folder=c")
    tuned, layers, plain = (
        torch.tensor(pq.read_table(tmp_path / f"{run}/images.parquet")["scores"].to_pylist())
        for run in "abc"
    )
    assert torch.allclose(tuned, layers, atol=1e-5)
    assert not torch.allclose(tuned, plain, atol=1e-4)
