"""Replay: what a strategy would have made of errors that are known."""

from dataclasses import replace

import torch

from diffclf_lightning.evaluation.scores import Score
from diffclf_lightning.evaluation.strategies import Strategy
from diffclf_lightning.evaluation.table import ErrorTable


def replayed(table: ErrorTable, strategy: Strategy, score: Score) -> ErrorTable:
    """The table that a strategy would have filled, had it asked for the errors one by one.

    Args:
        table: Errors of all allowed candidates at all trials, in the order that the strategy
            takes them.
        strategy: The strategy, bound to the candidates and the trials.
        score: Decides which candidates get further trials.

    Returns:
        The part of the table that it would have asked for.
    """
    counts = torch.zeros_like(table.counts)
    asked = table.beginning(counts)
    while (more := strategy.further(asked.scored(score))).any():
        counts = counts + more
        asked = table.beginning(counts)
    return replace(asked, finalists=strategy.finalists(asked.scored(score)))
