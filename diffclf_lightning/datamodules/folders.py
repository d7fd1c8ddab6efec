"""ImageFolders: several folders of the same classes, each a test set of its own."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from lightning.pytorch.trainer.states import TrainerFn

from diffclf_lightning.classnames import with_nearest
from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.folder import ImageFolder
from diffclf_lightning.errors import InputError


class ImageFolders(ImageFolder):
    """Several folders of class folders as named test sets, for instance clean and shifted images.

    The first is an :class:`ImageFolder` for ``fit`` and ``validate``; all are test sets. Classes of
    the others are matched with those of the first by the names of their folders. Candidates of a
    set with fewer classes are restricted to these. With ``test_share`` the images of the same
    names are held out in every folder.

    Args:
        roots: Folder of each test set, by name: ``{"clean": "a", "rotated": "b"}``; or a list of
            folders, whose sets have their names.
        classnames: Class names in the order of the sorted folders of the first. Defaults to None:
            the folder names, with spaces for underscores.
        **kwargs: ``metric``, ``val_share``, ``test_share``, ``seed``, ``augment`` and
            ``background`` of :class:`OwnImages`; ``batch_size``, ``num_workers`` and
            ``on_corrupt`` of :class:`ImageDataModule`.

    Raises:
        InputError: If there are no folders.
    """

    def __init__(
        self,
        roots: Mapping[str, str | Path] | Sequence[str | Path],
        classnames: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not roots:
            raise InputError(
                'Expected argument `roots` to name folders, as {"clean": "a", "rotated": "b"}, but '
                "got none."
            )
        (name, root), *others = _named(roots).items()
        super().__init__(root, name, classnames, **kwargs)
        self.others = [ImageFolder(root, name, **kwargs) for name, root in others]
        for folder in (self, *self.others):
            folder.argument = f"roots.{folder.name}"

    def setup(self, stage: str = "test") -> None:
        if TrainerFn(stage) in (TrainerFn.TESTING, TrainerFn.PREDICTING):
            for other in self.others:
                other.setup(stage)
        super().setup(stage)

    def test_sets(self) -> dict[str, ImageSet]:
        return super().test_sets() | {other.name: self._matched(other) for other in self.others}

    def _matched(self, other: ImageFolder) -> ImageSet:
        """The set of another folder, with the labels of the first."""
        label_of = {folder: label for label, folder in enumerate(self.folders)}
        unknown = [name for name in other.folders if name not in label_of]
        if unknown:
            raise InputError(
                f"Expected the class folders of {other.name!r} ({other.root}) to be among the "
                f"{len(label_of)} of {self.name!r}, but got {with_nearest(unknown, label_of)}. "
                "Rename the folders, or name the set with all classes first."
            )
        if ("test", other.name) not in self._sets:
            ours = [label_of[name] for name in other.folders]
            [found] = other.test_sets().values()
            matched = copy(found)
            matched.labels = [ours[label] for label in found.labels]
            matched.candidate_labels = None if len(ours) == len(label_of) else tuple(ours)
            self._sets["test", other.name] = matched
        return self._sets["test", other.name]


def _named(roots: Mapping[str, str | Path] | Sequence[str | Path]) -> dict[str, str | Path]:
    """Folders by the names of their sets."""
    if isinstance(roots, Mapping):
        return dict(roots)
    named = {Path(root).name: root for root in roots}
    if len(named) < len(roots):
        raise InputError(
            f"Expected argument `roots` to list folders of different names, but got {list(roots)}. "
            'Give names of your own: {"clean": "a/test", "rotated": "b/test"}.'
        )
    return named
