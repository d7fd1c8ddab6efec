"""Printed digits, from the fonts that matplotlib ships, made as scikit-learn's digits were made.

Those are 32x32 bitmaps of a digit that fills the box, reduced to 8x8 counts of set pixels in 4x4
blocks, from 0 to 16 (Alpaydin and Kaynak 1998).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diffclf_lightning.extras import needed

BITMAP = 32
BLOCK = 4
TYPEFACES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmr10", "cmb10", "cmss10", "cmtt10")
"""Files of these; display and symbol variants have no digits of their own."""


def font_files() -> list[Path]:
    """Font files with ordinary digits, sorted by name."""
    folder = Path(needed("matplotlib", "digits").get_data_path()) / "fonts" / "ttf"
    files = [file for name in TYPEFACES for file in folder.glob(f"{name}*.ttf")]
    return sorted(file for file in files if "Display" not in file.stem)


def render_digits(font: Path) -> NDArray[np.uint8]:
    """The ten digits of a font.

    Args:
        font: A TrueType file.

    Returns:
        Counts from 0 to 16, shape ``(10, 8, 8)``.
    """
    return np.stack([_render(str(digit), font) for digit in range(10)])


def _render(text: str, font: Path) -> NDArray[np.uint8]:
    large = 8 * BITMAP
    canvas = Image.new("L", (2 * large, 2 * large))
    ImageDraw.Draw(canvas).text(
        (large // 2, large // 2), text, fill=255, font=ImageFont.truetype(str(font), large)
    )
    glyph = canvas.crop(canvas.getbbox())
    width = max(1, round(glyph.width * BITMAP / glyph.height))
    glyph = glyph.resize((min(width, BITMAP), BITMAP), Image.Resampling.BOX)
    box = Image.new("L", (BITMAP, BITMAP))
    box.paste(glyph, ((BITMAP - glyph.width) // 2, 0))
    bitmap = np.asarray(box) >= 128
    size = BITMAP // BLOCK
    blocks = bitmap.reshape(size, BLOCK, size, BLOCK).sum(axis=(1, 3))
    counts: NDArray[np.uint8] = blocks.astype(np.uint8)
    return counts
