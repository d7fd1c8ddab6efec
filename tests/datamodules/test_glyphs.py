import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from fontTools.ttLib import TTFont
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.datamodules import Glyphs, Strokes, glyph_fonts
from diffclf_lightning.datamodules.glyph_fonts import (
    HELD_OUT,
    NEARLY_SAME,
    TRAINING,
    class_characters,
    common_characters,
    covers,
    distances,
    draw,
    reduced,
)
from diffclf_lightning.datamodules.glyph_strokes import signed_distances
from diffclf_lightning.datamodules.glyphs import SHIFTS, WEIGHTS
from diffclf_lightning.denoisers import ResizeCenterCrop
from diffclf_lightning.denoisers.auto import ASSETS

FONTS = Path(get_data_path()) / "fonts/ttf"
FIGURE_DASH, EM_DASH = "\u2012\u2014"
STILL = Strokes(degrees=0, scale=0, slant=0, shift=0, bend=0, weight=0)


def module(**kwargs):
    data = Glyphs(**kwargs)
    data.transform = ResizeCenterCrop(16, channels=1)
    return data


def loaded(name="glyphs", **kwargs):
    data = module(test_sets=[name], batch_size=1000, **kwargs)
    return next(iter(data.test_dataloader()[name]))


def ink_of(font, character, size):
    """A glyph drawn at another size, cut to its ink."""
    canvas = Image.new("L", (4 * size, 4 * size))
    sized = ImageFont.truetype(str(FONTS / f"{font}.ttf"), size)
    ImageDraw.Draw(canvas).text((size, size), character, fill=255, font=sized)
    return canvas.crop(canvas.getbbox())


def test_classes_are_many_and_each_is_one_character():
    characters = class_characters()
    assert len(set(characters)) == len(characters) == 251
    assert Glyphs.classnames == tuple(unicodedata.name(c).lower() for c in characters)
    assert len(set(Glyphs.classnames)) == 251
    text = (Path(glyph_fonts.__file__).parent / "data/glyphs.txt").read_text()
    rows = [line.split(" ", 1) for line in text.splitlines() if line[0] != "#"]
    assert all(unicodedata.name(chr(int(code, 16))) == name for code, name in rows)
    kinds = [name.split()[0] for _, name in rows]
    assert min(kinds.count(kind) for kind in ("LATIN", "GREEK", "CYRILLIC", "DIGIT")) >= 10
    first = kinds[:50]  # a sample of all, so that few classes are like many
    assert first.count("LATIN") / 50 == pytest.approx(kinds.count("LATIN") / 251, abs=0.2)


def test_every_font_has_every_class_that_is_drawn_in_it():
    for font in {*TRAINING, *HELD_OUT, *WEIGHTS["bold"], *WEIGHTS["italic"]}:
        codes = FT2Font(str(FONTS / f"{font}.ttf")).get_charmap()
        here = [c for c in class_characters() if covers(font, c)]
        assert {ord(c) for c in here} <= set(codes)
        assert len(here) == 251 or (font.startswith("cm") and len(here) > 50)
        letters = [c for c in here if "a" <= c.lower() <= "z" or "0" <= c <= "9"]
        assert len(here) == 251 or here == letters  # elsewhere these files have glyphs of others


def test_training_and_test_share_no_family():
    names = {font: FT2Font(str(FONTS / f"{font}.ttf")).family_name for font in TRAINING}
    held_out = {f for fonts in WEIGHTS.values() for f in fonts}
    assert len(names) >= 6
    assert len(held_out) == 6
    families = {FT2Font(str(FONTS / f"{font}.ttf")).family_name for font in held_out}
    assert families == {"DejaVu Serif", "DejaVu Sans Mono"}
    assert not families & set(names.values())


def test_look_alikes_are_left_out_and_nothing_else():
    """Round-off of another font renderer may move a pair across the threshold, by this little."""
    common, kept, little = common_characters(), set(class_characters()), 0.01
    apart = distances(common)
    assert kept < set(common)
    for i, character in enumerate(common):
        earlier = [apart[i, j] for j in range(i) if common[j] in kept]
        nearest = min(earlier, default=np.inf)
        if character in kept:
            assert nearest > NEARLY_SAME - little, character
        else:
            assert nearest < NEARLY_SAME + little, character
    alike = ("GREEK CAPITAL LETTER ALPHA", "CYRILLIC CAPITAL LETTER A", "CYRILLIC SMALL LETTER O")
    assert all(unicodedata.lookup(name) in set(common) - kept for name in alike)
    assert {"A", "O", "o", "C", "c"} <= kept


def test_distances_are_those_of_a_plain_loop(seed):
    characters = random.Random(seed).sample(class_characters(), 3)
    fonts = [f for f in TRAINING if not f.startswith("cm")]
    images = {
        (f, c): np.asarray(
            Image.fromarray(draw(f, c)).resize((16, 16), Image.Resampling.BOX), dtype=float
        )
        / 255
        for f in fonts
        for c in characters
    }
    for i, one in enumerate(characters):
        for j, other in enumerate(characters):
            total = 0.0
            for font in fonts:
                a, b = images[font, one], images[font, other]
                padded = np.pad(b, 1)
                moved = [padded[y : y + 16, x : x + 16] for y in range(3) for x in range(3)]
                padded = np.pad(a, 1)
                back = [padded[y : y + 16, x : x + 16] for y in range(3) for x in range(3)]
                least = min(
                    *(np.sqrt(((a - m) ** 2).sum()) for m in moved),
                    *(np.sqrt(((m - b) ** 2).sum()) for m in back),
                )
                total += least / np.sqrt(max((a**2).sum(), (b**2).sum()))
            found = distances(characters)[i, j]
            assert found == pytest.approx(total / len(fonts), abs=0.02)


@pytest.mark.parametrize("font", [*TRAINING, *HELD_OUT])
def test_a_glyph_is_the_fonts_own_in_its_place_on_the_line(font):
    """Places follow from the outlines in the file, in units of the font."""
    file = TTFont(FONTS / f"{font}.ttf")
    names = {c: file.getBestCmap()[ord(c)] for c in "Hxpdj"}
    pixel = file["glyf"][names["H"]].yMax / 40  # 10 pixels of 16
    for character, name in names.items():
        outline, (advance, _) = file["glyf"][name], file["hmtx"][name]
        left, bottom, right, top = outline.xMin, outline.yMin, outline.xMax, outline.yMax
        across = 32 - (min(left, 0) + max(right, advance)) / 2 / pixel
        expected = [46 - top / pixel, 46 - bottom / pixel]
        expected += [across + left / pixel, across + right / pixel]
        drawn = draw(font, character)
        rows, columns = (np.flatnonzero((drawn > 20).any(axis=axis)) for axis in (1, 0))
        found = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
        assert found == pytest.approx(expected, abs=1.1)
        box = Image.fromarray(drawn[found[0] : found[1], found[2] : found[3]])
        other = np.asarray(ink_of(font, character, 300).resize(box.size, Image.Resampling.BOX))
        assert np.abs(np.asarray(box) / 255 - other / 255).mean() < 0.1


def test_no_glyph_is_empty_cut_or_a_box():
    """Fonts draw one and the same box for whatever they do not have."""
    for font in HELD_OUT:
        drawn = {c: draw(font, c) for c in class_characters()}
        assert min((glyph > 128).sum() for glyph in drawn.values()) > 10
        assert max(max(glyph[0].max(), glyph[-1].max()) for glyph in drawn.values()) < 128
        same = {glyph.tobytes() for c, glyph in drawn.items() if c != FIGURE_DASH}
        assert len(same) == 250
        # All dashes of a font of one width are alike, which training fonts cannot tell.
        assert (drawn[FIGURE_DASH] == drawn[EM_DASH]).all() == (font == "DejaVuSansMono")


def test_test_images_are_means_of_drawn_glyphs():
    batch = loaded()
    assert batch["image"].shape == (502, 1, 16, 16)
    assert len(set(batch["key"])) == 502
    assert batch["label"].bincount().tolist() == [2] * 251
    for index in (0, 100, 501):
        font, code = batch["key"][index].split("/")
        assert class_characters()[batch["label"][index]] == chr(int(code, 16))
        expected = draw(font, chr(int(code, 16))).reshape(16, 4, 16, 4).mean(axis=(1, 3))
        assert np.abs(batch["image"][index, 0].numpy() - expected).max() <= 0.5


def test_every_beginning_has_both_fonts_and_no_class_twice():
    keys, labels = loaded()["key"], loaded()["label"].tolist()
    for count in (2, 20, 251):
        assert sorted(labels[:count]) == list(range(count))
        first = sum(key.startswith("DejaVuSerif/") for key in keys[:count])
        assert abs(2 * first - count) <= 1
    few = loaded(num_test=7)
    assert few["key"] == keys[:7]


@pytest.mark.parametrize("name", [*WEIGHTS, *SHIFTS])
def test_sets_keep_labels_and_change_pixels(name):
    batch, upright = loaded(name, num_test=60), loaded(num_test=60)
    assert torch.equal(batch["label"], upright["label"])
    changed = (batch["image"] != upright["image"]).flatten(1).any(dim=1).float().mean()
    assert changed == 0 if name == "glyphs" else changed > 0.5
    assert torch.equal(batch["image"], loaded(name, num_test=60)["image"])


def test_some_classes_are_the_first_of_all():
    data = module(num_classes=10, batch_size=50, repeats=20)
    (images,) = data.test_sets().values()
    assert images.candidate_labels == tuple(range(10))
    assert images.keys == loaded(num_classes=10)["key"]
    whole = loaded()
    assert set(images.keys) == {
        k for k, v in zip(whole["key"], whole["label"], strict=True) if v < 10
    }
    assert len(images) == 20
    trained = torch.cat([batch["label"] for batch in data.train_dataloader()])
    assert trained.bincount().tolist() == [20] * 10
    validation = data.val_dataloader().dataset
    assert sorted(validation.labels) == sorted([*range(10)] * 2)
    assert validation.candidate_labels == tuple(range(10))
    assert Glyphs().test_sets()["glyphs"].candidate_labels is None


def test_unchanged_strokes_give_the_glyphs_of_the_training_fonts(seed):
    """Each image of training is one of the fonts that have it, and all fonts come up."""
    data = module(num_classes=4, strokes=STILL, repeats=100, batch_size=400)
    (batch,) = data.train_dataloader()
    pixels, labels = batch["image"][:, 0].numpy() / 255, batch["label"].numpy()
    for label, character in enumerate(class_characters()[:4]):
        fonts = [font for font in TRAINING if covers(font, character)]
        # Slanted fonts have upright symbols.
        originals = reduced(np.unique([draw(font, character) for font in fonts], axis=0))
        off = np.abs(originals[:, None] - pixels[labels == label]).mean(axis=(2, 3))
        assert off.min(axis=0).max() < 0.02
        assert set(off.argmin(axis=0)) == set(range(len(originals)))


def test_training_changes_with_the_generator_and_validation_does_not():
    data = module(num_classes=20, batch_size=40)
    torch.manual_seed(1)
    first = next(iter(data.train_dataloader()))
    state = torch.get_rng_state()
    validation = data.val_dataloader().dataset.pixels
    assert torch.equal(torch.get_rng_state(), state)
    assert (data.val_dataloader().dataset.pixels == validation).all()
    other = next(iter(data.train_dataloader()))
    assert not torch.equal(first["image"], other["image"])
    torch.manual_seed(1)
    again = next(iter(data.train_dataloader()))
    assert torch.equal(first["image"], again["image"])
    assert first["key"] == again["key"]


def test_training_images_come_in_the_models_transform():
    data = Glyphs(num_classes=5, batch_size=8)
    data.transform = ResizeCenterCrop(8, channels=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (8, 3, 8, 8)
    assert batch["image"].dtype == torch.uint8
    assert batch["readable"].all()


def test_signed_distances_of_a_half_plane():
    glyph = np.zeros((1, 8, 8), np.uint8)
    glyph[:, :, 3:] = 255
    found = signed_distances(glyph, detail=2)[0]
    expected = (np.arange(8) + 0.5 - 3) / 2  # the outline lies between two pixels
    assert np.allclose(found, expected)


def disc(radius, side=16, detail=4):
    axis = (np.arange(side * detail) + 0.5) / detail - side / 2
    return radius - torch.from_numpy(np.hypot(*np.meshgrid(axis, axis))).float()[None]


def centre_and_area(image):
    image = image.double()[0, 0] / 255
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    area = image.sum()
    return float((image * x).sum() / area), float((image * y).sum() / area), float(area)


def test_each_change_of_strokes_is_as_large_as_it_says(seed):
    still = {"degrees": 0, "scale": 0, "slant": 0, "shift": 0, "bend": 0, "weight": 0}
    radius, draws = 4.0, 400
    x, y, area = centre_and_area(STILL(disc(radius), 16))
    assert (x, y) == pytest.approx((7.5, 7.5), abs=0.01)
    assert area == pytest.approx(np.pi * radius**2, rel=0.01)
    many = disc(radius).expand(draws, -1, -1)

    def changed(**kwargs):
        images = Strokes(**{**still, **kwargs})(many, 16)
        return np.array([centre_and_area(image[None]) for image in images])

    weights = np.sqrt(changed(weight=0.5)[:, 2] / np.pi) - radius
    assert np.abs(weights).max() == pytest.approx(0.5, abs=0.03)
    shifts = changed(shift=1.5)[:, :2] - 7.5
    assert np.abs(shifts).max(axis=0) == pytest.approx([1.5, 1.5], abs=0.05)
    areas = changed(scale=0.2)[:, 2] / area
    assert 1 / areas.max() == pytest.approx(0.64, abs=0.06)  # both sides by a fifth
    assert 1 / areas.min() == pytest.approx(1.44, abs=0.1)
    assert np.abs(changed(degrees=90)[:, 2] / area - 1).max() < 0.02
    bends = changed(bend=1.0)[:, :2].std(axis=0)
    assert ((bends > 0.2) & (bends < 1)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Glyphs(test_sets=["glyph"]), "`test_sets`.*but got glyph"),
        (lambda: Glyphs(num_classes=252), "`num_classes` to be from 2 to 251, but got 252"),
        (lambda: Glyphs(num_classes=1), "`num_classes`"),
        (lambda: Glyphs(num_classes=10, num_test=21), "`num_test` to be from 1 to 20, but got 21"),
        (lambda: Glyphs(repeats=0), "`repeats` to be at least 1, but got 0"),
        (lambda: Strokes(scale=1), "`scale` of argument `strokes` from 0 to 0.9, but got 1"),
        (lambda: Strokes(bend=-1), "`bend`"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_embedded_model_knows_fonts_that_it_has_not_seen(tmp_path, diffclf):
    few = ["--data.num_classes=40", "--data.num_test=20", "--model.strategy.max_trials=15"]
    diffclf("test", "--config", "glyphs", *few, "--results.folder=r")
    summary = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["glyphs"]
    run = json.loads((tmp_path / "r/run.json").read_text())
    assert run["candidate_labels"]["glyphs"] == list(range(40))
    assert tuple(run["classnames"]) == Glyphs.classnames
    assert summary["total"] == 20
    assert summary["correct"] >= 16
    assert summary["calibrated"]


def test_training_makes_a_model_of_all_classes(tmp_path, diffclf):
    short = ["--trainer.max_steps=2", "--data.repeats=1", "--data.batch_size=16"]
    diffclf("fit", "--config", "glyphs_train", *short)
    model = AutoDenoiser.from_pretrained(str(tmp_path / "runs/glyphs"))
    shipped = AutoDenoiser.from_pretrained("diffclf/glyphs")
    assert model.classnames == shipped.classnames == list(Glyphs.classnames)
    shapes = [{n: p.shape for n, p in m.network.named_parameters()} for m in (model, shipped)]
    assert shapes[0] == shapes[1]
    size = sum(f.stat().st_size for f in (ASSETS / "glyphs").rglob("*") if f.is_file())
    assert size <= 8e6
