"""Stored scores of a shortlist: the bias of each candidate, and the ranks without it.

A candidate's bias is its mean score over the images of a run. Where the same images tell how many
candidates to keep, each image is ranked with the means over the others, as those of later runs are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder, candidates_of

SCORES = "shortlist_scores"


@dataclass(frozen=True)
class Ranking:
    """What a run says of its shortlist.

    Args:
        shortlist: The shortlist, as it is written.
        totals: Sum of the scores of each candidate, by name.
        images: Number of images of each.
    """

    shortlist: str
    totals: Mapping[str, float]
    images: Mapping[str, int]

    @classmethod
    def of(cls, run: RunFolder) -> "Ranking | None":
        """Of the stored rows of a run; None where it had no shortlist.

        Args:
            run: The folder of the run.

        Raises:
            InputError: If a candidate was passed over, or there are fewer than two images.
        """
        described = run.description().get("shortlist")
        if described is None:
            return None
        totals: dict[str, float] = {}
        images: dict[str, int] = {}
        for rows in run.batches([SCORES]):
            for set_name in rows["set"].unique().to_pylist():
                scores = scores_of(rows.filter(pc.field("set") == set_name))
                summed = scores.double().sum(dim=0).tolist()
                for name, total in zip(candidates_of(run, set_name).names, summed, strict=True):
                    totals[name] = totals.get(name, 0.0) + total
                    images[name] = images.get(name, 0) + len(scores)
        if min(images.values(), default=0) < 2:
            raise InputError(
                f"Expected RUN to hold the shortlist's scores of at least two images, but "
                f"{str(run.path)!r} does not. Run more images with --model.shortlist."
            )
        if not np.isfinite(list(totals.values())).all():
            raise InputError(
                f"Expected RUN to have ranked all candidates, but {described['shortlist']} passed "
                "some over: it needs no `calibration`. Leave `calibration` out."
            )
        return cls(described["shortlist"], totals, images)

    @property
    def bias(self) -> dict[str, float]:
        """Mean score of each candidate, by name."""
        return {name: total / self.images[name] for name, total in self.totals.items()}

    def ranks(self, rows: pa.Table, names: list[str]) -> Tensor:
        """Places of the candidates of some images, each less the bias over the other images.

        Args:
            rows: Rows of one set.
            names: Its candidates.

        Returns:
            0 for the first, int64, shape ``(images, candidates)``.
        """
        scores = scores_of(rows).double()
        totals = torch.tensor([self.totals[name] for name in names], dtype=torch.float64)
        others = torch.tensor([self.images[name] - 1 for name in names])
        order = (scores - (totals - scores) / others).argsort(dim=1, stable=True)
        return order.argsort(dim=1)


def scores_of(rows: Any) -> Tensor:
    """Stored scores of a shortlist, shape ``(images, candidates)``."""
    return torch.from_numpy(np.stack(rows[SCORES].to_numpy(zero_copy_only=False)))
