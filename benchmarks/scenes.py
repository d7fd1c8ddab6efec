"""What kinds of scenes a run is right about: ``python benchmarks/scenes.py RUN``.

Text, image and group scores in per cent by every score of the run, with exact 99.5% intervals, of all
examples and of groups of them: by tag, those without adjectives, those that say "and", those of a
pair of digits that no training scene has.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diffclf_lightning.datamodules.scenes_grammar import DIGITS, LOOKS, UNSEEN
from diffclf_lightning.metrics import Matched, clopper_pearson
from diffclf_lightning.results import RunFolder


def digits_of(caption: str) -> frozenset[int]:
    """The digits that a caption names."""
    return frozenset(DIGITS.index(word) for word in caption.split() if word in DIGITS)


GROUPS: Mapping[str, Callable[[str, str], bool]] = {
    "all": lambda tag, caption: True,
    "Object": lambda tag, caption: tag == "Object",
    "Relation": lambda tag, caption: tag == "Relation",
    "Both": lambda tag, caption: tag == "Both",
    "Object without adjectives": lambda tag, caption: (
        tag == "Object" and not LOOKS.keys() & set(caption.split())
    ),
    '"and"': lambda tag, caption: "and" in caption.split(),
    "unseen pairs": lambda tag, caption: digits_of(caption) in UNSEEN,
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
        for group, holds in GROUPS.items():
            some = [
                one
                for one, tag, caption in zip(matched, tags, captions, strict=True)
                if holds(tag, caption)
            ]
            if some:
                kinds = [said([getattr(m, kind) for m in some]) for kind in KINDS]
                print(f"| {name} | {group} | {len(some)} | {' | '.join(kinds)} |")


KINDS = ("text", "image", "group")

if __name__ == "__main__":
    main()
