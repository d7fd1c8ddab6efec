"""Everything public says what it is for, itself or through what it overrides."""

import importlib
import inspect
import pkgutil

import diffclf_lightning

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(diffclf_lightning.__path__, "diffclf_lightning.")
    if not module.name.endswith("__main__")
]


def public(owner):
    """Classes, functions and methods that an owner defines or overrides."""
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        if inspect.isclass(member) or inspect.isroutine(member) or isinstance(member, property):
            yield name, member


def test_every_public_name_is_documented():
    bare = []
    for module in MODULES:
        for name, member in public(module):
            if getattr(member, "__module__", None) != module.__name__:
                continue
            found = [(name, member)]
            if inspect.isclass(member):
                own = dict(public(member))
                found += [(f"{name}.{method}", getattr(member, method)) for method in own]
            bare += [f"{module.__name__}.{n}" for n, thing in found if not inspect.getdoc(thing)]
    assert len(MODULES) > 50
    assert not bare, bare
