"""Imports every module of the package where none of the extras is installed."""

import importlib
import pkgutil
import sys
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, MetadataPathFinder

EXTRAS = {
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "open-clip-torch": "open_clip",
    "peft": "peft",
    "protobuf": "google",
    "scikit-learn": "sklearn",
    "sentencepiece": "sentencepiece",
    "shtab": "shtab",
}
"""What the extras install, and as what it is imported."""


class WithoutExtras(PathFinder):
    """Finds what is on the path, but for the extras; other packages then do without them too."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        hidden = fullname.partition(".")[0] in EXTRAS.values()
        return None if hidden else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, context=None):
        found = MetadataPathFinder.find_distributions(context or DistributionFinder.Context())
        return (one for one in found if one.name.lower().replace("_", "-") not in EXTRAS)


def main() -> None:
    """Import them, and print how many there are and from where."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras
    import diffclf_lightning

    modules = pkgutil.walk_packages(diffclf_lightning.__path__, "diffclf_lightning.")
    names = [module.name for module in modules if not module.name.endswith("__main__")]
    for name in names:
        importlib.import_module(name)
    print(f"{len(names)} modules imported from {diffclf_lightning.__path__[0]}")


if __name__ == "__main__":
    main()
