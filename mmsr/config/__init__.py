"""Frozen typed configs: one tree describes one training run completely.

Every class rejects unknown keys and wrong types; `to_yaml` and `from_yaml` round-trip without loss.
The parts of the tree are in modules of their own, with names that this module exports again:
`mmsr.config.graph`, `mmsr.config.model` and `mmsr.config.training`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmsr.config.graph import GraphConfig, MissingConfig, ModalityDropoutConfig
from mmsr.config.loss import LOSS_NAMES
from mmsr.config.model import (
    AGGREGATOR_NAMES,
    AggregatorConfig,
    DualAttentionConfig,
    Frozen,
    GcnConfig,
    ModelConfig,
)
from mmsr.config.older import as_meant
from mmsr.config.plain_yaml import LONGEST, read_plain, write_plain
from mmsr.config.training import METRICS, TOP_K, VALID_METRICS, TrainingConfig
from mmsr.errors import UserError, reason_of, shown, unknown
from mmsr.numbers import has_unwritable

__all__ = [
    "AGGREGATOR_NAMES",
    "METRICS",
    "TOP_K",
    "VALID_METRICS",
    "AggregatorConfig",
    "Config",
    "DualAttentionConfig",
    "GcnConfig",
    "GraphConfig",
    "MissingConfig",
    "ModalityDropoutConfig",
    "ModelConfig",
    "Recorded",
    "TrainingConfig",
    "parse_settings",
    "read_export",
    "read_yaml",
]


_UNIONS = {"model.aggregator.name": AGGREGATOR_NAMES, "training.loss.name": LOSS_NAMES}
"""Keys that name one of several parts, each with settings of its own."""


class Config(Frozen):
    """Everything that decides the outcome of one training run, except the data."""

    dataset: str
    """Name of the prepared data set."""
    seed: int = Field(default=2023, ge=0, lt=2**32)
    """Seed of the initial weights, the order of batches and dropout."""
    graph: GraphConfig = GraphConfig()
    """How histories and modality features become graphs."""
    model: ModelConfig = ModelConfig()
    """The model."""
    training: TrainingConfig = TrainingConfig()
    """How the model is trained."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Config:
        """Make a config from a nested mapping, and check it.

        Parameters
        ----------
        values : the config tree; keys that are left out get their defaults.
        source : where the values come from, for errors.

        Raises
        ------
        UserError : an unknown key, a wrong type or a value out of range.
        """
        if has_unwritable(values):  # the error of such a value could not be shown
            raise UserError(f"{source}: a number has thousands of digits: give a smaller one")
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise UserError(_explain(error, source)) from None

    @classmethod
    def from_stored(cls, values: Mapping[str, Any], source: str = "config") -> Config:
        """Make a config from one that was stored whole, perhaps by an older mmsr.

        Parameters
        ----------
        values, source : as for `from_dict`; aggregators keep the meaning that they had.

        Raises
        ------
        UserError : see `from_dict`.
        """
        return cls.from_dict(as_meant(values), source)

    @classmethod
    def from_yaml(cls, path: Path, **overrides: Any) -> Config:
        """Read a config file: a plain config, or an exported one, which is under the key `config`.

        Parameters
        ----------
        path : YAML file.
        overrides : top-level keys that replace those of the file.

        Raises
        ------
        UserError : see `read_yaml` and `from_dict`.
        """
        return cls.from_dict({**read_yaml(path), **overrides}, source=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, all keys, fit for YAML and JSON."""
        return self.model_dump(mode="json")

    def to_yaml(self, provenance: Mapping[str, Any] | None = None) -> str:
        """YAML text that `from_yaml` reads back as an equal config.

        Parameters
        ----------
        provenance : plain values that say where the config comes from. With them, the text is an
            export, which later versions read with the meaning that its keys have now.
        """
        tree = self.to_dict()
        if provenance is not None:
            tree = {"config": tree, "provenance": dict(provenance)}
        return write_plain(tree)

    def replace(self, settings: Mapping[str, Any]) -> Config:
        """Copy the config with some values changed.

        Setting `model.aggregator.name` or `training.loss.name` to another drops the old one's own.

        Parameters
        ----------
        settings : new values by dotted key, e.g. ``{"graph.n_codes": 30}``.

        Raises
        ------
        UserError : an unknown key, a wrong type or a value out of range.
        """
        tree = self.to_dict()
        for key in sorted(settings, key=lambda key: not key.endswith(".name")):  # names first
            _set(tree, key, settings[key])
        return Config.from_dict(tree)

    def flat(self) -> dict[str, Any]:
        """All values by dotted key, e.g. for tables and run parameters."""
        return dict(_leaves(self.to_dict()))


class Recorded(BaseModel):
    """What an exported config records about the run that it comes from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_hash: str | None = None
    """Content hash of the data set; None if it was not recorded."""
    metrics: dict[str, float] = {}
    """Validation metrics of the best epoch, by name."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the config tree in a YAML file.

    Parameters
    ----------
    path : a plain config, or an exported one, which is under the key `config`.

    Raises
    ------
    UserError : the file is missing, unreadable, not YAML, or not a mapping.
    """
    tree = _read_mapping(path)
    if _is_export(tree):
        return as_meant(tree["config"])
    return tree


def read_export(path: Path) -> Recorded | None:
    """Read where an exported config comes from.

    Parameters
    ----------
    path : YAML file of a config.

    Returns
    -------
    What the file records about its run; None for a plain config.

    Raises
    ------
    UserError : see `read_yaml`; or the record is damaged.
    """
    tree = _read_mapping(path)
    if not _is_export(tree):
        return None
    try:
        return Recorded.model_validate(tree["provenance"])
    except ValidationError as error:
        raise UserError(_explain(error, f"{path}: provenance")) from None


def _is_export(tree: Mapping[str, Any]) -> bool:
    return isinstance(tree.get("config"), dict) and "provenance" in tree


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name, say
        reason = reason_of(error) if isinstance(error, OSError) else "it is not a text file"
        raise UserError(f"cannot read config file {str(path)!r}: {reason}") from None
    tree = read_plain(text, f"config file {str(path)!r}")
    if not isinstance(tree, dict):
        raise UserError(f"config file {str(path)!r} is not a mapping: write `key: value` lines")
    return tree


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `KEY=VALUE` arguments into settings for `Config.replace`; values are read as YAML.

    Parameters
    ----------
    pairs : the arguments, e.g. ``["graph.n_codes=30"]``, each key once.

    Raises
    ------
    UserError : an argument without `=`, a key that is given twice, or a value that is not YAML or
        can be read in two ways.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"--set {shown(pair)}: write KEY=VALUE, e.g. --set graph.n_codes=30")
        if key in settings:
            raise UserError(f"--set {shown(pair)}: {shown(key)} is given twice: keep one")
        settings[key] = read_plain(text, f"--set {shown(pair)}")
    return settings


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        if not isinstance(node.get(parent), dict):
            raise unknown("config key", key, dict(_leaves(tree)))
        node = node[parent]
    if leaf == "name" and isinstance(value, str) and node.get("name", value) != value:
        node.clear()
    elif leaf not in node and "name" not in node:  # with a name, the name decides which keys exist
        raise unknown("config key", key, dict(_leaves(tree)))
    node[leaf] = value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != "n_codes":
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _explain(error: ValidationError, source: str) -> str:
    """Describe the first problem of a pydantic error in one line."""
    first = error.errors(include_url=False)[0]
    tags = {*AGGREGATOR_NAMES, *LOSS_NAMES, "int", "constrained-int"}
    key = ".".join(str(part) for part in first["loc"] if str(part) not in tags)
    if first["type"] == "extra_forbidden":
        loc, unions = first["loc"], _UNIONS.items()
        named = {key: part for key, names in unions for part in loc if part in names}
        known = Config(dataset="").replace(named)
        return f"{source}: {unknown('config key', key, known.flat())}"
    if first["type"] == "missing":
        return f"{source}: {key} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    if isinstance(given, dict):
        return f"{source}: {key}: {message}"
    if first["type"] == "int_type" and isinstance(given, float) and given.is_integer():
        return f"{source}: {key}: {message}: write {given:.0f} for {given!r}"
    if first["type"] == "string_type" and isinstance(given, int | float):
        message += f": write it in quotes, on a command line \"{key}='{shown(given)}'\""
    if first["type"] == "tuple_type":
        example = given if isinstance(given, str) and len(given) < 30 else "image, text"
        message = f"Input should be a list: write [{example}]"
    return f"{source}: {key}: {message} (given: {shown(given)})"
