"""What a sweep chooses among: models, which are configurations, and data.

A model is named by the name or the file of a configuration, or by a glob of either; data by a data
module, or by a configuration whose ``data`` is taken. Either may be a mapping instead, with a
``name`` and flags of ``diffclf test`` without their dashes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diffclf_lightning.configurations import find_config, matching_configs, shipped_configs
from diffclf_lightning.errors import InputError

Entry = str | Mapping[str, Any]
TRAINING = "DenoiserTraining"
OWN = ("name", "config")
"""Keys of an entry that are no flags."""


@dataclass(frozen=True)
class Choice:
    """A model or data of a sweep.

    Args:
        name: What it is called, in names of folders.
        config: The file of its configuration, where it has one.
        flags: Flags of ``diffclf test``.
    """

    name: str
    config: Path | None = None
    flags: tuple[str, ...] = ()


def models(entries: Iterable[Entry]) -> list[Choice]:
    """The models that entries name; a glob leaves out the configurations of training.

    Args:
        entries: The entries.

    Raises:
        InputError: If an entry names no configuration, or one of training.
    """
    found: list[Choice] = []
    for entry in entries:
        given = _mapping(entry, "configs")
        pattern = given.get("config")
        if not isinstance(pattern, str):
            raise InputError(
                f"Expected each of `configs` to be a configuration or to have `config`, but got "
                f"{entry!r}. Name one of {', '.join(shipped_configs())}, or a file."
            )
        names = [pattern]
        if set(pattern) & set("*?["):
            names = [
                name for name in matching_configs(pattern) if not _trains(Path(find_config(name)))
            ]
            if not names:
                raise InputError(
                    f"Expected --configs {pattern!r} to match configurations of `diffclf test`, "
                    f"but it matches none of {', '.join(shipped_configs())}, and no file."
                )
        elif _trains(Path(find_config(pattern))):
            raise InputError(
                f"Expected configurations of `diffclf test`, but got {pattern!r}, which trains. "
                "Train with `diffclf fit`, and name a configuration that tests what it gave."
            )
        if len(names) > 1 and "name" in given:
            raise InputError(
                f"Expected one configuration for the name {given['name']!r}, but {pattern!r} "
                f"matches {len(names)}. Leave out `name`."
            )
        found += [
            Choice(str(given.get("name", _short(name))), Path(find_config(name)), _flags(given))
            for name in names
        ]
    return found


def sets(entries: Iterable[Entry]) -> list[Choice]:
    """The data that entries name.

    Args:
        entries: The entries.

    Raises:
        InputError: If an entry names neither a data module nor a configuration with ``data``.
    """
    found: list[Choice] = []
    for entry in entries:
        given = dict(_mapping(entry, "data"))
        named = given.get("config")
        name = _short(str(given.get("name", named or given.get("data"))))
        config = None
        if named is not None and not _is_data_module(str(named)):
            config = Path(find_config(str(named)))
            if _section(_mapping_node(config), "data") is None:
                raise InputError(
                    f"Expected the configuration {str(named)!r} to have `data`, but it has none. "
                    "Name a data module, or a configuration with one."
                )
        elif named is not None:
            given["data"] = named
        elif "data" not in given:
            raise InputError(
                f"Expected each of `data` to be a data module or configuration, or to have `data` "
                f"or `config`, but got {entry!r}."
            )
        found.append(Choice(name, config, _data_flags(given)))
    return found


def composed(model: Choice, data: Choice | None) -> str:
    """Configuration of a model, with the data of a set in place of its own.

    It is put together of YAML nodes, so that every value stays as it was written.

    Args:
        model: The model.
        data: The set. Defaults to None: the model's own data.

    Returns:
        The text.
    """
    node = _mapping_node(model.config)
    if data is not None:
        node.value = [(key, value) for key, value in node.value if key.value != "data"]
        section = None if data.config is None else _section(_mapping_node(data.config), "data")
        if section is not None:
            node.value.append((yaml.ScalarNode("tag:yaml.org,2002:str", "data"), section))
    text: str = yaml.serialize(node)
    return text


def flag(name: str, value: Any) -> str:
    """A flag of the command line.

    Args:
        name: Its name without dashes.
        value: A string, which is taken as it is, or any other plain value.
    """
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def _flags(given: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(flag(name, value) for name, value in given.items() if name not in OWN)


def _data_flags(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Flags, that of the data module first, by the path of its class."""
    from diffclf_lightning import datamodules  # slow to import

    module = given.get("data")
    if isinstance(module, str):
        of_package = module in datamodules.__all__
        module = f"{datamodules.__name__}.{module}" if of_package else module
    own = {} if module is None else {"data": module}
    return _flags({**own, **{name: v for name, v in given.items() if name != "data"}})


def _mapping(entry: Any, where: str) -> Mapping[str, Any]:
    if isinstance(entry, str):
        return {"config": entry}
    if not isinstance(entry, Mapping):
        raise InputError(
            f"Expected the entries of `{where}` to be names or mappings of flags, but got "
            f"{entry!r}."
        )
    return entry


def _is_data_module(name: str) -> bool:
    from diffclf_lightning import datamodules  # slow to import

    if name in datamodules.__all__:
        return True
    is_path = "." in name and not Path(name).exists() and name.replace(".", "").isidentifier()
    if is_path or name in shipped_configs() or Path(name).is_file():
        return is_path
    raise InputError(
        f"Expected --data to be a data module ({', '.join(datamodules.__all__)}), the path of a "
        f"class, or a configuration (a file or one of {', '.join(shipped_configs())}), but got "
        f"{name!r}."
    )


def _trains(config: Path) -> bool:
    model = _section(_mapping_node(config), "model")
    kind = None if model is None else _section(model, "class_path")
    return kind is not None and str(kind.value).rpartition(".")[2] == TRAINING


def _mapping_node(config: Path | None) -> yaml.MappingNode:
    node = None if config is None else _composed(config)
    if not isinstance(node, yaml.MappingNode):
        raise InputError(
            f"Expected the configuration {config} to be a YAML mapping, but it is none."
        )
    return node


def _composed(config: Path) -> yaml.Node | None:
    try:
        return yaml.compose(config.read_text(), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(
            f"Expected {config} to be YAML, but got: {' '.join(str(error).split())}"
        ) from error


def _section(node: yaml.Node, name: str) -> yaml.Node | None:
    """The value of a key; None where there is none."""
    pairs: Sequence[tuple[yaml.Node, yaml.Node]] = (
        node.value if isinstance(node, yaml.MappingNode) else ()
    )
    return next((value for key, value in pairs if key.value == name), None)


def _short(name: str) -> str:
    """A name for folders: that of a file or class alone, a shipped one with its folder."""
    if name in shipped_configs():
        return name.replace("/", "-")
    path = Path(name)
    return path.stem if path.suffix in (".yaml", ".yml") else name.rpartition(".")[2]
