"""What kinds of scenes a run is right about: ``python benchmarks/scenes.py RUN``.

Text, image and group scores in per cent by every score of the run, with exact 99.5% intervals, of
all examples and of groups of them: by tag, those without adjectives, those that say "and", those of
a pair of digits that no training scene has.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from diffclf_lightning.datamodules.scenes_grammar import DIGITS, LOOKS, TAGS, UNSEEN
from diffclf_lightning.metrics import Matched, clopper_pearson
from diffclf_lightning.results import RunFolder


@dataclass(frozen=True)
class Row:
    """An example: its tag, a caption of it, and by which comparisons it is right."""

    tag: str
    caption: str
    matched: Matched

    @property
    def words(self) -> set[str]:
        """Words of the captions."""
        return set(self.caption.split())

    @property
    def unseen(self) -> bool:
        """Whether training never showed these two digits together."""
        return frozenset(DIGITS.index(word) for word in self.words & set(DIGITS)) in UNSEEN


KINDS = ("text", "image", "group")
GROUPS: Mapping[str, Callable[[Row], bool]] = {
    "all": lambda row: bool(row.tag),
    **{tag: partial(lambda row, tag: row.tag == tag, tag=tag) for tag in TAGS},
    "Object without adjectives": lambda row: row.tag == "Object" and not LOOKS.keys() & row.words,
    '"and"': lambda row: "and" in row.words,
    "unseen pairs": lambda row: row.unseen,
}


def said(right: Sequence[bool]) -> str:
    """A share in per cent, with its interval."""
    interval = clopper_pearson(sum(right), len(right))
    low, high = 100 * interval.lower, 100 * interval.upper
    return f"{100 * sum(right) / len(right):.1f} ({low:.1f}-{high:.1f})"


def main() -> None:
    """Print a table of a run in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of a run of the configuration `scenes`")
    rows = RunFolder(parser.parse_args().run).rows(["tag", "captions", "num_images", "scores"])
    if rows is None:
        parser.error("the run has no rows")
    tags, captions = rows["tag"].to_pylist(), [some[0] for some in rows["captions"].to_pylist()]
    scores = [dict(one) for one in rows["scores"].to_pylist()]
    shapes = [(images, -1) for images in rows["num_images"].to_pylist()]
    print("| score | examples | n | text | image | group |\n|---|---|---|---|---|---|")
    for name in scores[0]:
        matched = [
            Matched.of(np.array(one[name]).reshape(shape))
            for one, shape in zip(scores, shapes, strict=True)
        ]
        every = [Row(*row) for row in zip(tags, captions, matched, strict=True)]
        for group, holds in GROUPS.items():
            some = [row.matched for row in every if holds(row)]
            if some:
                kinds = [said([getattr(one, kind) for one in some]) for kind in KINDS]
                print(f"| {name} | {group} | {len(some)} | {' | '.join(kinds)} |")


if __name__ == "__main__":
    main()
