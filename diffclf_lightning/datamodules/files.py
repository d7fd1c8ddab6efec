"""ImageFiles: images without labels, for ``predict``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffclf_lightning.datamodules.own import OwnImage, OwnImages
from diffclf_lightning.datamodules.sets import SUFFIXES, image_files, say_left_out
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of


class ImageFiles(OwnImages):
    """Images without labels, for ``predict``: files, folders and patterns.

    Args:
        paths: A file, a folder whose images are all taken (those of folders in it too), a pattern
            such as ``"photos/*.jpg"``, or a list of such.
        name: Name of the set. Defaults to ``"files"``.
        classnames: Names of the classes to choose among, for a model that takes names. Defaults to
            None: the classes of the model.
        **kwargs: ``background`` of :class:`OwnImages`; ``batch_size``, ``num_workers`` and
            ``on_corrupt`` of :class:`ImageDataModule`.
    """

    def __init__(
        self,
        paths: str | Sequence[str],
        name: str = "files",
        classnames: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(".", name, classnames, **kwargs)
        if paths is None:
            raise InputError("Expected argument `paths` to name images, but got None.")
        self.paths = [paths] if isinstance(paths, str | Path) else list(paths)

    @property
    def classnames(self) -> Sequence[str] | None:  # type: ignore[override]
        """Names of the classes to choose among, or None."""
        return None if self._given is None else tuple(self._given)

    def read(self) -> list[OwnImage]:
        files: dict[Path, None] = {}
        for path in self.paths:
            files |= dict.fromkeys(self._found(path_of(path)))
        if not files:
            raise InputError("Expected argument `paths` to name images, but got an empty list.")
        return [OwnImage(file, file.as_posix(), None) for file in files]

    def _found(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        left_out: Counter[str] = Counter()
        if path.is_dir():
            found = image_files(path, left_out)
        else:
            above = Path(path.anchor)
            pattern = path.relative_to(above).as_posix()
            found = sorted(match for match in above.glob(pattern) if match.is_file())
        say_left_out(left_out, path)
        if not found:
            raise InputError(
                f"Expected argument `paths` to name images, but got {str(path)!r}, which "
                f"{'has none (' + ', '.join(SUFFIXES) + ')' if path.is_dir() else 'is no file'}. "
                "Give files, folders or patterns, relative to the current folder."
            )
        return found
