"""Checks of ``diffclf selfcheck`` on closed-form models, which cannot be bettered."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from diffclf_lightning.denoisers import EDM, FlowMatching, GaussianDenoiser, VariancePreserving
from diffclf_lightning.evaluation import FlowTarget, NestedGrid, NoiseTarget, SampleTarget, VTarget
from diffclf_lightning.selfcheck import Verdict
from diffclf_lightning.selfcheck.conditioning import check_conditioning
from diffclf_lightning.selfcheck.prediction import check_prediction
from diffclf_lightning.selfcheck.probe import LEVELS, probes
from diffclf_lightning.selfcheck.samples import Prompts, Samples
from diffclf_lightning.selfcheck.times import check_times


def scheduler(prediction_type):
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)


SCHEDULES = {
    "noise": lambda: VariancePreserving(scheduler("epsilon")),
    "v": lambda: VariancePreserving(scheduler("v_prediction")),
    "sample": lambda: VariancePreserving(scheduler("sample")),
    "flow": FlowMatching,
    "flow in [0, 1)": lambda: FlowMatching(time_scale=1.0),
    "flow to x_0": lambda: FlowMatching(sign=-1),
    "EDM": lambda: EDM(sigma_min=0.02, sigma_max=5.0),
}


def exact(schedule, seed):
    """A denoiser that cannot be bettered, and samples of its own distribution."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.rand(3, 2, 6, 6, generator=generator) * 2 - 1
    denoiser = GaussianDenoiser(means, std=0.4, schedule=schedule)
    labels = torch.arange(3).repeat(6)
    x_0 = means[labels] + 0.4 * torch.randn(18, 2, 6, 6, generator=generator)
    prompts = Prompts(["a", "b", "c"], [0, 1, 2], denoiser.condition([0, 1, 2]))
    return denoiser, Samples("generated", x_0, x_0, prompts, labels)


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_cannot_be_bettered_is_right_by_every_schedule(name, seed):
    denoiser, samples = exact(SCHEDULES[name](), seed)
    at = probes(denoiser, samples, 7, seed)
    prediction, times = check_prediction(at, "generated"), check_times(at, "generated")
    assert prediction.verdict is Verdict.RIGHT, prediction
    assert times.verdict is Verdict.RIGHT, times
    assert check_conditioning(denoiser, samples, 8, 50, seed).verdict is Verdict.RIGHT


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_opposite_output_is_wrong_and_named(name, seed):
    denoiser, samples = exact(SCHEDULES[name](), seed)
    told, forward = denoiser.schedule.target, denoiser.forward
    denoiser.forward = lambda *given: -forward(*given)
    found = check_prediction(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.WRONG
    names = {NoiseTarget: "-noise", SampleTarget: "-x_0", VTarget: "-velocity"}
    opposite = names.get(type(told)) or ("velocity" if told.sign < 0 else "-velocity")
    assert f"The output looks like {opposite}:" in found.advice


@pytest.mark.parametrize(
    ("name", "taken", "looks"),
    [
        ("noise", VTarget(), "noise"),
        ("noise", SampleTarget(), "noise"),
        ("v", NoiseTarget(), "velocity"),
        ("sample", NoiseTarget(), "x_0"),
        ("flow", NoiseTarget(), "velocity"),
        ("flow", FlowTarget(-1), "velocity"),
        ("flow to x_0", FlowTarget(1), "-velocity"),
    ],
)
def test_an_output_taken_for_another_is_wrong_and_named(name, taken, looks, seed):
    denoiser, samples = exact(SCHEDULES[name](), seed)
    says, forward = denoiser.schedule.target, denoiser.forward

    def spoken(*given):
        denoiser.schedule.target = says
        output = forward(*given)
        denoiser.schedule.target = taken
        return output

    denoiser.forward, denoiser.schedule.target = spoken, taken
    found = check_prediction(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.WRONG
    assert f"The output looks like {looks}:" in found.advice


@pytest.mark.parametrize("factor", [0.001, 0.1, 10, 1000])
def test_a_time_of_another_scale_is_wrong_and_named(factor, seed):
    denoiser, samples = exact(FlowMatching(), seed)
    forward = denoiser.forward
    denoiser.forward = lambda x_t, time, told: forward(x_t, time * factor, told)
    found = check_times(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.WRONG
    assert f"told the time multiplied by {1 / factor:g}:" in found.advice


def test_a_reversed_time_is_wrong_and_named_and_an_unheeded_one_undecided(seed):
    denoiser, samples = exact(FlowMatching(), seed)
    forward = denoiser.forward
    denoiser.forward = lambda x_t, time, told: forward(x_t, 1000 - time, told)
    found = check_times(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.WRONG
    assert "told the time reversed:" in found.advice
    denoiser.forward = lambda x_t, time, told: x_t
    found = check_times(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.UNDECIDED
    assert "hardly heeds" in found.advice


def preconditioned(denoiser, change):
    """What EDM's form ``c_skip x + c_out F`` says when its ``F`` is changed."""
    forward = denoiser.forward

    def said(x_t, time, told):
        variance = (8 * time).exp().reshape(-1, 1, 1, 1)
        skip = 0.25 / (variance + 0.25)
        out = 0.5 * (variance / (variance + 0.25)).sqrt()
        network = (forward(x_t, time, told) - skip * x_t) / out
        return skip * x_t + out * change(network)

    return said


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda said: said, Verdict.RIGHT),
        (lambda said: 0.6 * said, Verdict.RIGHT),
        (lambda said: -said, Verdict.WRONG),
        (torch.randn_like, Verdict.UNDECIDED),
        (torch.zeros_like, Verdict.UNDECIDED),
    ],
)
def test_what_is_added_to_the_input_is_looked_at_apart(change, verdict, seed):
    """Noise that is mostly small, as EDM's is: the input alone is near ``x_0``."""
    denoiser, samples = exact(EDM(0.02, 1.0), seed)
    denoiser.forward = preconditioned(denoiser, change)
    found = check_prediction(probes(denoiser, samples, 7, seed), "generated")
    assert found.figures["x_0"] > 0.5
    assert found.verdict is verdict, found
    if verdict is Verdict.WRONG:
        assert "adds to its input is the opposite" in found.advice


def test_figures_are_those_of_a_plain_loop(seed):
    """Cosines and errors of the closed form, noise by the generator, image by image."""
    denoiser, samples = exact(FlowMatching(), seed)
    found = check_prediction(probes(denoiser, samples, 5, seed), "generated")
    generator, means = torch.Generator().manual_seed(seed), denoiser.means.numpy()
    cosines, new, errors, told_20 = [], [], [], []
    for level in map(float, LEVELS):
        noise = torch.randn(18, 2, 6, 6, generator=generator).numpy()
        missed, known, elsewhere = 0.0, 0.0, 0.0
        for x_0, label, drawn in zip(
            samples.x_0.numpy(), samples.labels.tolist(), noise, strict=True
        ):
            x_t = (1 - level) * x_0 + level * drawn

            def velocity(t, x_t=x_t, mean=means[label]):
                excess = (x_t - (1 - t) * mean) / ((1 - t) ** 2 * 0.16 + t**2)
                return t * excess - (mean + (1 - t) * 0.16 * excess)

            truth, output = drawn - x_0, velocity(level)
            cosines.append((output * truth).sum() / np.linalg.norm(output) / np.linalg.norm(truth))
            # At a right angle to x_t: its least squares are taken off.
            line = x_t.reshape(-1, 1).astype(float)
            a, b = (v.reshape(-1) - line @ np.linalg.lstsq(line, v.reshape(-1), rcond=None)[0]
                    for v in (output, truth))  # fmt: skip
            new.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            missed += ((output - truth) ** 2).sum()
            elsewhere += ((velocity(1 - level) - truth) ** 2).sum()
            known += (truth**2).sum()
        errors.append(missed / known)
        told_20.append(elsewhere / missed)
    assert found.figures["velocity"] == pytest.approx(np.mean(cosines), abs=1e-4)
    assert found.figures["new"] == pytest.approx(np.mean(new), abs=1e-4)
    assert found.figures["relative_errors"] == pytest.approx(errors, rel=1e-3)
    times = check_times(probes(denoiser, samples, 5, seed), "generated")
    expected = np.exp(np.mean(np.log(told_20)))
    assert times.figures["costs"]["reversed"] == pytest.approx(expected, rel=1e-3)


def test_the_classification_is_that_of_a_plain_loop(seed):
    denoiser, samples = exact(FlowMatching(), seed)
    found = check_conditioning(denoiser, samples, 4, 50, seed)
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(2, 6, 6, generator=generator) for _ in range(4)]
    times, _ = NestedGrid().order([4])
    errors = np.zeros((18, 3))
    means = denoiser.means.numpy().astype(float)
    for image, x_0 in enumerate(samples.x_0.numpy().astype(float)):
        for t, drawn in zip(map(float, times), noise, strict=True):
            x_t = (1 - t) * x_0 + t * drawn.numpy()
            for label in range(3):
                said = t * (x_t - (1 - t) * means[label]) / ((1 - t) ** 2 * 0.16 + t**2)
                of_noise = ((said - drawn.numpy()) ** 2).mean()
                errors[image, label] += of_noise / (1 - t) ** 2 / 4  # the velocity's
    labels = samples.labels.numpy()
    correct = int((errors.argmin(1) == labels).sum())
    own = errors[np.arange(18), labels]
    gains = ((errors.sum(1) - own) / 2 - own) / own.mean()
    assert found.figures["correct"] == correct
    assert found.figures["gains over other prompts"] == pytest.approx(gains, rel=1e-3, abs=1e-4)


def favoured(seed, told_right=True):
    """Told prompt 0 it errs little on every image, and told the truth less than told the rest.

    All distances are at right angles. Images of prompt 0 are met exactly; of others, squared errors
    are 1 told prompt 0, 2 told their own and 1 + 2 + 1 told any other: 3 on average.
    """
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(72, 6, generator=generator))[0].T.reshape(6, 2, 6, 6)
    nothing = torch.zeros(1, 2, 6, 6)
    means = torch.cat([nothing, axes[:3]])
    taken = means + 2**0.5 * torch.cat([nothing, axes[3:]])
    taken = taken[[0, 1, 2, 3] if told_right else [0, 2, 3, 1]]
    denoiser = GaussianDenoiser(taken, std=0.05, schedule=FlowMatching())
    labels = torch.arange(4).repeat(4)
    prompts = Prompts(list("abcd"), [0, 1, 2, 3], denoiser.condition([0, 1, 2, 3]))
    return denoiser, Samples("generated", means[labels], means[labels], prompts, labels)


def test_a_weak_model_that_errs_less_told_the_truth_is_not_wrong(seed):
    denoiser, samples = favoured(seed)
    found = check_conditioning(denoiser, samples, 8, 50, seed)
    assert found.figures["correct"] == 4, found
    assert found.verdict is Verdict.UNDECIDED, found
    gains = np.array(found.figures["gains over other prompts"])
    assert gains.mean() > 2 * gains.std(ddof=1) / 4
    denoiser, samples = favoured(seed, told_right=False)
    found = check_conditioning(denoiser, samples, 8, 50, seed)
    assert found.verdict is Verdict.WRONG, found


def test_a_network_that_heeds_no_prompt_is_wrong(seed):
    denoiser, samples = exact(FlowMatching(), seed)
    forward = denoiser.forward
    denoiser.forward = lambda x_t, time, told: forward(
        x_t, time, {name: torch.zeros_like(value) for name, value in told.items()}
    )
    found = check_conditioning(denoiser, samples, 8, 7, seed)
    assert found.figures["correct"] == 6  # of 18
    assert found.verdict is Verdict.WRONG, found


def test_a_network_whose_numbers_are_not_finite_is_wrong(seed):
    denoiser, samples = exact(FlowMatching(), seed)
    denoiser.forward = lambda x_t, time, told: x_t * torch.nan
    found = check_prediction(probes(denoiser, samples, 7, seed), "generated")
    assert found.verdict is Verdict.WRONG
    assert "not finite" in found.said
