"""The rule of a race, against a plain loop and what it promises."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from running import run
from scipy import stats

from diffclf_lightning import ErrorTable, Full, GoldenGrid, InputError, MeanError, Racing
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import ScoreTable, replayed
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.results import RunFolder


def full_table(errors, labels=None):
    images, candidates, trials = errors.shape
    counts = torch.full((images, candidates), trials)
    labels = torch.arange(candidates) if labels is None else torch.as_tensor(labels)
    return ErrorTable({"l2": errors.flatten()}, counts, labels, counts > 0, None)


def race(errors, labels=None, **kwargs):
    """The table of a race over known errors, by the mean."""
    strategy = Racing(**{"max_trials": errors.shape[-1], **kwargs})
    bound = strategy.bind(errors.shape[1], strategy.stages)
    return replayed(full_table(errors, labels), bound, MeanError())["l2"]


def plain_race(errors, labels, level, ends, strict):
    """The rule written out for one image: predicted label, and trials of each candidate."""
    left, counts = list(range(len(errors))), [0] * len(errors)
    for n in ends:
        for c in left:
            counts[c] = n
        e = errors[:, :n]
        best = min(left, key=lambda c: e[c].mean())
        rivals = [c for c in left if c != best]
        if n == ends[-1] or not rivals:
            break
        d = np.stack([e[c] - e[best] for c in rivals])
        q = d**2 / np.maximum((d**2).mean(axis=1, keepdims=True), 1e-30)
        z = d / np.sqrt((1 + q.sum(axis=0)) / (1 + len(rivals)))
        own = z.var(axis=1, ddof=1)
        nu = min(8, (len(rivals) - 1) * (n - 1))
        v = (nu * own.mean() + (n - 1) * own) / (nu + n - 1)
        t = z.mean(axis=1) / np.sqrt(np.maximum(v / n, 1e-30))
        share = level / len(rivals) / len(ends) if strict else level
        dropped = t > stats.t.isf(share, nu + n - 1)
        left = [c for c in left if c not in np.array(rivals)[dropped]]
        if len({labels[c] for c in left}) == 1:
            break
    return labels[best], counts


@pytest.mark.parametrize("strict", [False, True])
def test_the_rule_is_that_of_a_plain_loop(strict, seed):
    """On 500 random tables each, whose trials differ in scale and whose candidates share labels."""
    random = np.random.default_rng(seed)
    for _ in range(25):
        candidates, trials = random.integers(1, 16), random.integers(4, 60)
        apart = random.random((20, candidates, 1)) * random.random()
        noise = random.normal(size=(20, candidates, trials)) * random.random((1, 1, trials))
        labels = (np.arange(candidates) // random.integers(1, 4)).tolist()
        level, growth = 10 ** random.uniform(-4, -0.5), random.uniform(1.2, 3)
        table = race(
            torch.from_numpy(apart + noise), labels, level=level, growth=growth, strict=strict
        )
        ends = Racing(max_trials=int(trials), growth=growth).stages
        for image, errors in enumerate(apart + noise):
            label, counts = plain_race(errors, labels, level, ends, strict)
            assert table.predictions[image] == label
            assert table.counts[image].tolist() == counts


def test_rounds_grow_by_their_factor_up_to_all_trials():
    assert Racing(max_trials=128).stages[-1] == 128
    assert Racing(min_trials=5, max_trials=5).stages == (5,)
    grown = Racing(min_trials=10, max_trials=1000, growth=2).stages
    assert all(1.8 < b / a < 2.1 for a, b in pairwise(grown))
    assert Racing().evaluations(10) == 2500


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"level": 0}, "level"),
        ({"level": 0.5}, "level"),
        ({"level": float("nan")}, "level"),
        ({"min_trials": 1}, "min_trials"),
        ({"min_trials": 9, "max_trials": 8}, "min_trials"),
        ({"growth": 1.0}, "growth"),
        ({"growth": float("inf")}, "growth"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(InputError, match=f"`{name}`"):
        Racing(**arguments)


def test_equal_candidates_are_never_dropped():
    """Twins of one label end the race, twins of two run to its end, and the first wins."""
    errors = torch.rand(1, 3, 40) + torch.tensor([0.0, 0.0, 50.0])[:, None]
    errors[:, 1] = errors[:, 0]
    same = race(errors, [7, 7, 3])
    assert same.counts.tolist() == [[3, 3, 3]]
    assert same.predictions.tolist() == [7]
    two = race(errors, [4, 9, 3])
    assert two.counts.tolist() == [[40, 40, 3]]
    assert two.best.tolist() == [0]
    assert race(torch.ones(1, 4, 40)).counts.tolist() == [[40] * 4]


def test_an_image_is_raced_by_itself_and_in_any_unit(seed):
    errors = torch.randn(30, 6, 60, dtype=torch.float64) + torch.rand(30, 6, 1) * 2
    together = race(errors)
    assert len(together.counts.amax(dim=1).unique()) > 3
    alone = torch.cat([race(image[None]).counts for image in errors])
    assert torch.equal(alone, together.counts)
    assert torch.equal(race(errors * 1e6).counts, together.counts)
    assert torch.equal(race(errors + 3).counts, together.counts)


def test_a_tiny_level_drops_nobody(seed):
    errors = torch.randn(20, 4, 30)
    table = race(errors, level=1e-12)
    assert (table.counts == 30).all()
    assert torch.equal(table.best, errors.double().mean(dim=-1).argmin(dim=1))


@pytest.mark.parametrize(("candidates", "images"), [(2, 2000), (10, 2000), (100, 200)])
def test_strict_errs_at_most_at_its_level_where_nothing_tells_candidates_apart(
    candidates, images, seed
):
    """Whatever all share of a trial, and however trials differ in scale.

    At an error rate of the level a false alarm comes once in a million runs.
    """
    level, trials = 0.05, 60
    shared, scale = torch.randn(images, 1, trials), 0.1 + torch.rand(images, 1, trials)
    errors = shared + scale * torch.randn(images, candidates, trials)
    full = errors.double().mean(dim=-1).argmin(dim=1)
    wrong = int((race(errors, level=level, strict=True).best != full).sum())
    assert stats.binom.sf(wrong - 1, images, level) > 1e-6
    assert (race(errors, level=level).best != full).sum() > 2 * wrong


def test_a_race_never_asks_the_device():
    """Its rule runs on tensors that hold nothing, which no value can be read from."""
    strategy = Racing(max_trials=9).bind(4, (3, 5, 9))
    counts, values = torch.full((2, 4), 5, device="meta"), torch.empty(40, device="meta")
    labels = torch.arange(4, device="meta")
    table = ScoreTable(values, counts, labels, counts > 0, sizes=(20, 20))
    assert strategy.further(table).shape == (2, 4)
    assert strategy.finalists(table).shape == (2, 4)


@pytest.fixture(scope="module")
def gaussians():
    """Images of 100 classes, and their errors at all 250 trials."""
    torch.manual_seed(0)
    model = GaussianDenoiser(torch.rand(100, 1, 4, 4) * 2 - 1, std=0.4)
    x_0 = model.means[torch.arange(120) % 100] + 0.4 * torch.randn(120, 1, 4, 4)
    return model, x_0, run(model, x_0, Full(250), grid=GoldenGrid(), evaluations_per_batch=8192)


def test_closed_form_gaussians_are_decided_as_by_all_trials(gaussians):
    model, x_0, full = gaussians
    bound = Racing().bind(100, Racing().stages)
    raced = replayed(full, bound, MeanError())
    agree = int((raced["l2"].best == full["l2"].best).sum())
    assert agree >= 0.98 * len(x_0)
    assert raced.evaluations.double().mean() < 25_000 / 8
    bayes = model.bayes_posterior(x_0).argmax(dim=1)
    as_bayes = [int((table["l2"].best == bayes).sum()) for table in (full, raced)]
    interval = clopper_pearson(as_bayes[0], len(x_0), alpha=0.05)
    assert interval.lower <= as_bayes[1] / len(x_0) <= interval.upper


def test_the_engine_races_as_the_stored_errors_say(gaussians):
    """Whatever the size of its batches, and whoever else is evaluated."""
    model, x_0, full = gaussians
    x_0, grid = x_0[:12], GoldenGrid()
    bound = Racing().bind(100, Racing().stages)
    expected = replayed(full, bound, MeanError()).counts[:12]
    for size in (64, 5000):
        table = run(model, x_0, Racing(), grid=grid, evaluations_per_batch=size)
        assert torch.equal(table.counts, expected)
    alone = [run(model, image[None], Racing(), grid=grid).counts for image in x_0]
    assert torch.equal(torch.cat(alone), expected)


def test_results_stay_comparable_after_a_race(gaussians):
    """Means over trials in common: everybody scores above the winner, with a standard error."""
    _, _, full = gaussians
    table = replayed(full, Racing().bind(100, Racing().stages), MeanError())["l2"]
    errors, best = full.dense("l2").double(), table.best
    for image in range(5):
        for c in range(100):
            n = table.counts[image, c]
            winner = errors[image, best[image], : table.counts[image, best[image]]]
            mean, behind = winner.mean(), (errors[image, c, :n] - winner[:n]).mean()
            assert float(table.scores[image, c]) == pytest.approx(float(mean + behind.clamp(min=0)))
    assert table.scores.isfinite().all()
    assert table.difference_standard_errors.isfinite().all()


def test_only_allowed_candidates_race(gaussians):
    model, x_0, _ = gaussians
    allowed = torch.zeros(3, 100, dtype=torch.bool)
    allowed[:, 10:15], allowed[1], allowed[1, 4] = True, False, True
    table = run(model, x_0[:3], Racing(max_trials=50), grid=GoldenGrid(), allowed=allowed)
    assert torch.equal(table.counts > 0, allowed)
    assert table["l2"].best[1] == 4
    assert table.counts[1, 4] == 3


def test_a_race_brings_its_order_of_times(diffclf, tmp_path):
    """As the configuration of the digits has it, and leaves another that was asked for."""
    short = ("test", "--config", "digits", "--data.num_test=40")
    diffclf(*short, "--results.folder", "race")
    diffclf(*short, "--results.folder", "nested", "--model.grid", "NestedGrid")
    described = [RunFolder(tmp_path / name).description() for name in ("race", "nested")]
    assert [run["grid"] for run in described] == ["GoldenGrid(offset=0.5)", "NestedGrid()"]
    assert described[0]["trials"]["time"][:2] == ["99/200", "23/200"]
    (report,) = RunFolder(tmp_path / "race").summary()["sets"].values()
    assert report["correct"] == 40
    assert report["evaluations_per_image"] < 60


def test_a_race_in_half_precision_answers_as_in_float32(diffclf, tmp_path):
    short = ("test", "--config", "digits", "--data.num_test=60", "--model.strategy", "Racing")
    found = []
    for precision in ("32-true", "bf16-mixed"):
        diffclf(*short, "--trainer.precision", precision, "--results.folder", precision)
        found.append(RunFolder(tmp_path / precision).rows(["prediction"]))
    exact, half = ([rows[name].to_pylist() for name in ("key", "prediction")] for rows in found)
    assert exact == half
    spent = [sum(rows["evaluations"].to_pylist()) for rows in found]
    assert spent[1] == pytest.approx(spent[0], rel=0.1)
