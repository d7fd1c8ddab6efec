"""Trees of labels: the shipped one against known facts, what is read, and what is refused."""

import json

import pytest
from timm.data import ImageNetInfo

from diffclf_lightning import InputError
from diffclf_lightning.classnames import imagenet_classes
from diffclf_lightning.shortlists.label_tree import LabelTree, Nodes

DEEP = {"wild": {"fox": None, "cats": ["lion", "tiger"]}, "pets": ["cat", "dog"]}
SYNSETS = [synset for synset, _ in imagenet_classes()]


def below(tree, name):
    """Places of the classes below the node of a name."""
    if tree.name == name:
        return sorted(SYNSETS.index(leaf) for leaf in tree.leaves())
    return next((found for child in tree.children if (found := below(child, name))), None)


def test_the_shipped_tree_is_wordnets():
    """Ranges of classes that are well known: ImageNet lists its animals by kind."""
    tree = LabelTree.of("imagenet")
    assert sorted(tree.leaves()) == SYNSETS
    assert below(tree, "dog") == list(range(151, 269))
    assert below(tree, "snake") == list(range(52, 69))
    assert below(tree, "feline") == list(range(281, 294))
    assert below(tree, "game bird") == list(range(80, 87))  # "game" comes before gallinaceous birds
    assert below(tree, "bird") == [*range(7, 25), *range(87, 101), *range(127, 147)]


@pytest.mark.parametrize("name", ["ours", "timm's"])
def test_leaves_that_are_synsets_are_found_by_name(name):
    if name == "ours":
        names = [name for _, name in imagenet_classes()]
    else:
        info = ImageNetInfo("imagenet-1k")
        names = [info.index_to_description(i) for i in range(1000)]
    assert LabelTree.of("imagenet").leaves_of(names) == SYNSETS
    assert LabelTree.of({"fish": SYNSETS[:2], "others": ["cat"]}).leaves_of(
        ["Goldfish", "cat", "tench"]
    ) == [SYNSETS[1], "cat", SYNSETS[0]]


def test_a_tree_from_a_file_is_that_of_its_mapping(tmp_path):
    file = tmp_path / "tree.yaml"
    file.write_text(json.dumps(DEEP))
    tree = LabelTree.of(DEEP)
    assert LabelTree.of(file) == tree == LabelTree.of(str(file))
    assert list(tree.leaves()) == ["fox", "lion", "tiger", "cat", "dog"]
    assert LabelTree.of(file).digest() == tree.digest() != LabelTree.of({"a": ["fox"]}).digest()
    assert list(LabelTree.of({"digits": [0, 1]}).leaves()) == ["0", "1"]


def test_a_part_of_a_tree_has_no_node_with_a_single_child():
    part = LabelTree.of(DEEP).over({"lion", "tiger", "dog"})
    assert [child.name for child in part.children] == ["cats", "dog"]
    assert [child.name for child in part.children[0].children] == ["lion", "tiger"]
    assert LabelTree.of(DEEP).over({"dog"}) == LabelTree("dog")


def test_nodes_as_tensors():
    leaves = ["dog", "tiger", "fox", "lion", "cat", "dog"]
    nodes = Nodes.of(LabelTree.of(DEEP), leaves)
    assert nodes.names == ["wild", "fox", "cats", "lion", "tiger", "pets", "cat", "dog"]
    assert [nodes.names[i] for i in nodes.leaf] == leaves
    assert [nodes.names[i] for i in nodes.inner.nonzero()[:, 0]] == ["wild", "cats", "pets"]
    assert [nodes.names[i] for i in nodes.top.nonzero()[:, 0]] == ["wild", "pets"]
    above = [nodes.names[i] for i, top in zip(nodes.parent, nodes.top, strict=True) if not top]
    assert above == ["wild", "wild", "cats", "cats", "pets", "pets"]
    assert nodes.members.sum(dim=1).tolist() == [3, 1, 2, 1, 1, 3, 1, 2]
    assert nodes.met_at_most(1) == 2 + 2 + 2
    assert nodes.met_at_most(2) == 2 + 4 + 2


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"pets": ["cat", "dog"], "wild": {"cats": ["cat"]}}, "each leaf .* once, but got 'cat' 2"),
        ({}, "form .* but got {}"),
        ({"pets": []}, r"form .* but got \[\]"),
        ({"pets": [["cat"]]}, r"form .* but got \['cat'\]"),
        ({"pets": 3}, "form .* but got 3"),
        ("nowhere.yaml", "or one of imagenet, but got 'nowhere.yaml'"),
    ],
)
def test_what_is_no_tree_is_refused(tree, said):
    with pytest.raises(InputError, match=said):
        LabelTree.of(tree)


def test_a_class_that_is_no_leaf_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"`tree` knows, but got 'lyon' \(nearest: 'lion'\).*tree"):
        LabelTree.of(DEEP).leaves_of(["cat", "lyon"])
