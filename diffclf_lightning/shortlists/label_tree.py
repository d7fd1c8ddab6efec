"""LabelTree: class names at the leaves, and what they have in common above."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from diffclf_lightning.classnames import class_ids, imagenet_classes, is_imagenet
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

IMAGENET = Path(__file__).parent / "data" / "imagenet.yaml"
SHIPPED = {"imagenet": IMAGENET}
"""Trees that the package carries, by name."""
FORM = "{name: {name: [leaf, leaf], name: [leaf, leaf]}, name: [leaf, leaf]}"


@dataclass(frozen=True)
class LabelTree:
    """A node with all that is below it; a leaf has nothing below.

    Args:
        name: What the node is called.
        children: The nodes right below.

    Example:
        >>> tree = LabelTree.of({"pets": ["cat", "dog"], "wild": ["fox"]})
        >>> [child.name for child in tree.over(["cat", "fox"]).children]
        ['cat', 'fox']
    """

    name: str
    children: "tuple[LabelTree, ...]" = ()

    @classmethod
    def of(cls, given: str | Path | Mapping[str, Any]) -> "LabelTree":
        """The tree that an argument ``tree`` means.

        Args:
            given: A mapping ``{name: {name: [leaf, ...]}}`` of any depth, a YAML file with one, or
                the name of a tree that the package carries: ``imagenet``. Where nodes and leaves
                stand side by side, a leaf is ``leaf: null``.

        Returns:
            Its root, which has no name.

        Raises:
            InputError: If it is no tree, or a leaf stands twice.
        """
        written = given if isinstance(given, Mapping) else _read(given)
        tree = cls("", tuple(_nodes(written)))
        (leaf, times), *_ = Counter(tree.leaves()).most_common(1)
        if times > 1:
            raise InputError(
                f"Expected each leaf of argument `tree` once, but got {leaf!r} {times} times. "
                "Leave it in one place."
            )
        return tree

    def leaves(self) -> Iterator[str]:
        """Names of the leaves, from left to right."""
        if not self.children:
            yield self.name
        for child in self.children:
            yield from child.leaves()

    def over(self, leaves: Collection[str]) -> "LabelTree":
        """The tree of some of its leaves, without nodes that have a single child."""
        kept = [c.over(leaves) for c in self.children if any(leaf in leaves for leaf in c.leaves())]
        return kept[0] if len(kept) == 1 else LabelTree(self.name, tuple(kept))

    def leaves_of(self, classnames: Sequence[str]) -> list[str]:
        """The leaf that each class name means, as :func:`class_ids` matches names.

        Leaves that are synsets of ImageNet's classes (``n01440764``) stand for their names too, and
        a model's own wording of all 1000 for the synsets in their order.

        Raises:
            InputError: If a name means no leaf, several, or the same as another.
        """
        synsets = dict(imagenet_classes())
        leaves = sorted(self.leaves())  # which is the order of ImageNet's classes
        known = [f"{leaf}, {synsets[leaf]}" if leaf in synsets else leaf for leaf in leaves]
        try:
            ids = class_ids(classnames, known, "argument `tree`", "add them to the tree")
        except InputError:
            if not is_imagenet(classnames) or [*synsets] == [*classnames]:
                raise
            return self.leaves_of([*synsets])
        return [leaves[i] for i in ids]

    def digest(self) -> str:
        """A short name for the tree, hexadecimal."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Nodes:
    """The nodes of a tree but for its root, as tensors.

    Args:
        names: What they are called.
        parent: Node above each, int64, shape ``(nodes,)``; of those at the top, any.
        top: Whether they stand right below the root, bool, shape ``(nodes,)``.
        inner: Whether there is anything below, bool, shape ``(nodes,)``.
        members: 1 for candidates at or below a node, float32, shape ``(nodes, candidates)``.
        leaf: Leaf of each candidate, int64, shape ``(candidates,)``.
    """

    names: Sequence[str]
    parent: Tensor
    top: Tensor
    inner: Tensor
    members: Tensor
    leaf: Tensor

    @classmethod
    def of(cls, tree: LabelTree, leaves: Sequence[str]) -> "Nodes":
        """The nodes of a tree.

        Args:
            tree: The tree; one that is a leaf is the only node.
            leaves: Leaf of each candidate.
        """
        found: list[LabelTree] = []
        above: list[int] = []

        def visit(node: LabelTree, parent: int) -> None:
            place = len(found)
            found.append(node)
            above.append(parent)
            for child in node.children:
                visit(child, place)

        for node in tree.children or (tree,):
            visit(node, -1)
        members = torch.tensor(
            [[leaf in below for leaf in leaves] for below in [{*n.leaves()} for n in found]]
        )
        inner = torch.tensor([bool(node.children) for node in found])
        parent = torch.tensor(above)
        leaf = (members & ~inner[:, None]).int().argmax(dim=0)
        names = [node.name for node in found]
        return cls(names, parent.clamp(min=0), parent < 0, inner, members.float(), leaf)

    def to(self, device: torch.device) -> "Nodes":
        """The same on a device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Nodes(self.names, **moved)

    def met_at_most(self, width: int) -> int:
        """How many are met where ``width`` inner nodes of each level go on, at most."""
        total, level = int(self.top.sum()), self.top
        while (inner := level & self.inner).any():
            below = ~self.top & level[self.parent]
            children = torch.bincount(self.parent[below], minlength=len(below))[inner]
            total += int(children.sort(descending=True).values[:width].sum())
            level = below
        return total


def _read(given: str | Path) -> Any:
    file = SHIPPED.get(str(given), path_of(given))
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"Expected argument `tree` to be a YAML file of the form {FORM}, or one of "
            f"{', '.join(SHIPPED)}, but got {str(given)!r} ({type(error).__name__}: "
            f"{' '.join(str(error).split())})."
        ) from error


def _nodes(written: Any) -> Iterator[LabelTree]:
    """Nodes that are written side by side."""
    if isinstance(written, Mapping) and written:
        for name, below in written.items():
            yield LabelTree(str(name), () if below is None else tuple(_nodes(below)))
    elif isinstance(written, list | tuple) and written:
        for leaf in written:
            if not isinstance(leaf, str | int):
                raise _no_tree(leaf)
            yield LabelTree(str(leaf))
    else:
        raise _no_tree(written)


def _no_tree(part: Any) -> InputError:
    return InputError(
        f"Expected argument `tree` to have the form {FORM}, but got {part!r} where nodes or leaves "
        "belong."
    )
