"""Glyphs of the fonts that matplotlib ships, and which of their characters are classes.

A glyph is drawn on a square whose baseline lies at a fixed height, at a size that makes the font's
capital H 10 of 16 pixels high, so that case and the place on the line stay visible. It is centred
across with the side bearings that the font gives it.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diffclf_lightning.datamodules.names import read_lines
from diffclf_lightning.extras import needed

SIDE = 16
DETAIL = 4
"""Pixels of a stored glyph along one of an image, since training changes it before it shrinks."""
CAPITAL = 10
BASELINE = 11.5
OVERSAMPLING = 4

SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")
STIX = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta")
COMPUTER_MODERN = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10")
"""Only their letters and digits of ASCII stand at the code points of Unicode."""
TRAINING = (*SANS, *STIX, *COMPUTER_MODERN)
HELD_OUT = ("DejaVuSansMono", "DejaVuSerif")
"""Families of which training sees no weight."""

NEARLY_SAME = 0.46
"""Distance (:func:`distances`) below which two characters look alike."""
CATEGORIES = ("L", "N", "P", "S")


def class_characters() -> tuple[str, ...]:
    """The characters that are classes, in the order of labels.

    They are what :func:`distinct` makes of :func:`common_characters`, shuffled once, so that the
    first classes are a sample of all.
    """
    return tuple(chr(int(line.split()[0], 16)) for line in read_lines("glyphs.txt"))


def font_path(font: str) -> Path:
    """The file of a font that matplotlib ships."""
    folder = Path(needed("matplotlib", "digits").get_data_path())
    return folder / "fonts" / "ttf" / f"{font}.ttf"


@cache
def _characters(font: str) -> frozenset[str]:
    codes = needed("matplotlib.ft2font", "digits").FT2Font(str(font_path(font))).get_charmap()
    return frozenset(map(chr, codes))


def covers(font: str, character: str) -> bool:
    """Whether a font has a character, at its code point of Unicode."""
    if font in COMPUTER_MODERN and not (character.isascii() and character.isalnum()):
        return False
    return character in _characters(font)


@cache
def _sized(font: str) -> ImageFont.FreeTypeFont:
    file = str(font_path(font))
    trial = 1000
    top = ImageFont.truetype(file, trial).getbbox("H", anchor="ls")[1]
    return ImageFont.truetype(file, -trial * CAPITAL * DETAIL * OVERSAMPLING / top)


def fits(font: str, character: str) -> bool:
    """Whether a glyph lies inside the square, side bearings too."""
    left, top, right, bottom = _sized(font).getbbox(character, anchor="ls")
    scale = DETAIL * OVERSAMPLING
    below = (SIDE - BASELINE) * scale
    return 0 < right - left <= SIDE * scale and -top <= BASELINE * scale and bottom <= below


def draw(font: str, character: str) -> NDArray[np.uint8]:
    """A glyph, white on black.

    Args:
        font: Name of a font file, without its ending.
        character: The character.

    Returns:
        Grey levels, shape ``(64, 64)``: 4 pixels for one of an image of 16.
    """
    scale = DETAIL * OVERSAMPLING
    sized, side = _sized(font), SIDE * scale
    left, _, right, _ = sized.getbbox(character, anchor="ls")
    place = (round((side - left - right) / 2), round(BASELINE * scale))
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text(place, character, fill=255, font=sized, anchor="ls")
    return np.asarray(canvas.reduce(OVERSAMPLING))


def reduced(glyphs: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Drawn glyphs as images: means of 4x4 pixels, in [0, 1], shape ``(..., 16, 16)``."""
    blocks = glyphs.reshape(*glyphs.shape[:-2], SIDE, DETAIL, SIDE, DETAIL)
    means: NDArray[np.float64] = blocks.mean(axis=(-3, -1)) / 255
    return means


def common_characters() -> list[str]:
    """Characters that DejaVu Sans and STIX have in every weight, and both held-out fonts too.

    Letters, numbers, punctuation and symbols that Unicode does not compose of others (no accented
    letters, no superscripts), without box drawings, that fit the square in all of these fonts; by
    code point.
    """
    fonts = (*SANS, *STIX, *HELD_OUT)
    shared = sorted(frozenset.intersection(*(_characters(font) for font in fonts)))
    return [
        character
        for character in shared
        if unicodedata.category(character)[0] in CATEGORIES
        and unicodedata.category(character) not in ("Lm", "Sk")
        and not unicodedata.decomposition(character)
        and not unicodedata.name(character).startswith("BOX DRAWINGS")
        and all(fits(font, character) for font in fonts)
    ]


def distances(characters: Sequence[str]) -> NDArray[np.float64]:
    """How far characters look apart: the mean over the weights of DejaVu Sans and STIX.

    In one font it is the root of the summed squared difference of the two images, where they are
    laid over each other best (moved by up to a pixel each way), over that of the brighter one
    alone. 0 is the same image, and 1 as far as from an empty one.

    Args:
        characters: The characters.

    Returns:
        Symmetric matrix, shape ``(characters, characters)``.
    """
    count = len(characters)
    total = np.zeros((count, count))
    for font in (*SANS, *STIX):
        images = reduced(np.stack([draw(font, character) for character in characters]))
        energy = (images**2).sum(axis=(1, 2))
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
        least = np.full((count, count), np.inf)
        for down, right in np.ndindex(3, 3):
            moved = padded[:, down : down + SIDE, right : right + SIDE].reshape(count, -1)
            product = images.reshape(count, -1) @ moved.T
            least = np.minimum(least, energy[:, None] + (moved**2).sum(axis=1) - 2 * product)
        relative = np.sqrt(least.clip(min=0) / np.maximum(energy[:, None], energy))
        total += np.minimum(relative, relative.T)
    return total / len((*SANS, *STIX))


def distinct(characters: Sequence[str]) -> list[str]:
    """Characters in order, without those that look like one kept before (``NEARLY_SAME``)."""
    apart = distances(characters)
    kept: list[int] = []
    for index in range(len(characters)):
        if all(apart[index, other] >= NEARLY_SAME for other in kept):
            kept.append(index)
    return [characters[index] for index in kept]
