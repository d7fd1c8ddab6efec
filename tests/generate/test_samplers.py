"""How images are drawn: by a pipeline of diffusers, by DDIM, and by Euler's steps."""

import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image
from tiny import autoencoder, dit_with_vae, stable_diffusion_pipeline, unet

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.cli import main
from diffclf_lightning.denoisers import EDM, FlowMatching, GaussianDenoiser, StableDiffusion
from diffclf_lightning.generate.samplers import (
    DDIMSampler,
    EulerSampler,
    PipelineSampler,
    sampler_of,
)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_images_are_those_of_the_pipeline_called_directly(tmp_path, prediction):
    made = stable_diffusion_pipeline(prediction)
    made.save_pretrained(tmp_path / "sd")
    main(["generate", "--denoiser", str(tmp_path / "sd"), "--names", "cat", "dog", "--images", "2",
          "--steps", "3", "--guidance", "5", "--batch-size", "3", "--out", str(tmp_path / "t"),
          "--device", "cpu"])  # fmt: skip
    made.set_progress_bar_config(disable=True)
    for line in (tmp_path / "t/index.jsonl").read_text().splitlines():
        told = json.loads(line)
        assert told["prompt"] == f"a photo of a {told['class']}."
        generator = torch.Generator().manual_seed(told["seed"])
        (expected,) = made(
            told["prompt"], num_inference_steps=3, guidance_scale=5.0, generator=generator
        ).images
        found = np.asarray(Image.open(tmp_path / "t" / told["file"])).astype(int)
        assert found.shape == (16, 16, 3)
        assert np.abs(found - np.asarray(expected)).max() <= 1
    assert "StableDiffusionPipeline" in (tmp_path / "t/generation.json").read_text()


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_loop_is_ddim_by_its_formula(seed, guidance):
    """x_t' = alpha' x_0 + sigma' eps with the guided noise; the last step goes to x_0."""
    denoiser = unet(null=True)
    found = DDIMSampler(denoiser, 4, guidance).sample([3], [seed])
    config = denoiser.schedule.scheduler.config
    abar = DDIMScheduler.from_config(config).alphas_cumprod.double()
    x_t = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    for timestep in (750, 500, 250, 0):
        told = [
            denoiser.model(x_t, torch.tensor([timestep]), class_labels=torch.tensor([label])).sample
            for label in (3, 5)
        ]
        noise = told[1] + guidance * (told[0] - told[1])
        x_0 = (x_t - (1 - abar[timestep]).sqrt() * noise) / abar[timestep].sqrt()
        x_0 = x_0.clamp(-1, 1)  # clip_sample of the model's scheduler
        after = abar[timestep - 250] if timestep else torch.tensor(1.0)
        x_t = (after.sqrt() * x_0 + (1 - after).sqrt() * noise).float()
    expected = ((x_t[0, 0] + 1) * 127.5).clamp(0, 255)
    assert (torch.from_numpy(np.array(found[0])).float() - expected).abs().max() <= 0.51


@torch.no_grad()
def test_latents_are_decoded_where_no_pipeline_runs(seed):
    denoiser = dit_with_vae()  # of five classes, where diffusers takes the null class for 1000
    sampler = sampler_of(denoiser, 2)
    assert isinstance(sampler, DDIMSampler)
    assert sampler.guidance == 4.0
    (image,) = sampler.sample([2], [0])
    assert (image.size, image.mode) == ((16, 16), "RGB")
    latents = torch.randn(2, 4, 8, 8)
    expected = autoencoder().decode(latents / 0.18215).sample / 2 + 0.5
    assert torch.allclose(
        denoiser.decode(latents).float(), expected.clamp(0, 1) * 255, atol=0.5 + 1e-3
    )


def test_a_loaded_model_has_its_decoder_to_generate_and_to_export(tmp_path):
    stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "sd")
    denoiser = AutoDenoiser.from_pretrained(str(tmp_path / "sd"))
    assert not hasattr(denoiser.vae, "decoder")
    assert isinstance(sampler_of(denoiser, 2), PipelineSampler)
    assert isinstance(denoiser, StableDiffusion)
    denoiser.save_pretrained(tmp_path / "again")
    assert isinstance(sampler_of(AutoDenoiser.from_pretrained(str(tmp_path / "again")), 2),
                      PipelineSampler)  # fmt: skip
    denoiser.drop_decoder()
    with pytest.raises(InputError, match="whole autoencoder to generate images"):
        sampler_of(denoiser, 2)


@pytest.mark.parametrize(
    "schedule",
    [FlowMatching(), FlowMatching(None, 1.0, -1, reversed_time=True), EDM(sigma_min=1e-4)],
)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_steps_of_euler_follow_the_path_of_a_known_model(schedule, guidance, seed):
    """Of a Gaussian, a sample keeps its place in units of the deviation, x_t's and then x_0's.

    The guided mean lies beyond that of the class, on the line from the mean of all.
    """

    class Known(GaussianDenoiser):
        def unconditional(self):
            return self.condition([1])

    means = torch.randn(2, 1, 4, 4)
    denoiser = Known(means, std=0.3, schedule=schedule)
    found = EulerSampler(denoiser, 2000, guidance).latents([0, 0], [seed, 7])
    mean = means[1] + guidance * (means[0] - means[1])
    first = schedule(torch.ones(1))
    for x_0, number in zip(found, (seed, 7), strict=True):
        noise = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(number))
        place = (first.sigma * noise - first.alpha * mean) / torch.hypot(
            0.3 * first.alpha, first.sigma
        )
        assert torch.allclose(x_0, mean + 0.3 * place, rtol=0.01, atol=0.02)


def test_a_model_that_cannot_be_told_nothing_takes_no_guidance():
    sampler_of(unet(null=False), 2, 1.0)
    with pytest.raises(InputError, match=r"Expected --guidance 1 .* got 4"):
        sampler_of(unet(null=False), 2)


def test_a_flow_of_pixels_is_drawn_by_euler(tmp_path):
    denoiser = unet(null=True)
    denoiser.schedule = FlowMatching(FlowMatchEulerDiscreteScheduler())
    denoiser.save_pretrained(tmp_path / "model")
    main(["generate", f"--denoiser={tmp_path / 'model'}", "--names", "1", "4", "--steps=2",
          f"--out={tmp_path / 'images'}", "--images=2"])  # fmt: skip
    assert len([*(tmp_path / "images").rglob("*.png")]) == 4
    assert "EulerSampler" in (tmp_path / "images/generation.json").read_text()
