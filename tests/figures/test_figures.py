"""Figures 2, 3 and 4 of runs whose errors are known."""

import csv
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from planted import LABELS, plant
from scipy.stats import beta

from diffclf_lightning import InputError
from diffclf_lightning.evaluation import ExponentialWeight, WeightedError
from diffclf_lightning.figures.learned import learned_weights
from diffclf_lightning.figures.over_trials import LEARNED, over_trials
from diffclf_lightning.figures.policies import POLICIES, EvenlySpaced, Nearest
from diffclf_lightning.figures.single_times import single_times
from diffclf_lightning.figures.stored import Pool
from diffclf_lightning.figures.two_candidates import two_candidates
from diffclf_lightning.results import RunFolder

IMAGES, TRIALS = 60, 40
TIMES = [Fraction(2 * i + 1, 2 * TRIALS) for i in range(TRIALS)]
MIDDLE = torch.tensor([0.4 < t < 0.6 for t in TIMES])


@pytest.fixture
def truth(seed):
    return torch.arange(IMAGES) % LABELS


def informative(truth, where=MIDDLE, noise=1.0, gain=3.0):
    """Errors that fall on the true class at some times alone."""
    errors = 10 + noise * torch.randn(len(truth), LABELS, len(where))
    errors[torch.arange(len(truth)), truth] -= gain * where
    return errors


def pool_of(*folders, **kwargs):
    return Pool([RunFolder(folder) for folder in folders], **kwargs)


def test_single_times_are_best_where_it_is_planted(tmp_path, truth):
    errors = informative(truth, gain=6.0)
    found = single_times(pool_of(plant(tmp_path / "r", errors, truth, TIMES)))
    assert found.images == IMAGES
    assert found.accuracy[MIDDLE].min() > 0.85
    assert found.accuracy[~MIDDLE].max() < 0.6
    assert 0.4 < found.best < 0.6
    for place in range(TRIALS):
        right = sum(int(errors[i, :, place].argmin()) == truth[i] for i in range(IMAGES))
        assert found.accuracy[place] == pytest.approx(right / IMAGES)
        if 0 < right < IMAGES:
            low = beta.ppf(0.0025, right, IMAGES - right + 1)
            assert found.lower[place] == pytest.approx(low)


def test_every_policy_ends_at_the_accuracy_of_the_run(tmp_path, truth):
    folder = plant(tmp_path / "r", informative(truth, gain=2.0), truth, TIMES)
    own = RunFolder(folder).summary()["sets"]["own"]["accuracy"]
    assert 0.3 < own < 1
    curves = {curve.policy: curve for curve in over_trials(pool_of(folder), resamples=5)}
    assert set(curves) == {policy.name for policy in POLICIES} | {LEARNED}
    for name, curve in curves.items():
        assert curve.trials[0] == 1
        assert curve.trials[-1] == TRIALS
        if name != LEARNED:
            ends = [curve.accuracy[-1], curve.lower[-1], curve.upper[-1]]
            assert ends == pytest.approx([own] * 3)
    few = curves["smallest t"].trials.searchsorted(6)
    middle, first = (curves[n].accuracy[few] for n in ("nearest to t = 1/2", "smallest t"))
    assert middle > first + 0.3
    assert curves[LEARNED].accuracy[-1] > own  # all that is said is said in a fifth of the times


def test_accuracy_of_chosen_trials_is_that_of_their_mean(tmp_path, truth):
    """With all trials to choose from, which is so from half of them on, by a plain loop."""
    errors = informative(truth, gain=2.0)
    pool = pool_of(plant(tmp_path / "r", errors, truth, TIMES))
    chosen = []

    class Seen(EvenlySpaced):
        def choose(self, times, number, random):
            places = super().choose(times, number, random)
            chosen.append(
                [TIMES.index(Fraction(str(times[p])).limit_denominator(80)) for p in places]
            )
            return places

    curve, _ = over_trials(pool, [Seen()], resamples=1)
    for selection, number, accuracy in zip(chosen, curve.trials, curve.accuracy, strict=True):
        assert len(set(selection)) == number
        means = errors[:, :, selection].double().mean(dim=2)
        assert accuracy == pytest.approx(float((means.argmin(dim=1) == truth).float().mean()))


def test_policies_choose_different_trials(seed):
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, 10, 37) / 10)
    for policy in POLICIES:
        for number in (1, 2, 5, 36, 37):
            places = policy.choose(times, number, random)
            assert len(set(places.tolist())) == number
            assert set(places.tolist()) <= set(range(37))
    assert Nearest("", (0.0,)).choose(times, 5, random).tolist() == [0, 1, 2, 3, 4]
    even = np.arange(100) / 100
    assert EvenlySpaced().choose(even, 4, random).tolist() == [12, 37, 62, 87]


def test_learned_weights_are_those_of_other_images(tmp_path, truth):
    errors = informative(truth, gain=2.0)
    errors[1::2] = informative(truth[1::2], ~MIDDLE, gain=2.0)  # odd images are told by other times
    pool = pool_of(plant(tmp_path / "r", errors, truth, TIMES))
    even, odd = learned_weights(pool, IMAGES)
    assert even[MIDDLE].max() < even[~MIDDLE].mean()  # learned on the odd ones
    assert odd[MIDDLE].min() > odd[~MIDDLE].mean()
    assert even.mean() == pytest.approx(1)


def test_differences_of_two_candidates_vary_less_than_their_errors(tmp_path, truth):
    """Noises that move both candidates alike, and a rival that is told apart by 1."""
    folders = []
    for seed in range(3):
        common = 5 * torch.randn(IMAGES, 1, TRIALS)
        errors = 10 + common + 0.1 * torch.randn(IMAGES, LABELS, TRIALS)
        errors += torch.arange(LABELS)[None, :, None] != truth[:, None, None]
        errors[:, 3] += 5
        folders.append(plant(tmp_path / str(seed), errors, truth, TIMES, seed=seed))
    pair = two_candidates(pool_of(*folders), "image-4")
    assert pair.names[0] == "class 0"
    assert pair.names[1] in ("class 1", "class 2")
    assert pair.noises == 3
    assert pair.difference.mean() == pytest.approx(1, abs=0.1)
    of_true, of_difference = pair.spreads
    assert of_true == pytest.approx(5, rel=0.3)
    assert of_difference < 0.3
    place = np.unique(pair.time, return_inverse=True)[1]
    by_time = [pair.true[place == p].var(ddof=1) for p in range(TRIALS)]
    assert of_true == pytest.approx(np.sqrt(np.mean(by_time)))
    alone = two_candidates(pool_of(folders[0]), "image-4")
    assert alone.spreads is None
    assert np.isin(alone.true, pair.true).all()


def test_the_image_by_default_has_the_median_margin(tmp_path, truth):
    errors = torch.ones(5, LABELS, TRIALS)
    for image, margin in enumerate((0.1, 0.9, 0.5, 0.2, 0.7)):
        errors[image, truth[image]] -= margin
    pair = two_candidates(pool_of(plant(tmp_path / "r", errors, truth[:5], TIMES)))
    assert pair.key == "image-2"
    assert pair.difference == pytest.approx(np.full(TRIALS, 0.5))


def test_a_label_of_several_candidates_is_as_good_as_its_best(tmp_path):
    errors = torch.tensor([[[3.0], [1.0], [2.0]], [[1.0], [3.0], [2.0]]]).expand(2, 3, 4).clone()
    truth = torch.tensor([0, 0])
    folder = plant(tmp_path / "r", errors, truth, TIMES[:4], labels=[0, 0, 1])
    pool = pool_of(folder)
    assert single_times(pool).accuracy.tolist() == [1] * 4
    assert two_candidates(pool, "image-0").true.tolist() == [1] * 4


def test_blocks_are_small_and_change_nothing(tmp_path, truth, monkeypatch):
    folder = plant(tmp_path / "r", informative(truth), truth, TIMES)
    whole = over_trials(pool_of(folder), resamples=3)
    monkeypatch.setattr("diffclf_lightning.figures.stored.MOST_AT_ONCE", 7 * LABELS * TRIALS)
    assert {len(block.truth) for block in pool_of(folder).blocks()} == {7, IMAGES % 7}
    for one, other in zip(over_trials(pool_of(folder), resamples=3), whole, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy)


def test_a_score_decides(tmp_path, truth):
    """By weights that fall, the early part counts, which says the opposite of the late one."""
    late = torch.tensor([t > 0.5 for t in TIMES])
    errors = informative(truth, late, noise=0.1) + informative(truth, ~late, noise=0.1, gain=-1.0)
    folder = plant(tmp_path / "r", errors, truth, TIMES)
    uniform, *_ = over_trials(pool_of(folder), resamples=1)
    score = WeightedError(ExponentialWeight(20.0), loss="l2")
    weighted, *_ = over_trials(pool_of(folder, score=score), resamples=1)
    assert uniform.accuracy[-1] == 1
    assert weighted.accuracy[-1] == 0


def test_command_writes_pictures_and_numbers(tmp_path, truth, diffclf):
    for seed in (1, 2):
        plant(tmp_path / f"r{seed}", informative(truth), truth, TIMES, seed=seed)
    out = diffclf("figures", "r1", "r2", "--resamples=2", "--score=MeanError").stdout
    assert "Figures: r1/figures" in out
    names = ("two-candidates", "single-timesteps", "number-of-trials")
    for name in names:
        assert f"{name.split('-')[0].capitalize()}" in out
        with Image.open(tmp_path / f"r1/figures/{name}.png") as picture:
            assert min(picture.size) > 300
    rows = {
        name: list(csv.DictReader((tmp_path / f"r1/figures/{name}.csv").open())) for name in names
    }
    assert len(rows["two-candidates"]) == 2 * TRIALS
    assert {row["noises"] for row in rows["single-timesteps"]} == {"2"}
    assert len({row["policy"] for row in rows["number-of-trials"]}) == len(POLICIES) + 1
    diffclf("figures", "r1", "--resamples=1", "--output=alone", "--image=image-3")
    assert "image-3" in (tmp_path / "alone/two-candidates.csv").read_text()


def test_what_cannot_be_drawn_is_said(tmp_path, truth, diffclf):
    errors = informative(truth)
    plant(tmp_path / "whole", errors, truth, TIMES)
    plant(tmp_path / "none", errors, truth, TIMES, stored=False)
    plant(tmp_path / "same", errors, truth, TIMES)
    plant(tmp_path / "weighed", errors, truth, TIMES, score="WeightedError(...)")
    plant(tmp_path / "fewer", errors[:, :3], truth.clamp(max=2), TIMES, seed=1)
    other = [f"other-{i}" for i in range(IMAGES)]
    plant(tmp_path / "other", errors, truth, TIMES, seed=1, digests=other)
    plant(tmp_path / "part", errors[:-5], truth[:-5], TIMES, seed=1)
    pruned = errors.clone()
    pruned[0, 1, 5:] = torch.nan
    plant(tmp_path / "pruned", pruned, truth, TIMES)
    for args, said in (
        (["none"], "--results.errors true"),
        (["pruned"], "--model.strategy Full --model.strategy.trials 40"),
        (["weighed"], "--score MeanError --score.loss l2"),
        (["whole", "same"], "another --model.seed"),
        (["whole", "fewer"], "the candidates of 'fewer'"),
        (["whole", "other"], "'image-0' with other pixels"),
        (["whole", "part"], "'whole' has 'image-55', 'part' has no further image"),
        (["part", "whole"], "'part' has no further image, 'whole' has 'image-55'"),
        (["whole", "--set=third"], "one of the sets of 'whole' (own)"),
        (["whole", "--image=third"], "--image to be the key"),
        (["whole", "--resamples=0"], "--resamples to be at least 1"),
        (["whole", "--score=MeanError", "--score.loss=l1"], "'l1'"),
        (["nowhere"], "stored errors"),
    ):
        error = diffclf("figures", *args, code=2).stderr
        assert said in error, error
        assert error.count("\n") == 1
    with pytest.raises(InputError, match="at least 2 images"):
        learned_weights(pool_of(tmp_path / "whole"), 1)
