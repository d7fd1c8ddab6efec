"""Tiny copies of published sets of images and captions, in their true layout."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

WORDS = "cat dog cup chair mug cap"


def picture(random, side: int = 24) -> Image.Image:
    return Image.fromarray(
        np.array([random.randrange(256) for _ in range(side * side * 3)], np.uint8).reshape(
            side, side, 3
        )
    )


def captions(random) -> tuple[str, str]:
    first, second = random.sample(WORDS.split(), 2)
    return f"a {first} on a {second}", f"a {second} on a {first}"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def winoground_rows(random, count: int = 5) -> list[dict]:
    rows = []
    for i in range(count):
        first, second = captions(random)
        rows.append(
            {
                "id": i,
                "image_0": picture(random),
                "image_1": picture(random),
                "caption_0": first,
                "caption_1": second,
                "collapsed_tag": ("Object", "Relation", "Both")[i % 3],
                "num_main_preds": 1,
            }
        )
    return rows


def winoground_parquet(root: Path, rows: list[dict]) -> None:
    (root / "data").mkdir(parents=True)
    stored = [
        {**row, **{k: {"bytes": png(row[k]), "path": f"{k}.png"} for k in ("image_0", "image_1")}}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(stored), root / "data/test-00000-of-00001.parquet")


def winoground_files(root: Path, rows: list[dict]) -> None:
    (root / "data/images").mkdir(parents=True)
    lines = []
    for row in rows:
        names = {}
        for k in (0, 1):
            names[f"image_{k}"] = f"ex_{row['id']}_img_{k}"
            row[f"image_{k}"].save(root / f"data/images/{names[f'image_{k}']}.png")
        lines.append(json.dumps({**row, **names}))
    (root / "data/examples.jsonl").write_text("\n".join(lines))


def sugarcrepe(root: Path, random) -> dict[str, dict]:
    (root / "val2017").mkdir(parents=True)
    kinds = {}
    for kind in ("swap_obj", "add_att"):
        kinds[kind] = {}
        for i in range(3):
            right, wrong = captions(random)
            name = f"{kind}{i}.jpg"
            picture(random).save(root / "val2017" / name)
            kinds[kind][str(i)] = {"filename": name, "caption": right, "negative_caption": wrong}
        (root / f"{kind}.json").write_text(json.dumps(kinds[kind]))
    return kinds


def whatsup(root: Path, random) -> list[dict]:
    (root / "data/controlled_images").mkdir(parents=True)
    entries = []
    for pair in ("cup chair", "mug cap"):
        one, other = pair.split()
        options = [f"A {one} {where} a {other}" for where in ("on", "under", "left of", "right of")]
        for place, option in enumerate(options):
            path = f"data/controlled_images/{one}_{other}_{place}.png"
            picture(random).save(root / path)
            others = [text for text in options if text != option]
            random.shuffle(others)
            entries.append({"image_path": path, "caption_options": [option, *others]})
    (root / "controlled_images_dataset.json").write_text(json.dumps(entries))
    return entries
