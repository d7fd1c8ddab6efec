"""Published sets of images and captions: Winoground, SugarCrepe, What's Up."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from diffclf_lightning.datamodules.checks import check_count
from diffclf_lightning.datamodules.image_captions import json_lines
from diffclf_lightning.datamodules.matching import Example, ExampleSet, MatchingSets
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of


class Winoground(MatchingSets):
    """The 400 examples of Winoground, two images and two captions each (Thrush et al. 2022).

    Tags are Object, Relation and Both, by what the two captions swap. The set is gated: accept its
    conditions at huggingface.co/datasets/facebook/winoground, then log in with ``hf auth login``
    or set ``HF_TOKEN``.

    Args:
        root: Folder of a copy: the parquet files of the hub in ``data``, or ``examples.jsonl``
            beside a folder ``images``. Defaults to None: the hub, and its cache on this machine.
        revision: Branch, tag or commit on the hub. Defaults to None: the newest.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`MatchingSets`.
    """

    repository: ClassVar[str] = "facebook/winoground"
    wanted: ClassVar[Sequence[str]] = ("data/*.parquet", "data/*.jsonl", "data/images/*")

    def __init__(
        self, root: str | Path | None = None, revision: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.root = None if root is None else path_of(root)
        self.revision = revision

    def prepare_data(self) -> None:
        """Fetch the set from the hub where no folder is given.

        Raises:
            InputError: If it cannot be fetched.
        """
        if self.root is None:
            self._fetched(local_files_only=False)

    def _fetched(self, *, local_files_only: bool) -> Path:
        try:
            folder = snapshot_download(
                self.repository,
                repo_type="dataset",
                revision=self.revision,
                allow_patterns=list(self.wanted),
                local_files_only=local_files_only,
            )
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise InputError(
                f"Expected to fetch {self.repository} from the hub, but got "
                f"{type(error).__name__}: {str(error).splitlines()[0]} Accept its conditions at "
                f"huggingface.co/datasets/{self.repository}, log in (`hf auth login`) and try "
                "again, or give the folder of a copy (`root`)."
            ) from error
        return Path(folder)

    def find(self) -> dict[str, ExampleSet]:
        root = self._fetched(local_files_only=True) if self.root is None else self.root
        tables = sorted([*root.glob("data/*.parquet"), *root.glob("*.parquet")])
        lines = [f for f in (root / "examples.jsonl", root / "data/examples.jsonl") if f.is_file()]
        if tables:
            rows = [row for file in tables for row in _rows(file)]
        elif lines:
            rows = [_with_files(row, lines[0].parent) for _, row in json_lines(lines[0])]
        else:
            raise InputError(
                f"Expected Winoground in argument `root`, {str(root)!r}, but got neither parquet "
                "files nor `examples.jsonl` beside a folder `images`. Give a folder as the hub "
                "has it, or leave `root` out to fetch it."
            )
        check_count("Winoground", len(rows), 400, root)
        return {"winoground": ExampleSet([_winoground(row, root) for row in rows])}


def _rows(file: Path) -> list[Mapping[str, Any]]:
    try:
        found: list[Mapping[str, Any]] = pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"Expected a parquet file that can be read, but got {file} ({error}). Fetch it again."
        ) from error
    images = ("image_0", "image_1")
    return [{**row, **{one: (row.get(one) or {}).get("bytes") for one in images}} for row in found]


def _with_files(row: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    named = {}
    for column in ("image_0", "image_1"):
        name = str(row.get(column))
        named[column] = folder / "images" / (name if "." in name else f"{name}.png")
    return {**row, **named}


def _winoground(row: Mapping[str, Any], root: Path) -> Example:
    columns = ("image_0", "image_1", "caption_0", "caption_1", "collapsed_tag", "id")
    wanting = [name for name in columns if row.get(name) is None]
    if wanting:
        raise InputError(
            f"Expected examples of Winoground below {root} with {', '.join(columns)}, but one has "
            f"no {wanting[0]}. Fetch the set again."
        )
    images, captions = (row["image_0"], row["image_1"]), (row["caption_0"], row["caption_1"])
    return Example(images, captions, str(row["collapsed_tag"]), str(row["id"]))


class SugarCrepe(MatchingSets):
    """SugarCrepe: one image, its caption and one that is wrong (Hsieh et al. 2023).

    The text score is its accuracy; tags are its seven kinds of changes (``swap_obj``, ...).

    Args:
        root: Folder that has the data set's JSON files, there or in ``data``.
        images: Folder of COCO's val2017 images. Defaults to None: ``val2017`` below ``root``.
        kinds: Which kinds of changes. Defaults to None: all whose files are there.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`MatchingSets`.
    """

    every: ClassVar[Sequence[str]] = (
        "add_att",
        "add_obj",
        "replace_att",
        "replace_obj",
        "replace_rel",
        "swap_att",
        "swap_obj",
    )

    def __init__(
        self,
        root: str | Path,
        images: str | Path | None = None,
        kinds: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = path_of(root)
        self.images = self.root / "val2017" if images is None else path_of(images)
        unknown = [kind for kind in kinds or () if kind not in self.every]
        if unknown:
            raise InputError(
                f"Expected argument `kinds` to name some of {', '.join(self.every)}, but got "
                f"{unknown[0]!r}."
            )
        self.kinds = kinds

    def find(self) -> dict[str, ExampleSet]:
        every = [(k, f / f"{k}.json") for k in self.every for f in (self.root, self.root / "data")]
        files = {kind: file for kind, file in every if file.is_file()}
        absent = [kind for kind in self.kinds or () if kind not in files]
        if absent or not files:
            raise InputError(
                f"Expected the JSON files of SugarCrepe in argument `root`, {str(self.root)!r}, "
                f"but got no {(absent or self.every)[0]}.json. Fetch them from "
                "github.com/RAIVNLab/sugar-crepe."
            )
        examples = []
        for kind in self.kinds or files:
            for number, one in _entries(files[kind]).items():
                names = ("filename", "caption", "negative_caption")
                image, right, wrong = _texts(one, names, files[kind], number)
                key = f"{kind}/{number}"
                examples.append(Example([self.images / image], [right, wrong], kind, key))
        return {"sugarcrepe": ExampleSet(examples)}


class WhatsUp(MatchingSets):
    """What's Up: photographs of two objects, and captions that say where (Kamath et al. 2023).

    Args:
        root: Folder that has ``controlled_images_dataset.json`` (subset A) or
            ``controlled_clevr_dataset.json`` (subset B), and the folder ``data`` of its images.
        subset: ``"A"`` or ``"B"``. Defaults to ``"A"``.
        grouped: Whether the photographs of the same two objects are one example, whose text score
            is right if all are; or each is an example of its own. Defaults to False.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`MatchingSets`.
    """

    files: ClassVar[Mapping[str, str]] = {
        "A": "controlled_images_dataset.json",
        "B": "controlled_clevr_dataset.json",
    }

    def __init__(
        self, root: str | Path, subset: str = "A", grouped: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if subset not in self.files:
            raise InputError(f"Expected argument `subset` to be 'A' or 'B', but got {subset!r}.")
        self.root, self.subset, self.grouped = path_of(root), subset, grouped

    def find(self) -> dict[str, ExampleSet]:
        name = self.files[self.subset]
        found = [f for f in (self.root / name, self.root / "data" / name) if f.is_file()]
        if not found:
            raise InputError(
                f"Expected {name} in argument `root`, {str(self.root)!r}, but it is not there. "
                "Fetch it from github.com/amitakamath/whatsup_vlms."
            )
        groups: dict[tuple[str, ...], list[Example]] = {}
        for number, one in _entries(found[0]).items():
            captions = one.get("caption_options") if isinstance(one, Mapping) else None
            (path,) = _texts(one, ("image_path",), found[0], number)
            if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
                raise InputError(
                    f"Expected a list of texts `caption_options` in entry {number} of {found[0]}, "
                    f"but got {captions!r}."
                )
            file = self.root / path  # whose folder may be `data`, as published, or in it
            if not file.is_file():
                file = self.root / Path(path).relative_to("data") if path[:5] == "data/" else file
            group = tuple(sorted(captions)) if self.grouped else (number,)
            groups.setdefault(group, []).append(Example([file], captions, key=path))
        return {f"whatsup_{self.subset.lower()}": ExampleSet([_joined(g) for g in groups.values()])}


def _joined(photographs: Sequence[Example]) -> Example:
    """One example of several photographs; the first caption of each is its own."""
    own = [one.captions[0] for one in photographs]
    others = [caption for caption in photographs[0].captions if caption not in own]
    images = [image for one in photographs for image in one.images]
    return Example(images, [*own, *others], key=photographs[0].key)


def _entries(file: Path) -> dict[str, Any]:
    """Entries of a JSON file by their number."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected a JSON file, but got {file} ({type(error).__name__}: {error})."
        ) from error
    if isinstance(content, list):
        content = {str(place): one for place, one in enumerate(content)}
    if not isinstance(content, dict):
        raise InputError(
            f"Expected a list or an object in {file}, but got {type(content).__name__}."
        )
    return content


def _texts(entry: Any, names: Sequence[str], file: Path, number: str) -> list[str]:
    found: list[str] = []
    for name in names:
        text = entry.get(name) if isinstance(entry, Mapping) else None
        if not isinstance(text, str):
            raise InputError(
                f"Expected a text `{name}` in entry {number} of {file}, but got {text!r}."
            )
        found.append(text)
    return found
