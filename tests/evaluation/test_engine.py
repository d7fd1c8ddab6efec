"""The engine against a plain loop, on a closed-form model and on the embedded one."""

import pytest
import torch
from running import run
from torch.distributions import Normal

from diffclf_lightning import AutoDenoiser, Full, InputError, Staged
from diffclf_lightning.answers import as_batch
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import EDM, FlowMatching, GaussianDenoiser
from diffclf_lightning.evaluation import (
    NestedGrid,
    NoiseBank,
    RelativeToReference,
    UniformGrid,
    log_posterior,
)

SCHEDULES = {"vp": None, "flow": FlowMatching(), "flipped": FlowMatching(sign=-1), "edm": EDM()}


@pytest.fixture
def gaussian(seed):
    return GaussianDenoiser(torch.rand(4, 1, 3, 3) * 2 - 1, std=0.5)


@pytest.fixture(scope="module")
def digits():
    model = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    data = Digits()
    data.transform = model.transform
    batch = as_batch(next(iter(data.test_dataloader()["digits"])))
    return model, model.encode(batch["image"]), batch["label"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_engine_equals_a_plain_loop(name, seed):
    """Algorithm 2, one evaluation at a time, from the formulas, on every kind of schedule."""
    model = GaussianDenoiser(torch.rand(4, 1, 3, 3) * 2 - 1, std=0.5, schedule=SCHEDULES[name])
    x_0 = torch.rand(3, 1, 3, 3) * 2 - 1
    trials, keep = (2, 6, 9), (3, 2, 1)
    losses = ["l2", "l1", "l2_x_0", "l2_velocity"]
    table = run(model, x_0, Staged(trials, keep), losses, evaluations_per_batch=5)

    times, _ = NestedGrid().order(trials)
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(1, 3, 3, generator=generator).double() for _ in range(9)]

    def scales(time):
        if name == "vp":
            abar = model.schedule.scheduler.alphas_cumprod.double()[int(time * 1000)].item()
            alpha, sigma = abar**0.5, (1 - abar) ** 0.5
            return alpha, sigma, -sigma, alpha
        if name == "edm":
            low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
            return 1, (low + float(time) * (high - low)) ** 7, 0, 1
        return 1 - float(time), float(time), -1, 1

    for i, x in enumerate(x_0.double()):
        errors, alive = {c: [] for c in range(4)}, list(range(4))
        for end, kept in zip(trials, keep, strict=True):
            for c in alive:
                for j in range(len(errors[c]), end):
                    alpha, sigma, alpha_rate, sigma_rate = scales(times[j])
                    x_t = alpha * x + sigma * noise[j]
                    mean = model.means[c].double()
                    variance = alpha**2 * 0.25 + sigma**2
                    eps = sigma * (x_t - alpha * mean) / variance
                    clean = mean + alpha * 0.25 * (x_t - alpha * mean) / variance
                    off, off_clean = eps - noise[j], clean - x
                    velocity = alpha_rate * off_clean + sigma_rate * off
                    each = (off**2, off.abs(), off_clean**2, velocity**2)
                    errors[c].append([e.mean().item() for e in each])
            alive = sorted(alive, key=lambda c: sum(e[0] for e in errors[c]))[:kept]
        assert table["l2"].predictions[i] == alive[0]
        for c in range(4):
            for place, loss in enumerate(losses):
                mine = table.dense(loss)[i, c]
                expected = [e[place] for e in errors[c]]
                met = mine[~mine.isnan()].tolist()
                assert met == pytest.approx(expected, rel=1e-3, abs=2e-5)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_result_does_not_depend_on_the_batch_of_evaluations(digits, size):
    model, x_0, _ = digits
    strategy, x_0 = Staged((2, 6), (3, 1)), x_0[:6]
    reference = run(model, x_0, strategy, evaluations_per_batch=33)
    table = run(model, x_0, strategy, evaluations_per_batch=size)
    assert torch.equal(table["l2"].predictions, reference["l2"].predictions)
    assert torch.equal(table.counts, reference.counts)
    assert torch.allclose(table.errors["l2"], reference.errors["l2"], atol=1e-5)


@pytest.mark.parametrize("per_image", [False, True])
def test_result_does_not_depend_on_batch_and_order_of_images(digits, per_image, seed):
    model, x_0, _ = digits
    noise = NoiseBank(0, per_image=per_image)
    strategy, x_0 = Staged((2, 6), (3, 1)), x_0[:8]
    together = run(model, x_0, strategy, noise=noise).dense("l2")
    order = torch.randperm(8)
    shuffled = run(model, x_0[order], strategy, noise=noise).dense("l2")
    alone = [run(model, x_0[i : i + 1], strategy, noise=noise).dense("l2") for i in range(8)]
    close = {"atol": 1e-5, "equal_nan": True}
    assert torch.allclose(shuffled, together[order], **close)
    assert torch.allclose(torch.cat(alone), together, **close)


def test_one_stage_equals_full(digits):
    model, x_0, _ = digits
    staged = run(model, x_0[:4], Staged((6,), (1,)))
    full = run(model, x_0[:4], Full(6))
    assert torch.equal(staged.errors["l2"], full.errors["l2"])
    assert full.counts.unique().tolist() == [6]


def test_candidates_of_one_label_and_some_candidates(digits):
    """Two candidates a label; and a subset gives the same errors as within the whole."""
    model, x_0, _ = digits
    chosen, labels = [3, 8, 1, 7], torch.tensor([0, 0, 1, 1])
    table = run(model, x_0[:8], Full(6), conditions=chosen, labels=labels)
    whole = run(model, x_0[:8], Full(6))
    assert torch.allclose(table.dense("l2"), whole.dense("l2")[:, chosen], atol=1e-5)
    expected = whole["l2"].means[:, chosen].reshape(8, 2, 2).min(dim=2).values
    assert torch.equal(table["l2"].predictions, expected.argmin(dim=1))


def test_candidates_that_are_not_allowed_are_never_evaluated(digits, seed):
    """Each image among its own candidates is as if it were alone with them."""
    model, x_0, _ = digits
    x_0 = x_0[:6]
    allowed = torch.rand(6, 10) < 0.5
    allowed[:, 4] = True
    table = run(model, x_0, Staged((2, 6), (2, 1)), allowed=allowed)
    assert not table.counts[~allowed].any()
    assert table["l2"].scores[~allowed].isinf().all()
    for i in range(6):
        own = allowed[i].nonzero().flatten()
        strategy = Staged((2, 6), (2, 1)) if len(own) > 1 else Full(6)
        alone = run(model, x_0[i : i + 1], strategy, conditions=own.tolist())
        assert torch.equal(table.counts[i, own], alone.counts[0])
        assert table["l2"].best[i] == own[alone["l2"].best[0]]


def test_evaluations_are_those_of_the_strategy(digits):
    model, x_0, _ = digits
    seen = []
    strategy = Staged((2, 6, 20), (4, 2, 1))
    table = run(model, x_0[:5], strategy, evaluations_per_batch=17, on_progress=seen.append)
    assert table.evaluations.unique().tolist() == [10 * 2 + 4 * 4 + 2 * 14]
    assert sum(seen) == 5 * strategy.evaluations(10)


def test_a_round_goes_to_the_model_in_batches_of_one_shape(gaussian):
    shapes = []
    predict = gaussian.predict

    def recorded(noised, conditioning):
        shapes.append(len(noised.x_t))
        return predict(noised, conditioning)

    gaussian.predict = recorded
    run(gaussian, torch.rand(5, 1, 3, 3), Full(7), evaluations_per_batch=32)
    assert len(set(shapes)) == 1
    assert len(shapes) == 5
    assert 140 <= sum(shapes) < 140 + 5


def test_a_reference_meets_the_trials_of_its_image_beside_the_candidates(gaussian):
    """Subtracting what the mixture of all classes says changes no decision within an image."""
    x_0 = torch.rand(4, 1, 3, 3) * 2 - 1
    strategy, score = Staged((3, 8), (2, 1)), RelativeToReference()
    plain = run(gaussian, x_0, strategy)
    table = run(gaussian, x_0, strategy, score=score, reference=gaussian.unconditional())
    assert torch.equal(table.counts, plain.counts)
    assert table.evaluations.tolist() == (plain.evaluations + 8).tolist()
    assert torch.allclose(table.errors["l2"], plain.errors["l2"])
    told_nothing = torch.stack([mixture_error(gaussian, x, strategy.stages) for x in x_0])
    assert torch.allclose(table.reference.dense("l2")[:, 0], told_nothing, atol=1e-5)
    best = plain["l2"].best[:, None]
    expected = plain["l2"].means.gather(1, best)[:, 0] - told_nothing.mean(dim=1)
    scored = table.scored(score)
    assert torch.equal(scored.best, plain["l2"].best)
    assert torch.allclose(scored.scores.amin(dim=1), expected.float(), atol=1e-5)


def mixture_error(model, x, stages):
    """Squared error of the best prediction under the mixture of all classes, from Bayes' rule."""
    errors, generator = [], torch.Generator().manual_seed(0)
    for time in NestedGrid().order(stages)[0]:
        noise = torch.randn(1, 3, 3, generator=generator)
        abar = model.schedule.scheduler.alphas_cumprod[int(time * 1000)]
        x_t = abar.sqrt() * x + (1 - abar).sqrt() * noise
        scale = (abar * model.std**2 + 1 - abar).sqrt()
        likely = [Normal(abar.sqrt() * mean, scale).log_prob(x_t).sum() for mean in model.means]
        said = [(1 - abar).sqrt() * (x_t - abar.sqrt() * mean) / scale**2 for mean in model.means]
        weights = torch.stack(likely).softmax(dim=0)
        errors.append(((weights[:, None, None, None] * torch.stack(said)).sum(0) - noise) ** 2)
    return torch.stack(errors).mean(dim=(1, 2, 3))


def test_bayes_posterior_is_recovered_in_the_limit_of_trials(gaussian):
    """With the temperature that the theory gives, the posterior tends to the exact one."""
    x_0 = gaussian.means.detach().repeat(3, 1, 1, 1)
    x_0 = x_0 + 0.5 * torch.randn_like(x_0)
    exact = gaussian.bayes_posterior(x_0)
    distances = []
    for trials in (20, 20_000):
        table = run(gaussian, x_0, Full(trials), evaluations_per_batch=20_000)
        posterior = log_posterior(table["l2"].scores, gaussian.temperature).exp()
        distances.append((posterior - exact).abs().max().item())
    assert distances[1] < 0.03, distances
    assert distances[1] < distances[0]


def test_shared_noise_beats_independent_noise(digits, capsys):
    """Figure 2: differences between candidates vary less, and few trials decide better."""
    model, x_0, labels = digits
    x_0, labels, trials = x_0[:50], labels[:50], 20
    grid = UniformGrid(0)
    shared = run(model, x_0, Full(trials), grid=grid).dense("l2")
    alone = [
        run(model, x_0, Full(trials), noise=NoiseBank(c), grid=grid, conditions=[c]).dense("l2")
        for c in range(10)
    ]
    independent = torch.cat(alone, dim=1)
    true = labels[:, None, None].expand(-1, 1, trials)
    within = [  # variance of the difference to the true class over trials, for other classes
        (e - e.gather(1, true)).var(dim=-1)[labels[:, None] != torch.arange(10)].mean()
        for e in (independent, shared)
    ]
    factor = (within[0] / within[1]).item()
    accuracy = [
        (e[..., :2].mean(dim=-1).argmin(dim=1) == labels).float().mean().item()
        for e in (independent, shared)
    ]
    with capsys.disabled():
        print(
            f"\nvariance of differences, independent over shared noise: {factor:.2f}; "
            f"accuracy at 2 trials: {accuracy[0]:.2f} and {accuracy[1]:.2f}"
        )
    assert factor > 1.3
    assert accuracy[1] > accuracy[0] + 0.05


def test_nan_is_named_with_candidate_and_timestep(gaussian):
    with torch.no_grad():
        gaussian.means[2, 0, 0, 0] = torch.nan
    names = ["ant", "bee", "cat", "dog"]
    with pytest.raises(InputError, match=r"nan .* 'cat' at timestep 125 \(l2, image 0"):
        run(gaussian, torch.rand(2, 1, 3, 3), Full(4), names=names)
