"""The engine against a plain loop, on a closed-form model and on the embedded one."""

import pytest
import torch

from diffclf_lightning import AutoDenoiser, Full, InputError, Staged
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import (
    NestedGrid,
    Noise,
    TrialSource,
    UniformGrid,
    evaluate,
    l1,
    l2,
)

STEPS = 1000


def run(model, x_0, strategy, loss=l2, noise=None, grid=None, **kwargs):
    source = TrialSource(
        grid or NestedGrid(), noise or Noise(0), strategy.trials, STEPS, x_0.shape[1:]
    )
    conditioning = kwargs.pop("conditioning", model.condition(range(model.num_classes)))
    return evaluate(model, x_0, conditioning, source(x_0), strategy, loss, **kwargs)


@pytest.fixture
def gaussian(seed):
    return GaussianDenoiser(torch.rand(4, 1, 3, 3) * 2 - 1, std=0.5)


@pytest.fixture(scope="module")
def digits():
    model = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    data = Digits()
    data.transform = model.transform
    images, labels = next(iter(data.test_dataloader()["digits"]))
    return model, model.encode(images), labels


def test_engine_equals_a_plain_loop(gaussian):
    """Algorithm 2, one evaluation at a time, from the formulas."""
    x_0 = torch.rand(3, 1, 3, 3) * 2 - 1
    trials, keep = (2, 6, 9), (3, 2, 1)
    table = run(gaussian, x_0, Staged(trials, keep), evaluations_per_batch=5)

    blocks = NestedGrid().blocks(trials, STEPS)
    timesteps = [t for block in blocks for t in block]
    noise = Noise(0).draw(9, (1, 3, 3))
    abar = gaussian.schedule.scheduler.alphas_cumprod.double()
    for i, x in enumerate(x_0.double()):
        errors, alive = {c: [] for c in range(4)}, list(range(4))
        for end, kept in zip(trials, keep, strict=True):
            for c in alive:
                for j in range(len(errors[c]), end):
                    a = abar[timesteps[j]]
                    x_t = a.sqrt() * x + (1 - a).sqrt() * noise[j].double()
                    mean = gaussian.means[c].double()
                    hat = (1 - a).sqrt() * (x_t - a.sqrt() * mean) / (a * 0.25 + 1 - a)
                    errors[c].append(((hat - noise[j]) ** 2).mean().item())
            alive = sorted(alive, key=lambda c: sum(errors[c]))[:kept]
        assert table.predictions[i] == alive[0]
        for c in range(4):
            mine = table.errors[i, c]
            assert mine[~mine.isnan()].tolist() == pytest.approx(errors[c], abs=1e-5)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_result_does_not_depend_on_the_batch_of_evaluations(digits, size):
    model, x_0, _ = digits
    strategy, x_0 = Staged((2, 6), (3, 1)), x_0[:6]
    reference = run(model, x_0, strategy, evaluations_per_batch=33)
    table = run(model, x_0, strategy, evaluations_per_batch=size)
    assert torch.equal(table.predictions, reference.predictions)
    assert torch.equal(table.counts, reference.counts)
    assert torch.allclose(table.errors, reference.errors, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("per_image", [False, True])
def test_result_does_not_depend_on_batch_and_order_of_images(digits, per_image, seed):
    model, x_0, _ = digits
    noise = Noise(0, per_image=per_image)
    strategy, x_0 = Staged((2, 6), (3, 1)), x_0[:8]
    together = run(model, x_0, strategy, noise=noise)
    order = torch.randperm(8)
    shuffled = run(model, x_0[order], strategy, noise=noise)
    alone = [run(model, x_0[i : i + 1], strategy, noise=noise).errors for i in range(8)]
    close = {"atol": 1e-5, "equal_nan": True}
    assert torch.allclose(shuffled.errors, together.errors[order], **close)
    assert torch.allclose(torch.cat(alone), together.errors, **close)


def test_one_stage_equals_full(digits):
    model, x_0, _ = digits
    staged = run(model, x_0[:4], Staged((6,), (1,)))
    full = run(model, x_0[:4], Full(6))
    assert torch.equal(staged.errors, full.errors)
    assert full.counts.unique().tolist() == [6]


def test_candidates_of_one_label_and_restricted_candidates(digits):
    """Two candidates a label; and a subset gives the same errors as within the whole."""
    model, x_0, _ = digits
    conditioning = model.condition([3, 8, 1, 7])
    table = run(
        model,
        x_0[:8],
        Full(6),
        conditioning=conditioning,
        labels=torch.tensor([0, 0, 1, 1]),
    )
    whole = run(model, x_0[:8], Full(6))
    assert torch.allclose(table.errors, whole.errors[:, [3, 8, 1, 7]], atol=1e-5)
    expected = whole.means[:, [3, 8, 1, 7]].reshape(8, 2, 2).min(dim=2).values
    assert torch.allclose(table.label_scores(2), expected, atol=1e-5)
    assert torch.equal(table.predictions, expected.argmin(dim=1))


def test_evaluations_are_those_of_the_strategy(digits):
    model, x_0, _ = digits
    seen = []
    strategy = Staged((2, 6, 20), (4, 2, 1))
    table = run(model, x_0[:5], strategy, evaluations_per_batch=17, on_progress=seen.append)
    assert table.evaluations.unique().tolist() == [strategy.evaluations(10)]
    assert sum(seen) == 5 * strategy.evaluations(10)


def test_a_block_goes_to_the_model_in_batches_of_one_shape(gaussian):
    shapes = []
    predict = gaussian.predict

    def recorded(x_t, timestep, conditioning):
        shapes.append(len(x_t))
        return predict(x_t, timestep, conditioning)

    gaussian.predict = recorded
    run(gaussian, torch.rand(5, 1, 3, 3), Full(7), evaluations_per_batch=32)
    assert len(set(shapes)) == 1
    assert len(shapes) == 5
    assert 140 <= sum(shapes) < 140 + 5


def test_bayes_posterior_is_recovered_in_the_limit_of_trials(gaussian):
    """With the temperature that the theory gives, the posterior tends to the exact one."""
    x_0 = gaussian.means.detach().repeat(3, 1, 1, 1)
    x_0 = x_0 + 0.5 * torch.randn_like(x_0)
    exact = gaussian.bayes_posterior(x_0)
    distances = []
    for trials in (20, 20_000):
        table = run(gaussian, x_0, Full(trials), evaluations_per_batch=20_000)
        posterior = table.posterior(4, gaussian.temperature)
        distances.append((posterior - exact).abs().max().item())
    assert distances[1] < 0.03, distances
    assert distances[1] < distances[0]


def test_shared_noise_beats_independent_noise(digits, capsys):
    """Figure 2: differences between candidates vary less, and few trials decide better."""
    model, x_0, labels = digits
    x_0, labels, trials = x_0[:50], labels[:50], 20
    grid = UniformGrid(0)
    shared = run(model, x_0, Full(trials), grid=grid).errors
    alone = [
        run(model, x_0, Full(trials), l2, Noise(c), grid, conditioning=model.condition([c])).errors
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


def test_l1_and_l2_are_different_errors(gaussian):
    x_0 = torch.rand(2, 1, 3, 3)
    assert not torch.allclose(
        run(gaussian, x_0, Full(3)).errors, run(gaussian, x_0, Full(3), l1).errors
    )


def test_nan_is_named_with_candidate_and_timestep(gaussian):
    with torch.no_grad():
        gaussian.means[2, 0, 0, 0] = torch.nan
    names = ["ant", "bee", "cat", "dog"]
    with pytest.raises(InputError, match=r"nan for candidate 'cat' at timestep 125"):
        run(gaussian, torch.rand(2, 1, 3, 3), Full(4), names=names)
