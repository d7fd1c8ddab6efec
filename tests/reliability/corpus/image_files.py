"""Files of images: what is none, and odd ones that are."""

import struct
import zlib

import numpy as np
from PIL import Image

from corpus.case import FOLDER, Case, Holds, of, steps, text
from corpus.data import SKIP, TEN, has, refused
from corpus.pictures import WORDS, add, cut, digit, encoded, link

GREY16 = Image.fromarray((np.arange(1024).reshape(32, 32) * 64).astype(np.uint16))
PALETTE = digit(mode="RGB").convert("P", palette=Image.Palette.ADAPTIVE)
EXIF = Image.Exif()
EXIF[0x0112] = 6


def odd(
    name: str,
    file: str,
    image: Image.Image | None = None,
    says: str = "",
    holds: Holds | None = None,
    **options: object,
) -> Case:
    """An eleventh image in the folder ``three``, which is a legitimate one."""
    prepare = steps(TEN, add(f"images/three/{file}", image, **options))
    outcome = "warned" if says else "works"
    check = holds or has(f"three/{file}")
    return Case(name, FOLDER, outcome, says, prepare, images=of(11), holds=check)


def said_to_be(side: int) -> bytes:
    """A PNG whose header says another size."""
    content = bytearray(encoded())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


CORRUPT = [
    refused(
        "more pixels than PIL decodes",
        steps(TEN, text("images/three/1.png", said_to_be(20000))),
        "1.png",
    ),
    Case(
        "classify more pixels than PIL decodes",
        ("classify", "a.png", "--denoiser", "diffclf/digits-dit", "--trials=2"),
        says="a.png",
        prepare=text("a.png", said_to_be(20000)),
    ),
    refused("an image of no bytes", steps(TEN, text("images/three/1.png", b"")), "1.png"),
    refused(
        "text in place of an image", steps(TEN, text("images/three/1.png", "a three")), "1.png"
    ),
    refused("half an image", steps(TEN, cut("images/three/0.png", 0.5)), "0.png"),
    refused(
        "half a JPEG",
        steps(TEN, add("images/three/1.jpg"), cut("images/three/1.jpg", 0.5)),
        "1.jpg",
    ),
    refused("a page of HTML", steps(TEN, text("images/three/1.jpg", "<html>404</html>")), "1.jpg"),
    refused(
        "half a GIF called WebP",
        steps(TEN, text("images/three/1.webp", encoded("GIF", digit(size=(300, 200)))[:200])),
        "1.webp",
    ),
    refused(
        "half a BMP", steps(TEN, add("images/three/1.bmp"), cut("images/three/1.bmp", 0.5)), "1.bmp"
    ),
    refused(
        "half a TIFF",
        steps(TEN, add("images/three/1.tif"), cut("images/three/1.tif", 0.5)),
        "1.tif",
    ),
    refused(
        "a PNG with its end and without its middle",
        steps(TEN, text("images/three/1.png", encoded()[:40] + encoded()[-20:])),
        "1.png",
    ),
    refused("a pickle called png", steps(TEN, text("images/three/1.png", b"\x80\x04N.")), "1.png"),
    refused(
        "floating point beyond one",
        steps(TEN, add("images/three/1.tif", Image.fromarray(np.full((8, 8), 300, np.float32)))),
        "1.tif",
    ),
    refused(
        "pixels of NaN",
        steps(TEN, add("images/three/1.tif", Image.fromarray(np.full((8, 8), np.nan, np.float32)))),
        "1.tif",
    ),
    Case(
        "an image of no bytes that is skipped",
        (*FOLDER, SKIP),
        "warned",
        "1.png",
        steps(TEN, text("images/three/1.png", b"")),
        images=of(10),
    ),
    Case(
        "a link that dangles, skipped",
        (*FOLDER, SKIP),
        "warned",
        "1.png",
        steps(TEN, link("gone.png", "images/three/1.png")),
        images=of(10),
    ),
    Case(
        "half an image that is skipped, by two workers",
        (*FOLDER, SKIP, "--data.num_workers=2"),
        "warned",
        "0.png",
        steps(TEN, add("images/three/1.png"), cut("images/three/0.png", 0.5)),
        images=of(10),
    ),
    refused(
        "half an image by two workers",
        steps(TEN, text("images/three/1.png", encoded()[:40] + encoded()[-20:])),
        "1.png",
        "--data.num_workers=2",
    ),
    Case(
        "all images skipped",
        (*FOLDER, SKIP),
        "warned",
        says="No image of set 'folder'",
        prepare=steps(TEN, *(text(f"images/{w}/0.png", b"") for w in WORDS)),
    ),
]
ODD = [
    Case("ten images", FOLDER, "works", prepare=TEN, images=of(10)),
    odd("uppercase letters of a suffix", "1.PNG"),
    odd("a JPEG called PNG", "1.png", format="JPEG"),
    odd("letters of elsewhere", "été 数字 🎲.png"),
    odd("a line break in the name of a file", "a\nb.png"),
    odd("quotes and commas", "a,'b\".png"),
    odd("a name of 200 letters", f"{'a' * 200}.png"),
    odd("16 bits of grey", "1.png", GREY16, says="becomes 8 bits"),
    odd("CMYK", "1.jpg", digit(mode="RGB").convert("CMYK"), says="CMYK"),
    odd("a palette", "1.png", PALETTE, says="palette"),
    odd("a palette with transparency", "1.png", PALETTE, says="transparent", transparency=0),
    odd("transparency", "1.png", digit(mode="RGBA").resize((8, 8)), holds=has("three/1.png")),
    odd("one bit", "1.png", digit(mode="1")),
    odd("colour", "1.png", digit(mode="RGB")),
    odd("a TIFF", "1.tiff"),
    odd("a WebP", "1.webp"),
    odd("EXIF orientation", "1.jpg", exif=EXIF, says="EXIF orientation"),
    odd("one pixel", "1.png", Image.new("L", (1, 1), 9)),
    odd("a very broad image", "1.png", digit(size=(3000, 2))),
    odd("a very high image", "1.png", digit(size=(1, 2000))),
    odd("a large image", "1.png", digit(size=(3000, 2000))),
    odd(
        "several frames",
        "1.webp",
        says="several frames",
        save_all=True,
        append_images=[digit(4, mode="RGB")],
    ),
]
CASES = [*CORRUPT, *ODD]
