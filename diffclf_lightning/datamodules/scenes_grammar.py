"""The grammar of scenes: which digits stand where, and the captions that say so.

A scene has one digit or two, each in a quadrant of its own: 0 top left, 1 top right, 2 bottom left,
3 bottom right. A caption names the digits, how they look, and how the first stands to the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from random import Random

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UNSEEN = frozenset(frozenset(pair) for pair in ((1, 8), (2, 7), (3, 5), (4, 9), (0, 6)))
"""Pairs of digits that no training scene has."""
TAGS = ("Object", "Relation", "Both")


class Look(IntEnum):
    """How a digit is drawn."""

    PLAIN = 0
    DARK = 1
    SMALL = 2


LOOKS = {
    "": Look.PLAIN,
    "bright": Look.PLAIN,
    "big": Look.PLAIN,
    "dark": Look.DARK,
    "small": Look.SMALL,
}
"""Look by adjective."""
CONTRASTS = (("bright", "dark"), ("big", "small"))
ARTICLES = (("a", "a"), ("a", "a"), ("the", "the"), ("a", "the"))


@dataclass(frozen=True)
class Relation:
    """How the first digit of a caption stands to the second.

    Args:
        phrases: Ways to say it.
        places: Quadrants of the first and the second digit, each pair as likely.
        first: Quadrants in which only the first can stand, the second being in the others; none
            where the relation says nothing of places.
    """

    phrases: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    first: tuple[int, ...]


ABOVE = Relation(("above", "on top of"), ((0, 2), (1, 3)), (0, 1))
BELOW = Relation(("below", "under"), ((2, 0), (3, 1)), (2, 3))
LEFT = Relation(("left of", "to the left of"), ((0, 1), (2, 3)), (0, 2))
RIGHT = Relation(("right of", "to the right of"), ((1, 0), (3, 2)), (1, 3))
ORDERED = (ABOVE, BELOW, LEFT, RIGHT)
AND = Relation(("and",), tuple(pair for relation in ORDERED for pair in relation.places), ())


@dataclass(frozen=True)
class Thing:
    """A digit, and the adjective that a caption gives it.

    Args:
        digit: The digit.
        adjective: A word of ``LOOKS``.
    """

    digit: int
    adjective: str = ""

    @property
    def look(self) -> Look:
        """How it is drawn."""
        return LOOKS[self.adjective]


@dataclass(frozen=True)
class Scene:
    """What a caption says.

    Args:
        things: One digit or two, in the order of the caption.
        articles: Article of the first, and of the second.
        relation: How the first stands to the second; None for one digit alone.
        phrase: How that is said.
        verb: Whether the caption has an "is".
    """

    things: tuple[Thing, ...]
    articles: tuple[str, str] = ("a", "a")
    relation: Relation | None = None
    phrase: str = ""
    verb: bool = False

    @property
    def caption(self) -> str:
        """The words.

        Example:
            >>> things = Thing(3, "dark"), Thing(7, "bright")
            >>> Scene(things, relation=ABOVE, phrase="above").caption
            'a dark three above a bright seven'
        """
        said = [
            f"{article} {thing.adjective} {DIGITS[thing.digit]}"
            for article, thing in zip(self.articles, self.things, strict=False)
        ]
        between = f" {'is' if self.verb else ''} {self.phrase} "
        return " ".join(between.join(said).split())

    @property
    def places(self) -> Sequence[tuple[int, ...]]:
        """Quadrants that its things may stand in, each choice as likely."""
        return [(place,) for place in range(4)] if self.relation is None else self.relation.places

    @property
    def said(self) -> list[Thing | None]:
        """What the caption says would stand in each quadrant, None where it does not say."""
        if self.relation is None:
            return [self.things[0]] * 4
        if not self.relation.first:
            return [None] * 4
        first, second = self.things
        return [first if place in self.relation.first else second for place in range(4)]


def draw_scene(random: Random, adjectives: float, singles: float) -> Scene:
    """A scene to train on, which has no unseen pair of digits.

    Args:
        random: Where chance comes from.
        adjectives: Share of the captions of two digits that say how both look.
        singles: Share of the captions of one digit.
    """
    articles = random.choice(ARTICLES)
    if random.random() < singles:
        return Scene((Thing(random.randrange(10), random.choice(list(LOOKS))),), articles)
    pair = random.randrange(10), random.randrange(10)
    while frozenset(pair) in UNSEEN:
        pair = random.randrange(10), random.randrange(10)
    looks = ("", "")
    if random.random() < adjectives:
        one, other = random.choice(CONTRASTS)
        differ, same = [(one, other), (other, one)], [(one, one), (other, other)]
        looks = random.choice(3 * differ + same)
    things = (Thing(pair[0], looks[0]), Thing(pair[1], looks[1]))
    relation = AND if random.random() < 0.12 else random.choice(ORDERED)
    verb = relation is not AND and random.random() < 0.2
    return Scene(things, articles, relation, random.choice(relation.phrases), verb)


def draw_example(random: Random, tag: str) -> tuple[Scene, Scene]:
    """Two scenes whose captions have the same words in another order.

    Args:
        random: Where chance comes from.
        tag: What changes places in the caption: ``"Object"`` the digits, ``"Relation"`` the
            adjectives, ``"Both"`` each digit with its adjective. A third of the examples of
            ``"Object"`` has adjectives, which stay; a quarter of ``"Relation"`` says "and".
    """
    first, second = random.sample(range(10), 2)
    bright, dark = random.sample(random.choice(CONTRASTS), 2)
    relation = random.choice(ORDERED)
    if tag == "Relation" and random.random() < 0.25:
        relation = AND
    if tag == "Object" and random.random() < 2 / 3:
        bright = dark = ""
    scene = Scene(
        (Thing(first, bright), Thing(second, dark)),
        random.choice((("a", "a"), ("the", "the"))),
        relation,
        random.choice(relation.phrases),
        relation is not AND and random.random() < 0.2,
    )
    changed = {
        "Object": (Thing(second, bright), Thing(first, dark)),
        "Relation": (Thing(first, dark), Thing(second, bright)),
        "Both": (Thing(second, dark), Thing(first, bright)),
    }
    return scene, replace(scene, things=changed[tag])
