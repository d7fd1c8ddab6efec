r"""Writes the tree of ImageNet's 1000 classes that the package ships, from WordNet 3.0.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python benchmarks/imagenet_tree.py wordnet/usr/share/wordnet/data.noun

A synset's parent is its first hypernym, as WordNet lists them. What has a single child is left
out, and a node is called by its first word, or by all where siblings share that.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml

from diffclf_lightning.classnames import imagenet_classes
from diffclf_lightning.shortlists.label_tree import IMAGENET

HEAD = """\
The 1000 classes of ILSVRC 2012 by WordNet's hypernyms: benchmarks/imagenet_tree.py makes it of
WordNet 3.0 (data.noun; https://wordnet.princeton.edu). Of several hypernyms of a synset the first
is taken, and synsets with a single child here are left out. The licence of WordNet:
"""
HYPERNYMS = "@", "@i"


def read(file: Path) -> tuple[str, dict[str, list[str]], dict[str, str]]:
    """The licence, words by synset, and first hypernym by synset (format: man 5 wndb)."""
    licence, words, parent = [], {}, {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            licence.append(line[2:].partition(" ")[2].rstrip())
            continue
        fields = line.split(" | ")[0].split()
        synset, count = "n" + fields[0], int(fields[3], 16)
        words[synset] = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        above = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in HYPERNYMS]
        if above:
            parent[synset] = "n" + above[0]
    return "\n".join(licence).strip(), words, parent


def tree(words: dict[str, list[str]], parent: dict[str, str]) -> Any:
    """The tree as mappings of mappings, and of lists where all children are classes."""
    children: dict[str, set[str]] = defaultdict(set)
    for synset, _ in imagenet_classes():
        while (above := parent.get(synset)) is not None:
            children[above].add(synset)
            synset = above
    root = synset

    def forked(node: str) -> str:
        while len(children[node]) == 1:
            (node,) = children[node]
        return node

    def below(node: str) -> Any:
        nodes = sorted(map(forked, children[node]))
        if not any(children[one] for one in nodes):
            return nodes
        shared = Counter(words[one][0] for one in nodes if children[one])
        named = {one: words[one][0] for one in nodes if children[one]}
        named = {o: ", ".join(words[o]) if shared[name] > 1 else name for o, name in named.items()}
        assert len(set(named.values())) == len(named)
        return {named.get(one, one): below(one) if children[one] else None for one in nodes}

    return below(forked(root))


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="data.noun of WordNet 3.0")
    licence, words, parent = read(parser.parse_args().file)
    head = "".join(f"# {line}".rstrip() + "\n" for line in f"{HEAD}\n{licence}".splitlines())
    made = yaml.safe_dump(
        tree(words, parent), indent=1, width=108, sort_keys=False, default_flow_style=None
    )
    IMAGENET.write_text(head + made.replace(": null", ":"), encoding="utf-8")
    print(f"{IMAGENET}: {IMAGENET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
