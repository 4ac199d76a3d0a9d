"""`Frozen`, the base of all configs, and `ModelConfig`, the base of all models' configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from mmsr.dimensions.base import Dimension
from mmsr.errors import shown
from mmsr.numbers import LARGEST


class Frozen(BaseModel):
    """Base of all configs: immutable; rejects unknown keys, NaN and infinite numbers.

    Nothing is converted: a whole number is no text, no truth value, and not 64.0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @model_validator(mode="after")
    def _whole_numbers_are_exact(self) -> Self:
        for name, value in self:
            numbers = value.values() if isinstance(value, dict) else (value,)
            if any(isinstance(one, int) and one > LARGEST for one in numbers):
                raise ValueError(f"{name}={shown(value)} is too large: give at most {LARGEST}")
        return self


class ModelConfig(Frozen):
    """Settings of one model: the keys under `model`.

    A model's own class gives `name` its default, adds the model's knobs, and says what a study of
    it varies and tries first.
    """

    modalities_as: ClassVar[Literal["codes", "features"] | None] = None
    """What the model knows of modalities: the codes of items, or their feature vectors; None for a
    model of ids alone."""
    needs_modalities: ClassVar[bool] = False
    """Whether the model is defined only where items have some modality."""
    has_own_loss: ClassVar[bool] = False
    """Whether the model's class has `own_loss`, which `training.loss.name=own` asks for."""

    name: str = ""
    """Which model: a name of `mmsr model list`, or an import path such as `shop.models:Markov`."""

    @field_validator("*", mode="before")
    @classmethod
    def _lists_as_tuples(cls, given: Any, info: ValidationInfo) -> Any:
        """Lists, as YAML and JSON have them, for knobs that are tuples."""
        kind = cls.model_fields[info.field_name or ""].annotation
        return tuple(given) if isinstance(given, list) and get_origin(kind) is tuple else given

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """The search space of a study that declares none, by config key."""
        return {}

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """Settings that a study tries first, as far as its space has them; the authors' first."""
        return ()


def check_heads(heads_key: str, heads: int, width_key: str, width: int) -> None:
    """Check that attention heads can share a width in equal parts.

    Parameters
    ----------
    heads_key, width_key : the config keys, for the error.
    heads, width : their values.

    Raises
    ------
    ValueError : the heads do not divide the width.
    """
    if width % heads:
        raise ValueError(
            f"{heads_key}={heads} does not divide {width_key}={width}: "
            "the heads share the width in equal parts; choose a divisor"
        )
