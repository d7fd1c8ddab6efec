"""Stable Diffusion's form on tiny random weights, against loops written from the formulas."""

import warnings

import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    AutoDenoiser,
    DiffusionClassifier,
    InputError,
    NestedGrid,
    PromptEnsemble,
    PublishedGrid,
    Staged,
)
from diffclf_lightning.denoisers import ResizeCenterCrop, StableDiffusion
from diffclf_lightning.evaluation import Noised

NAMES = ["cat", "dog", "hen", "fox"]
TRIALS, KEEP = (4, 10, 20), (3, 2, 1)


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def folder(request, tmp_path_factory):
    """A pipeline folder as diffusers itself writes it."""
    path = tmp_path_factory.mktemp(request.param)
    tiny.stable_diffusion_pipeline(request.param).save_pretrained(path)
    return str(path)


LOSSES = {
    "l2": lambda d: (d**2).mean().item(),
    "l1": lambda d: d.abs().mean().item(),
    "huber": lambda d: torch.where(d.abs() < 1, d**2 / 2, d.abs() - 0.5).mean().item(),
}


def grid_blocks(grid):
    """Cumulative timesteps of each stage, written out."""
    base = list(range(1000 // 20 // 2, 1000, 1000 // 20))[:20]
    if isinstance(grid, PublishedGrid):
        stages = [base[20 // n // 2 :: 20 // n][:n] for n in TRIALS]
    else:
        ten = [base[(2 * i + 1) * 20 // 20] for i in range(10)]
        stages = [[ten[(2 * i + 1) * 10 // 8] for i in range(4)], ten, base]
    done, blocks = set(), []
    for stage in stages:
        blocks.append([t for t in stage if t not in done])
        done |= set(stage)
    return blocks


@torch.no_grad()
def plain_loop(folder, images, loss, grid):
    """Algorithm 2 with diffusers' own pipeline, one evaluation at a time."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.vae.eval(), pipe.unet.eval(), pipe.text_encoder.eval()
    prompts = [f"a photo of a {name}." for name in NAMES]
    tokens = pipe.tokenizer(
        prompts,
        padding="max_length",
        max_length=pipe.tokenizer.model_max_length,
        return_tensors="pt",
    )
    text = pipe.text_encoder(tokens.input_ids)[0]
    abar = torch.cumprod(1 - pipe.scheduler.betas.double(), 0)
    latents = pipe.vae.encode(images * 2 - 1).latent_dist.mean * pipe.vae.config.scaling_factor
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(latents.shape[1:], generator=generator) for _ in range(20)]
    predictions, table = [], []
    for x in latents:
        errors, alive, j = {c: [] for c in range(4)}, list(range(4)), 0
        for block, kept in zip(grid_blocks(grid), KEEP, strict=True):
            for t in block:
                a = abar[t]
                x_t = (a.sqrt() * x + (1 - a).sqrt() * noise[j]).float()
                for c in alive:
                    out = pipe.unet(x_t[None], t, encoder_hidden_states=text[c][None]).sample[0]
                    if pipe.scheduler.config.prediction_type == "v_prediction":
                        out = (a.sqrt() * out + (1 - a).sqrt() * x_t).float()
                    errors[c].append(LOSSES[loss](out - noise[j]))
                j += 1
            alive = sorted(alive, key=lambda c: sum(errors[c]) / len(errors[c]))[:kept]
        predictions.append(alive[0])
        table.append(errors)
    return predictions, table


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("grid", [NestedGrid(), PublishedGrid()])
def test_errors_equal_a_plain_loop(folder, loss, grid, seed):
    images = torch.rand(2, 3, 32, 32)
    predictions, expected = plain_loop(folder, images, loss, grid)
    classifier = DiffusionClassifier(
        AutoDenoiser.from_pretrained(folder, image_size=32),
        Staged(TRIALS, KEEP),
        loss,
        template="a photo of a {}.",
        classnames=NAMES,
        grid=grid,
        evaluations_per_batch=7,
    )
    classifier.keep_errors = True
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    labels = torch.zeros(2, dtype=torch.int64)
    (out,) = trainer.predict(classifier, DataLoader(TensorDataset(images, labels), batch_size=2))
    assert out["prediction"].tolist() == predictions
    for mine, theirs in zip(out.table.dense(loss), expected, strict=True):
        for c in range(4):
            assert mine[c][~mine[c].isnan()].tolist() == pytest.approx(theirs[c], abs=1e-5)


def test_family_is_found_and_sized(folder):
    default = AutoDenoiser.from_pretrained(folder)
    assert isinstance(default, StableDiffusion)
    assert default.image_shape == (3, 16, 16)
    other = AutoDenoiser.from_pretrained(folder, image_size=24)
    assert other.image_shape == (3, 24, 24)
    assert other.sample_shape == (4, 12, 12)
    assert isinstance(other.transform, ResizeCenterCrop)
    assert other.transform.size == 24
    with pytest.raises(InputError, match="`image_size` as a multiple of 2, but got 23"):
        AutoDenoiser.from_pretrained(folder, image_size=23)


def test_half_precision_weights_leave_the_schedule_alone(folder):
    half = AutoDenoiser.from_pretrained(folder, torch_dtype=torch.bfloat16)
    full = AutoDenoiser.from_pretrained(folder)
    assert half.unet.dtype == half.text_encoder.dtype == half.vae.dtype == torch.bfloat16
    t = torch.arange(1000)
    assert torch.equal(half.schedule.scales(t)[1], full.schedule.scales(t)[1])
    with torch.no_grad():
        samples = torch.randn(2, 2, *full.sample_shape)
        noised, prompts = Noised(*samples, full.schedule.of(torch.tensor([5, 500]))), ["a", "b"]
        prediction = half.predict(noised, half.condition(prompts)).noise
        expected = full.predict(noised, full.condition(prompts)).noise
    assert prediction.dtype == torch.float32
    assert (prediction - expected).norm() < 0.1 * expected.norm()


@torch.no_grad()
def test_prompts_are_encoded_in_batches_and_averaged(folder):
    model = AutoDenoiser.from_pretrained(folder)

    def states(prompts):
        return model.condition(prompts)["encoder_hidden_states"]

    prompts = [f"photo number {i} of a cat" for i in range(70)]
    together = states(prompts)
    alone = torch.cat([states([prompt]) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-5)
    mean = states([tuple(prompts[:3]), prompts[5]])
    assert torch.allclose(mean[0], together[:3].mean(dim=0), atol=1e-5)
    assert torch.allclose(mean[1], together[5], atol=1e-5)
    assert torch.equal(model.unconditional()["encoder_hidden_states"], states([""]))


def test_each_prompt_or_the_mean(folder):
    each = PromptEnsemble(["a {}.", "the {}."]).candidates(NAMES)
    assert each.labels == (0, 0, 1, 1, 2, 2, 3, 3)
    mean = PromptEnsemble(["a {}.", "the {}."], reduce="mean").candidates(NAMES)
    assert mean.conditions[1] == ("a dog.", "the dog.")
    assert AutoDenoiser.from_pretrained(folder).condition(mean.conditions).num_rows == 4


def test_long_prompt_is_reported_and_not_cut(folder):
    model = AutoDenoiser.from_pretrained(folder)
    fits = " ".join(["cat"] * 75)
    assert model.condition([fits])["encoder_hidden_states"].shape[1] == 77
    with pytest.raises(InputError, match=r"at most 77 tokens, but 'cat cat.*has 78"):
        model.condition([fits + " cat"])


def test_class_ids_are_refused(folder):
    with pytest.raises(InputError, match="takes text, not class ids"):
        AutoDenoiser.from_pretrained(folder).condition([3])


def test_parts_that_do_not_fit_are_named():
    pipe = tiny.stable_diffusion_pipeline("epsilon")
    parts = (pipe.unet, pipe.scheduler, pipe.text_encoder, pipe.tokenizer)
    pipe.vae.register_to_config(latent_channels=8)
    with pytest.raises(InputError, match=r"network of 8 channels.*but got 4"):
        StableDiffusion(*parts, pipe.vae)
    pipe.text_encoder.config.hidden_size = 7
    with pytest.raises(InputError, match="text encoder of width 16, but got 7"):
        StableDiffusion(*parts)


def test_vocabulary_is_that_of_clip():
    """The tokenizer of the tests is the real one: 49,408 tokens, 'a photo of a cat.' is known."""
    ids = tiny.clip_tokenizer()("a photo of a cat.")["input_ids"]
    assert ids == [49406, 320, 1125, 539, 320, 2368, 269, 49407]
    assert len(tiny.clip_tokenizer()) == 49408


def test_words_that_the_model_does_not_know_are_said_once():
    model = AutoDenoiser.from_pretrained("diffclf/scenes")
    with pytest.warns(UserWarning, match=r"1 of 2 prompts.*as 'a cat' does: it reads <unk>"):
        model.condition(["a seven", "a cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.condition(["a dog"])
        AutoDenoiser.from_pretrained("diffclf/scenes").condition(["a seven above a two"])
