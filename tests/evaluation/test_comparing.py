"""Comparing: an example goes on until all its comparisons are decided, alone and in any batch."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from diffclf_lightning import Comparing, InputError
from diffclf_lightning.evaluation.scored import ScoreTable


def table(examples):
    """A score table of examples, each of errors of shape (images, captions, trials)."""
    blocks = [torch.ones(len(e), e.shape[1], dtype=torch.bool) for e in examples]
    counts = [torch.full(e.shape[:2], e.shape[2]) for e in examples]
    return ScoreTable(
        torch.cat([e.flatten() for e in examples]).float(),
        torch.block_diag(*counts),
        torch.arange(sum(e.shape[1] for e in examples)),
        torch.block_diag(*blocks).bool(),
    )


def decided(errors, level):
    """Every comparison with the best, by scipy's paired test."""
    errors = errors.float().double().numpy()
    for rows in (errors, errors.transpose(1, 0, 2)):
        for row in rows:
            best = row.mean(axis=-1).argmin()
            for other in range(len(row)):
                difference = row[other] - row[best]
                if other == best:
                    continue
                if not difference.any():
                    return False
                if ttest_1samp(difference, 0).pvalue >= level:
                    return False
    return True


def test_stops_where_scipys_test_decides_all(seed):
    strategy = Comparing(level=0.05, min_trials=5, max_trials=40, growth=2)
    outcomes = []
    for _ in range(60):
        examples = []
        for _ in range(4):
            images, captions = np.random.default_rng(seed).integers(1, 4), 2
            shift = torch.rand(int(images), captions, 1) * 2
            examples.append(torch.randn(int(images), captions, 10) + 2 * shift)
            seed += 1
        more = strategy.further(table(examples))
        row = column = 0
        for errors in examples:
            block = more[row : row + len(errors), column : column + 2]
            expected = 0 if decided(errors, 0.05) else 10
            assert (block == expected).all()
            assert more[row : row + len(errors)].sum() == block.sum()
            outcomes.append(expected)
            row, column = row + len(errors), column + 2
    assert 20 < sum(map(bool, outcomes)) < 220


def test_level_is_how_often_equal_captions_are_called_decided(seed):
    strategy = Comparing(level=0.05, min_trials=20, max_trials=40, growth=2)
    alone = [torch.randn(1, 2, 20) for _ in range(2000)]
    more = torch.cat([strategy.further(table([one])) for one in alone])
    share = (more == 0).all(dim=1).double().mean().item()
    assert share == pytest.approx(0.05, abs=0.02)  # four standard errors


def test_begins_and_ends():
    strategy = Comparing(min_trials=5, max_trials=40, growth=2)
    tied = torch.zeros(2, 2, 0)
    assert (strategy.further(table([tied])) == 5).all()
    tied = torch.ones(2, 2, 20)
    assert (strategy.further(table([tied])) == 20).all()  # equal errors are never decided
    assert (strategy.further(table([torch.ones(2, 2, 40)])) == 0).all()
    clear = torch.tensor([[0.0, 1], [1, 0]])[..., None].expand(2, 2, 5)
    assert (strategy.further(table([clear])) == 0).all()


@pytest.mark.parametrize("wrong", [{"level": 0.5}, {"min_trials": 1}, {"growth": 1.0}])
def test_bad_arguments(wrong):
    with pytest.raises(InputError, match=f"argument `{next(iter(wrong))}`"):
        Comparing(**wrong)
