"""FeatureCache: features of sets of images on disk, computed once.

A folder with ``cache.json``, which says whose features they are, and for each set a folder of
shards. A shard is a file ``00012.safetensors`` with the features of 256 consecutive images and the
digests of their pixels, by which they are found again, and ``00012.json`` with its checksum,
written last: without it a shard is not there.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch.utilities import rank_zero_info
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from diffclf_lightning.baselines.features import DenoiserFeatures
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import pixel_bytes
from diffclf_lightning.files import PARTIAL, appearing, made, write_whole
from diffclf_lightning.paths import path_of

SHARD, AT_ONCE = 256, 16
"""Images of a shard, and of a forward pass: fixed, so that a shard has the same bytes each time."""
IDENTITY = "cache.json"
EMPTY = hashlib.blake2b(digest_size=16).digest()
"""Stands for an image that could not be read."""


@dataclass
class FeatureCache:
    """Features of images, from disk.

    The same call as of :class:`DenoiserFeatures`; images of the sets that :meth:`fill` was given
    are found by their pixels. Several processes may fill it at once, each its own shards.

    Args:
        features: What computes them.
        folder: Where they are, of these features alone; made if need be.

    Raises:
        InputError: If the folder holds features of other weights, blocks, timesteps or seeds.
    """

    features: DenoiserFeatures
    folder: Path
    _places: dict[bytes, tuple[Path, int]] = field(default_factory=dict)
    _open: dict[Path, Any] = field(default_factory=dict)
    _filled: set[Path] = field(default_factory=set)
    _said: bool = False

    def __post_init__(self) -> None:
        self.folder = path_of(self.folder)
        own, file = self.features.describe(), self.folder / IDENTITY
        if file.is_file():
            stored = _read_json(file) or {}
            differ = [name for name in own if stored.get(name) != own[name]]
            if differ:
                name = differ[0]
                raise InputError(
                    f"Expected argument `cache` to be a folder of the same features, but in "
                    f"{str(self.folder)!r} `{name}` was {stored.get(name)!r} and is {own[name]!r} "
                    "now. Choose another folder, or delete it."
                )
            return
        inside = list(self.folder.iterdir()) if self.folder.is_dir() else []
        others = [one for one in inside if not one.name.endswith(PARTIAL)]  # not of a killed run
        if others or self.folder.is_file():
            raise InputError(
                f"Expected argument `cache` to be a folder of features, or a new one, but "
                f"{str(self.folder)!r} holds something else. Choose another folder."
            )
        made(self.folder)
        write_whole(file, json.dumps(own, indent=2) + "\n")

    def __call__(self, images: Tensor) -> Tensor:
        """Features on the device of the images, as :class:`DenoiserFeatures` computes them.

        Args:
            images: Pixels. Those that are in none of the filled sets are computed, with a warning.
        """
        found = [self._places.get(_digest(pixel_bytes(image))) for image in images]
        missing = [row for row, place in enumerate(found) if place is None]
        if not missing:
            return torch.cat([self._row(*place) for place in found if place]).to(images.device)
        if self._filled and not self._said:
            self._said = True
            warnings.warn(
                f"The cache {str(self.folder)!r} does not hold {len(missing)} of {len(images)} "
                "images of a batch: their features are computed each time. Where files were "
                "changed since it was made, delete it.",
                stacklevel=2,
            )
        computed = iter(self.features(images[missing]).split(1))
        rows = [next(computed) if p is None else self._row(*p).to(images.device) for p in found]
        return torch.cat(rows)

    def fill(
        self,
        name: str,
        dataset: Any,
        *,
        num_workers: int = 0,
        rank: int = 0,
        world: int = 1,
        meet: Callable[[], object] = lambda: None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Compute what is missing of a set, and know all of it.

        What all of it takes is said, and compared with the space that is free, before the first.

        Args:
            name: Name of the set.
            dataset: Its samples, ``image`` among them, or pairs with the image first.
            num_workers: Worker processes that load images.
            rank: Number of this process, which takes every ``world``-th shard.
            world: Number of processes.
            meet: Waits for the other processes.
            device: Where features are computed.

        Raises:
            InputError: If there is no space for it, or the set has no length.
        """
        if not hasattr(dataset, "__len__"):
            raise InputError(
                f"Expected a set {name!r} with a length to cache, but got "
                f"{type(dataset).__name__}. Leave out `cache`."
            )
        target = self.folder / f"{name}-{_identity(dataset)}"
        if target in self._filled:
            return
        files = [target / f"{n:05}.safetensors" for n in range(-(-len(dataset) // SHARD))]
        missing = [n for n, file in enumerate(files) if not _is_whole(file)]
        meet()  # what another process writes from here on is no part of this
        if missing:
            self._check_space(name, len(dataset), missing)
            target.mkdir(exist_ok=True)
        own = [n for n in missing if n % world == rank]
        for number in tqdm(
            own, desc=f"features of {name}", unit="shard", leave=False, disable=None
        ):
            places = range(number * SHARD, min(len(dataset), (number + 1) * SHARD))
            self._write(files[number], Subset(dataset, places), num_workers, torch.device(device))
        meet()
        for file in files:
            self._open.pop(file, None)
            found = _digests(_read_json(file.with_suffix(".json")) or {})
            if found is None:
                raise InputError(
                    f"Expected all processes to see the folder `cache`, but {file} is not there. "
                    "Take one that they share, or fill the cache with one process first."
                )
            for row, digest in enumerate(found):
                self._places.setdefault(digest, (file, row))
        self._filled.add(target)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: what is on disk is one."""
        return self

    def _check_space(self, name: str, images: int, missing: list[int]) -> None:
        each = self.features.dtype.itemsize * torch.Size(self.features.shape).numel()
        left = sum(min(images, (n + 1) * SHARD) - n * SHARD for n in missing) * each
        free = shutil.disk_usage(self.folder).free
        shape = " x ".join(map(str, self.features.shape))
        kind = str(self.features.dtype).removeprefix("torch.")
        rank_zero_info(
            f"Features of {name}: {images:,} images of {shape} {kind}, {_bytes(images * each)}; "
            f"{_bytes(left)} to compute, {_bytes(free)} free in {self.folder}."
        )
        if left > free:
            raise InputError(
                f"Expected argument `cache` to have space for {_bytes(left)} of features of "
                f"{name}, but {str(self.folder)!r} has {_bytes(free)} free. Choose another folder, "
                "fewer images, a block with smaller features, or torch_dtype float16."
            )

    def _write(self, file: Path, part: Any, num_workers: int, device: torch.device) -> None:
        digests: list[bytes] = []
        parts: list[Tensor] = []
        # A generator of its own: a cache that has to be made must not move what is drawn later.
        loader = DataLoader(
            part, batch_size=AT_ONCE, num_workers=num_workers, generator=torch.Generator()
        )
        for batch in loader:
            images = batch["image"] if isinstance(batch, Mapping) else batch[0]
            could = batch.get("readable") if isinstance(batch, Mapping) else None
            known = [True] * len(images) if could is None else could.tolist()
            digests += [
                _digest(pixel_bytes(image)) if read else EMPTY
                for image, read in zip(images, known, strict=True)
            ]
            parts.append(self.features(images.to(device)).cpu())
        with appearing(file) as partial:
            try:
                save_file({"features": torch.cat(parts)}, partial)
            except SafetensorError as error:  # a full disk
                raise OSError(str(error)) from error
            told = {"blake2b": _checksum(partial), "images": [digest.hex() for digest in digests]}
            partial.chmod(0o644)
        write_whole(file.with_suffix(".json"), json.dumps(told) + "\n")

    def _row(self, file: Path, row: int) -> Tensor:
        if file not in self._open:
            self._open[file] = safe_open(file, "pt").get_slice("features")
        features: Tensor = self._open[file][row : row + 1]
        return features


def check_unchanging(name: str, loader: Any) -> None:
    """Refuse a loader whose images are others each time, before anything is computed.

    Args:
        name: Name of the set.
        loader: The loader.

    Raises:
        InputError: If a sample that is drawn twice differs, or its batch differs from it.
    """
    for place in range(min(8, len(loader.dataset))):
        once = _image(loader.dataset[place])
        again = _image(loader.collate_fn([loader.dataset[place]]))[0]
        if pixel_bytes(once) != pixel_bytes(again):
            raise InputError(
                f"Expected images of set {name!r} that are the same each time, since `cache` holds "
                "the features of each, but they change (augmentation). Switch that off "
                "(--data.augment 0 of Digits, null of ImageFolder), or leave out `cache`."
            )


def _image(sample: Any) -> Any:
    return sample["image"] if isinstance(sample, Mapping) else sample[0]


def _digest(pixels: bytes) -> bytes:
    return hashlib.blake2b(pixels, digest_size=16).digest()


def _identity(dataset: Any) -> str:
    """A short name for the images of a set, by their own names where they have some."""
    keys = getattr(dataset, "keys", None)
    named = keys if isinstance(keys, Sequence) else [str(len(dataset))]
    return hashlib.blake2b("\n".join(named).encode(), digest_size=4).hexdigest()


def _is_whole(file: Path) -> bool:
    """Whether a shard is there, with the bytes that were written."""
    told = _read_json(file.with_suffix(".json"))
    if told is None or _digests(told) is None or not file.is_file():
        return False
    return bool(told.get("blake2b") == _checksum(file))


def _digests(told: Mapping[str, Any]) -> list[bytes] | None:
    """Those of the images of a shard, or None where they are not what was written."""
    try:
        return [bytes.fromhex(digest) for digest in told["images"]]
    except (LookupError, TypeError, ValueError):
        return None


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
