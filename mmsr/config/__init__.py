"""Frozen typed configs: one tree describes one training run completely.

Every class rejects unknown keys and wrong types; `to_yaml` and `from_yaml` round-trip without loss.
The parts of the tree are in modules of their own, with names that this module exports again:
`mmsr.config.graph`, `mmsr.config.mmsr`, `mmsr.config.models` and `mmsr.config.training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from mmsr.config.base import Frozen, ModelConfig
from mmsr.config.graph import GraphConfig, MissingConfig, ModalityDropoutConfig
from mmsr.config.keys import explain, leaves, parse_settings, set_key
from mmsr.config.loss import LOSS_NAMES
from mmsr.config.mmsr import (
    AGGREGATOR_NAMES,
    AggregatorConfig,
    DualAttentionConfig,
    GcnConfig,
    MmsrConfig,
)
from mmsr.config.models import named
from mmsr.config.older import as_meant
from mmsr.config.plain_yaml import LONGEST, read_plain, write_plain
from mmsr.config.training import METRICS, TOP_K, VALID_METRICS, Seen, TrainingConfig, minimised
from mmsr.errors import UserError, reason_of
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
    "MmsrConfig",
    "ModalityDropoutConfig",
    "ModelConfig",
    "Recorded",
    "Seen",
    "TrainingConfig",
    "minimised",
    "parse_settings",
    "read_export",
    "read_yaml",
]


M = TypeVar("M", bound=ModelConfig)


class Config(Frozen):
    """Everything that decides the outcome of one training run, except the data."""

    dataset: str
    """Name of the prepared data set."""
    seed: int = Field(default=2023, ge=0, lt=2**32)
    """Seed of the initial weights, the order of batches and dropout."""
    graph: GraphConfig = GraphConfig()
    """How histories and modality features become graphs."""
    model: SerializeAsAny[ModelConfig] = MmsrConfig()
    """The model, by `name`."""
    training: TrainingConfig = TrainingConfig()
    """How the model is trained."""

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_class(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        settings, values = named(given)
        return settings.model_validate(values)

    @model_validator(mode="after")
    def _own_loss_exists(self) -> Self:
        if self.training.loss.name == "own" and not self.model.has_own_loss:
            others = ", ".join(name for name in LOSS_NAMES if name != "own")
            raise ValueError(
                f"model {self.model.name} has no loss of its own, which training.loss.name=own "
                f"asks for: choose one of {others}"
            )
        return self

    def model_as(self, kind: type[M]) -> M:
        """`model`, known to be of one class.

        Parameters
        ----------
        kind : the class.

        Raises
        ------
        TypeError : it is of another one.
        """
        if not isinstance(self.model, kind):
            raise TypeError(f"the config is of model {self.model.name!r}, not of {kind.__name__}")
        return self.model

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
        tree = dict(values)
        try:
            if isinstance(tree.get("model"), Mapping):
                tree["model"] = _model(tree["model"], source)
            return cls.model_validate(tree)
        except ValidationError as error:
            raise UserError(explain(error, source, _known)) from None

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

        Setting `model.name`, `model.aggregator.name` or `training.loss.name` to another drops the
        old one's own.

        Parameters
        ----------
        settings : new values by dotted key, e.g. ``{"graph.n_codes": 30}``.

        Raises
        ------
        UserError : an unknown key, a wrong type or a value out of range.
        """
        tree = self.to_dict()
        for key in sorted(settings, key=_names_first):
            set_key(tree, key, settings[key])
        return Config.from_dict(tree)

    def flat(self) -> dict[str, Any]:
        """All values by dotted key, e.g. for tables and run parameters."""
        return leaves(self.to_dict())


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
        raise UserError(explain(error, f"{path}: provenance", _known)) from None


def _model(given: Mapping[str, Any], source: str) -> ModelConfig:
    settings, values = named(given)

    def known(names: Mapping[str, Any]) -> Mapping[str, Any]:
        return Config(dataset="", model=settings(name=values["name"])).replace(names).flat()

    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, source, known, part="model")) from None


def _known(names: Mapping[str, Any]) -> Mapping[str, Any]:
    return Config(dataset="").replace(names).flat()


def _names_first(key: str) -> tuple[bool, int]:
    return not key.endswith(".name"), key.count(".")


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
