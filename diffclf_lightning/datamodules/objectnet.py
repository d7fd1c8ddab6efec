"""ObjectNet (Barbu et al. 2019): the 113 of its 313 objects that ImageNet has too."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from diffclf_lightning.datamodules.names import read_lines
from diffclf_lightning.datamodules.published import ManualSet
from diffclf_lightning.datamodules.sets import FileImages, image_files
from diffclf_lightning.errors import InputError


class BorderedImages(FileImages):
    """Images in files, less the red border of two pixels that marks all as test data."""

    def image(self, index: int) -> Image.Image:
        return ImageOps.crop(super().image(index), border=2)


class ObjectNet(ManualSet):
    """The 18,514 images of ObjectNet whose objects are in ImageNet, in ``root/objectnet-1.0``.

    Labels are the 113 objects, sorted by name; the red border of every image is cropped away. See
    :class:`ManualSet`.
    """

    name = "objectnet"
    title = "ObjectNet"
    address = "https://objectnet.dev/download.html"
    tree = (
        "  objectnet-1.0/images/alarm_clock/*.png  (one folder an object)\n"
        "  objectnet-1.0/mappings/folder_to_objectnet_label.json, objectnet_to_imagenet_1k.json,\n"
        "    pytorch_to_imagenet_2012_id.json, imagenet_to_label_2012_v2"
    )
    expected_images = 18514
    classnames = read_lines("objectnet.txt")

    @property
    def imagenet_ids(self) -> list[list[int]]:
        """ImageNet class ids of each label, one to three, ascending.

        Raises:
            InputError: If the mappings are not there, or not the published ones.
        """
        objects = self._objects()
        positions = {int(p): int(i) for i, p in self._json("pytorch_to_imagenet_2012_id").items()}
        lines = self._mapping("imagenet_to_label_2012_v2").read_text(encoding="utf-8").splitlines()
        try:
            id_of = {line.strip(): positions[position] for position, line in enumerate(lines)}
            groups = [
                sorted(id_of[text] for text in objects[name].split("; "))
                for name in self.classnames
            ]
        except KeyError as error:
            raise self._unexpected(f"no ImageNet id of {error}") from error
        shared = [i for i, uses in Counter(chain.from_iterable(groups)).items() if uses > 1]
        if shared:
            raise self._unexpected(f"several objects with ImageNet id {shared[0]}")
        return groups

    def read(self) -> BorderedImages:
        self._objects()
        label_of = {name: label for label, name in enumerate(self.classnames)}
        images = self._base() / "images"
        rows = sorted(
            (file.relative_to(images).as_posix(), file, label_of[name])
            for folder, name in self._json("folder_to_objectnet_label").items()
            if name in label_of
            for file in image_files(images / folder)
        )
        if not rows:
            raise self.missing(f"no images in {images}")
        self.check_count(len(rows))
        keys, files, labels = zip(*rows, strict=True)
        return BorderedImages(files, labels, keys)

    def _base(self) -> Path:
        inside = (self.root / "mappings").is_dir()
        return self.root if inside else self.root / "objectnet-1.0"

    def _objects(self) -> dict[str, str]:
        """ImageNet's labels of each object; the objects have to be those that we know."""
        objects = self._json("objectnet_to_imagenet_1k")
        if sorted(objects) != list(self.classnames):
            different = sorted(set(objects) ^ set(self.classnames))
            raise self._unexpected(f"{len(objects)} objects, which differ in {different[:5]}")
        return objects

    def _json(self, name: str) -> dict[str, Any]:
        file = self._mapping(f"{name}.json")
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self._unexpected(f"no JSON in {file} ({error})") from error
        return content

    def _mapping(self, name: str) -> Path:
        file = self._base() / "mappings" / name
        if not file.is_file():
            raise self.missing(f"no file {file}")
        return file

    def _unexpected(self, found: str) -> InputError:
        return InputError(
            f"Expected the mappings of {len(self.classnames)} objects that ObjectNet publishes in "
            f"{self._base() / 'mappings'}, but got {found}. Fetch them anew from {self.address}."
        )
