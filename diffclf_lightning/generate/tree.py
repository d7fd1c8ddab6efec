"""ImageTree: generated images in class folders, with what made each of them.

``CLASS/00000.png`` has its prompt (or class id) and seed in the file; ``index.jsonl`` lists all
images of the plan, there or not yet; ``generation.json`` says what they are made with.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import appearing, made, write_whole
from diffclf_lightning.generate.plan import Plan, PlannedImage
from diffclf_lightning.generate.samplers import Sampler
from diffclf_lightning.images import UNREADABLE

INDEX, GENERATION = "index.jsonl", "generation.json"


@dataclass(frozen=True)
class ImageTree:
    """A tree of class folders.

    Args:
        folder: Where it is.
        plan: The images.
        identity: What they are made with, as plain values.
    """

    folder: Path
    plan: Plan
    identity: Mapping[str, Any]

    def begin(self) -> None:
        """Make the folder, or check that it is of the same generation, and write the index.

        Raises:
            InputError: If it holds something else.
        """
        file = self.folder / GENERATION
        own = {**self.identity, "seed": self.plan.seed, "classes": list(self.plan.folders)}
        if file.is_file():
            stored = self._stored(file)
            differ = [name for name in own if stored.get(name) != own[name]]
            if differ:
                name = differ[0]
                raise InputError(
                    f"Expected --out to be a folder of the same generation, but in "
                    f"{str(self.folder)!r} `{name}` was {stored.get(name)!r} and is "
                    f"{own[name]!r} now. Choose another folder, or delete it."
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise InputError(
                f"Expected --out to be a new folder, or one of an earlier generation, but "
                f"{str(self.folder)!r} holds something else. Choose another folder."
            )
        for name in self.plan.folders:
            made(self.folder / name)
        write_whole(file, json.dumps(own, indent=2) + "\n")
        lines = [json.dumps(image.told(), ensure_ascii=False) for image in self.plan]
        write_whole(self.folder / INDEX, "\n".join(lines) + "\n")

    def fill(
        self,
        sampler: Sampler,
        batch_size: int,
        part: int = 1,
        parts: int = 1,
        done: Callable[[int], object] = lambda _: None,
    ) -> int:
        """Generate the images of a part that are not there whole.

        A batch of which one is missing is drawn again as a whole, so that an interrupted
        generation gives the bytes of an uninterrupted one; what is there is kept.

        Args:
            sampler: Draws them.
            batch_size: Images of a batch.
            part: Number of the part, from 1.
            parts: Number of parts.
            done: Is told how many images of a batch are there now.

        Returns:
            Number of images that were written.
        """
        written = 0
        for batch in self.plan.batches(batch_size, part, parts):
            missing = [image for image in batch if not self.has(image)]
            if missing:
                drawn = sampler.sample([i.condition for i in batch], [i.seed for i in batch])
                for image, pixels in zip(batch, drawn, strict=True):
                    if image in missing:
                        self._write(image, pixels)
                written += len(missing)
            done(len(batch))
        return written

    @property
    def there(self) -> int:
        """Number of images of the plan that have a file, of whatever part."""
        return sum((self.folder / image.file).is_file() for image in self.plan)

    def has(self, image: PlannedImage) -> bool:
        """Whether an image is there, whole and of its seed."""
        file = self.folder / image.file
        if not file.is_file():
            return False
        try:
            with PILImage.open(file) as opened:
                opened.load()
                told: Any = getattr(opened, "text", {})
        except UNREADABLE:
            return False
        return bool(told == self._texts(image))

    def _write(self, image: PlannedImage, pixels: PILImage.Image) -> None:
        told = PngInfo()
        for name, text in self._texts(image).items():
            told.add_itxt(name, text)
        with appearing(self.folder / image.file) as partial:
            pixels.save(partial, format="PNG", pnginfo=told)

    def _stored(self, file: Path) -> dict[str, Any]:
        """What an earlier generation was made with."""
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(stored, dict):
                raise ValueError("it holds no names with values")
        except ValueError as error:
            raise InputError(
                f"Expected --out to be a folder whose {GENERATION} can be read, but that of "
                f"{str(self.folder)!r} is damaged ({error}). Choose another folder, or delete it."
            ) from error
        return stored

    @staticmethod
    def _texts(image: PlannedImage) -> dict[str, str]:
        return {name: str(value) for name, value in image.told().items() if name != "file"}
