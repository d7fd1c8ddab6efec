"""``diffclf selfcheck``: sound models are right, and what is broken is found where it is broken."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import dit_with_vae, stable_diffusion_pipeline, unet

from diffclf_lightning import AutoDenoiser
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import FlowMatching, StableDiffusion
from diffclf_lightning.selfcheck import Verdict, checks, selfcheck
from diffclf_lightning.selfcheck.checks import prompts_of
from diffclf_lightning.selfcheck.findings import Finding, overall
from diffclf_lightning.selfcheck.latents import check_latents
from diffclf_lightning.selfcheck.samples import generated

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHECKS = ["latents", "prediction", "time", "conditioning"]
SMALL = {"images": 3, "steps": 12, "trials": 8, "batch_size": 64}
BREAKS = [
    ("sound", None),
    ("latents unscaled", "latents"),
    ("output negated", "prediction"),
    ("taken for velocity", "prediction"),
    ("time a tenth", "time"),
    ("time in [0, 1)", "time"),
    ("time reversed", "time"),
    ("time shifted", "time"),
    ("conditioning constant", "conditioning"),
    ("conditioning of another", "conditioning"),
]


@pytest.fixture
def broken(monkeypatch):
    """The script that breaks models on purpose."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("broken_models")


def verdicts(findings, images="generated"):
    return {f.check: f.verdict for f in findings if f.images == images and f.check in CHECKS}


@pytest.mark.parametrize(("name", "check"), BREAKS)
def test_each_break_is_found_in_its_line(broken, name, check):
    assert broken.BREAKS.keys() == {name for name, _ in BREAKS}
    denoiser = broken.with_latents()
    broken.BREAKS[name][1](denoiser)
    findings = selfcheck(denoiser, broken.WORDS, **SMALL)
    found = verdicts(findings)
    place = len(CHECKS) if check is None else CHECKS.index(check)
    expected = dict.fromkeys(CHECKS[:place], Verdict.RIGHT)
    if check is not None:
        expected |= {check: Verdict.WRONG}
        expected |= dict.fromkeys(CHECKS[place + 1 :], Verdict.UNDECIDED)
    assert found == expected, findings
    assert overall(findings) is (Verdict.RIGHT if check is None else Verdict.WRONG)


@pytest.mark.parametrize("model", ["digits-dit", "glyphs", "scenes"])
def test_embedded_models_are_right(broken, model):
    make, prompts = broken.MODELS[model]
    assert verdicts(selfcheck(make(), prompts, **SMALL)) == dict.fromkeys(CHECKS, Verdict.RIGHT)


def test_guidance_that_leaves_the_distribution_makes_no_sound_model_wrong(broken):
    found = selfcheck(broken.with_latents(), broken.WORDS, guidance=7.5, **SMALL)
    assert overall(found) is not Verdict.WRONG, found
    denoiser = broken.with_latents()
    broken.BREAKS["time reversed"][1](denoiser)
    found = selfcheck(denoiser, broken.WORDS, guidance=7.5, **SMALL)
    assert verdicts(found)["time"] is Verdict.WRONG, found


def folders(root, digits, names):
    """Held-out digits in folders of their classes."""
    for number, sample in enumerate(digits):
        folder = root / names[sample["label"]]
        folder.mkdir(parents=True, exist_ok=True)
        sample["image"].save(folder / f"{number}.png")


def test_exchanged_classes_show_on_images_of_ones_own(broken, tmp_path):
    """Not on generated ones, where no pipeline of diffusers runs the model."""
    digits = Digits().test_sets()["digits"]
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    chosen = ["zero", "three", "five", "eight"]
    wanted = [s for s in (digits[i] for i in range(40)) if names[s["label"]] in chosen][:12]
    folders(tmp_path, wanted, names)
    make, _ = broken.MODELS["digits-dit"]
    for name, verdict in (("sound", Verdict.RIGHT), ("conditioning of another", Verdict.WRONG)):
        denoiser = make()
        broken.BREAKS[name][1](denoiser)
        found = selfcheck(denoiser, chosen, folder=str(tmp_path), **SMALL)
        assert verdicts(found)["conditioning"] is Verdict.RIGHT
        assert verdicts(found, "folder")["conditioning"] is verdict
        (about,) = [f for f in found if (f.check, f.images) == ("images", "generated")]
        assert "exchanged do not show" in about.advice


def test_latents_are_compared_with_what_the_pipeline_ended_with(broken):
    """Its scheduler's last step, as a callback of the pipeline's own gives it."""
    denoiser = broken.with_latents()
    prompts = prompts_of(denoiser, broken.WORDS)
    samples = generated(denoiser, prompts, 1, 5, 1.0, 3, 7)
    pipeline, ended = denoiser.pipeline(), []
    pipeline.set_progress_bar_config(disable=True)
    for place, word in enumerate(broken.WORDS):
        ended.append(
            pipeline(
                word, height=8, width=8, num_inference_steps=5, guidance_scale=1.0,
                generator=torch.Generator().manual_seed(7 + place), output_type="latent",
            ).images
        )  # fmt: skip
    assert torch.allclose(samples.latents, torch.cat(ended), atol=1e-4)
    assert samples.by == "StableDiffusionPipeline"
    assert "step" not in vars(denoiser.schedule.scheduler)
    for scale, offset, verdict in (
        (1.0, 0.0, Verdict.RIGHT),
        (0.653, 0.0, Verdict.WRONG),  # Stable Diffusion 3 without its scale
        (1.0, 0.5, Verdict.WRONG),
        (1.0, 0.25, Verdict.UNDECIDED),
    ):
        changed = samples.x_0 * scale + offset * samples.latents.std()
        found = check_latents(denoiser, replace(samples, x_0=changed), 4)
        assert found.verdict is verdict
        assert found.figures["quotient"] == pytest.approx(
            float(changed.std() / samples.latents.std()), rel=1e-5
        )
    shuffled = samples.x_0.flatten(1)[:, torch.randperm(64)].reshape(samples.x_0.shape)
    assert check_latents(denoiser, replace(samples, x_0=shuffled), 4).verdict is Verdict.WRONG
    for name in ("latents", "x_0"):
        lost = getattr(samples, name).clone()
        lost[2, 0, 1] = torch.nan
        found = check_latents(denoiser, replace(samples, **{name: lost}), 4)
        assert (found.verdict, found.advice) == (Verdict.WRONG, "Take another --dtype.")
    packed = replace(samples, latents=samples.latents.flatten(2)[..., torch.randperm(64)])
    assert check_latents(denoiser, packed, 4).verdict is Verdict.RIGHT


def test_latents_of_a_folder_have_the_spread_of_trained_ones(broken, tmp_path):
    denoiser = broken.with_latents()
    samples = generated(denoiser, prompts_of(denoiser, broken.WORDS), 1, 3, 1.0, 4, 0)
    own = replace(samples, source="folder", latents=None)
    assert check_latents(denoiser, own, 4).verdict is Verdict.MEASURED
    unscaled = replace(own, x_0=own.x_0 / 0.1)
    assert check_latents(denoiser, unscaled, 4).verdict is Verdict.WRONG


def test_weights_that_were_never_trained_are_not_right():
    """The form of Stable Diffusion, at random: its output is near nothing that is known."""
    parts = stable_diffusion_pipeline("epsilon").components
    names = ("unet", "scheduler", "text_encoder", "tokenizer", "vae")
    denoiser = StableDiffusion(**{name: parts[name] for name in names}).eval()
    findings = selfcheck(denoiser, **SMALL | {"images": 1, "steps": 2, "trials": 2})
    assert Verdict.RIGHT not in {
        verdict for check, verdict in verdicts(findings).items() if check != "latents"
    }


@pytest.mark.parametrize(
    ("family", "side"), [("stable_diffusion_3", 16), ("sana", 64), ("lumina", 16)]
)
def test_pipelines_of_text_draw_at_the_size_of_the_denoiser(family, side, tmp_path):
    """What the sampler ended with has as many elements as ``x_0``, and the checks go through."""
    importlib.import_module(f"test_{family}").pipeline().save_pretrained(tmp_path)
    denoiser = AutoDenoiser.from_pretrained(str(tmp_path), image_size=side)
    small = {"images": 1, "steps": 2, "trials": 2}
    findings = {f.check: f for f in selfcheck(denoiser, ["a cat", "a dog"], **small)}
    assert findings["images"].said.endswith(f"by {type(denoiser).pipeline_class.__name__}")
    assert "quotient" in findings["latents"].figures
    assert "speed" in findings


def test_a_flow_of_pixels_is_drawn_by_our_loop_or_takes_images_of_ones_own(tmp_path):
    denoiser = unet(null=True)
    denoiser.schedule = FlowMatching()
    said = {finding.check: finding for finding in selfcheck(denoiser, **SMALL)}
    assert "EulerSampler" in said["images"].said
    assert "this loop runs what is checked" in said["images"].advice
    digits = Digits().test_sets()["digits"]
    folders(tmp_path, [digits[i] for i in range(4)], [*map(str, range(10))])
    findings = selfcheck(denoiser, folder=str(tmp_path), **SMALL)
    assert [*verdicts(findings, "folder")] == CHECKS


def test_classes_are_taken_evenly_or_by_name():
    denoiser = dit_with_vae()
    assert prompts_of(denoiser, None).conditions == [0, 1, 2, 3]
    glyphs = AutoDenoiser.from_pretrained("diffclf/glyphs")
    assert prompts_of(glyphs, None).conditions == [0, 62, 125, 188]
    assert prompts_of(glyphs, ["Ampersand", "asterisk"]).conditions == [38, 179]


def test_the_command_says_it_as_a_table_and_as_json(diffclf, monkeypatch, broken):
    small = ["--images", 3, "--steps", 12, "--trials", 8, "--batch-size", 64, "--device", "cpu"]
    out = diffclf("selfcheck", "diffclf/digits-dit", *small).stdout
    assert out.rstrip().endswith("Nothing is wrong.")
    assert [line.split()[0] for line in out.splitlines() if "right" in line] == CHECKS
    plain = json.loads(diffclf("selfcheck", "diffclf/digits-dit", *small, "--json").stdout)
    assert (plain["model"], plain["verdict"]) == ("diffclf/digits-dit", "right")
    of_model, *_, of_speed = plain["findings"]
    assert of_model["figures"]["weights"] == 828_964
    assert min(of_speed["figures"]["evaluations_per_second"].values()) > 0
    check = checks.check_prediction
    wrong = Finding("prediction", Verdict.WRONG, "it is", "Look at it.", "generated")
    monkeypatch.setattr(checks, "check_prediction", lambda *given: check(*given) and wrong)
    out = diffclf("selfcheck", "diffclf/digits-dit", *small, code=1).stdout
    assert out.rstrip().endswith("WRONG: prediction.")
    assert "not judged while prediction is wrong" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diffclf/digits-dit", "--images", "0"], "--images to be at least 1"),
        (["diffclf/digits-dit", "--trials", "0"], "--trials to be at least 1"),
        (["diffclf/digits-dit", "--batch-size", "0"], "--batch-size to be at least 1"),
        (["diffclf/digits-dit", "--steps", "0"], "--steps to be at least 1"),
        (["diffclf/digits-dit", "--guidance", "0"], "--guidance to be at least 1"),
        (["diffclf/digits-dit", "--prompts", "one"], "--prompts to be at least two"),
        (["diffclf/digits-dit", "--prompts", "one, one"], "--prompts to be at least two"),
        (["diffclf/digits-dit", "--prompts", "one, eleven"], "in --prompts"),
        (["diffclf/digits-dit", "--image-size", "16"], "image_size"),
        (["diffclf/digits-dit", "--folder", "nowhere"], "--folder"),
        (["diffclf/digits-dit", "--device", "moon"], "--device"),
        (["diffclf/scenes", "--images", "1"], "Expected --prompts, since the model does not know"),
        (["diffclf/digits-dit", "--seed", "-1"], "Expected --seed from 0"),
    ],
)
def test_wrong_arguments_are_named(diffclf, arguments, message, monkeypatch):
    """Those of what the images are of before any is generated."""
    if {"--prompts", "--seed", "diffclf/scenes"} & {*arguments}:
        monkeypatch.delattr(checks, "generated")
    quick = [] if "--steps" in arguments else ["--steps", "2"]
    said = diffclf("selfcheck", *arguments, *quick, code=2).stderr
    assert message in said, said
