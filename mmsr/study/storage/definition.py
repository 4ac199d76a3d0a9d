"""The definition of a study: trials under another definition cannot be compared with its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.config.models import DEFAULT
from mmsr.config.older import BEFORE, FITTED_ON, FITTED_ON_BEFORE, RENAMED, may_read_codes
from mmsr.study.storage.attributes import parameter

MEANING = 2
"""What names and keys of aggregators mean now; 1 is what they meant before `mmsr.config.older`."""
TEST_SELECTED = "test-selected"
"""Replaces `valid` in the objective of studies whose tables choose epochs on test, so that nothing
else takes them (`mmsr reproduce`); the values of their trials are validation's."""
TRAINER = "mmsr.training:train"
"""Import path of the training generator of trials, unless a study names another."""
NOT_RECORDED = "not recorded"
"""Stands for the trainer of a study that was made before definitions named it."""


class Definition(BaseModel):
    """Everything that a study's trials have in common."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    dataset_hash: str
    protocol: str
    objective: str
    against: tuple[str, ...] = ()
    """Further objectives; the study searches for the best trade-offs with the first."""
    pruner: str
    space: dict[str, str]
    config: dict[str, Any]
    """Config values that the study does not vary, by dotted key."""
    meaning: int = 1
    """What its names and keys of aggregators mean (`MEANING`); older studies do not say."""
    trainer: str | None = None
    """Import path of the trials' training generator; older studies do not say."""
    models: tuple[str, ...] = ()
    """Models of a study of several; the keys of `space` and `config` then begin with `MODEL/`."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives; the first one chooses the best epochs."""
        return (self.objective, *self.against)

    @property
    def has_own_trainer(self) -> bool:
        """Whether the trials have another trainer than mmsr's; older studies have mmsr's."""
        return self.trainer not in (None, TRAINER)

    @property
    def test_selected(self) -> bool:
        """Whether the trials' best epochs were chosen on test."""
        return self.objective.startswith(f"{TEST_SELECTED}/")

    @classmethod
    def of(
        cls,
        *,
        dataset: str,
        dataset_hash: str,
        protocol: str,
        objective: str,
        against: tuple[str, ...] = (),
        pruner: str,
        space: Mapping[str, object],
        base: Config,
        trainer: str = TRAINER,
    ) -> Definition:
        """The definition with these parts; it has no number of threads, which follows the machine.

        Parameters
        ----------
        dataset, dataset_hash, protocol : name, content hash and protocol of the data set.
        objective, against : the first objective, and the further ones.
        pruner : the pruner, in words.
        space : the search space.
        base : the config that it varies.
        trainer : import path of the training generator.
        """
        skipped = {"dataset", "training.threads", *space}
        return cls(
            dataset=dataset,
            dataset_hash=dataset_hash,
            protocol=protocol,
            objective=objective,
            against=against,
            pruner=pruner,
            space={key: str(dimension) for key, dimension in space.items()},
            config={key: value for key, value in base.flat().items() if key not in skipped},
            meaning=MEANING,
            trainer=trainer,
        )

    @classmethod
    def of_models(cls, parts: Mapping[str, Definition]) -> Definition:
        """The definition of a study of several models.

        Parameters
        ----------
        parts : the definition that a study of each model alone would have, by the model's name.
        """
        some = next(iter(parts.values()))
        return some.model_copy(
            update={
                "models": tuple(parts),
                "space": {
                    parameter(m, k): v for m, one in parts.items() for k, v in one.space.items()
                },
                "config": {
                    parameter(m, k): v for m, one in parts.items() for k, v in one.config.items()
                },
            }
        )

    def of_model(self, model: str) -> Definition:
        """The part of one of several models, as the definition of a study of that model alone.

        Parameters
        ----------
        model : one of `models`.
        """
        start = parameter(model, "")
        own = {
            field: {k.removeprefix(start): v for k, v in values.items() if k.startswith(start)}
            for field, values in (("space", self.space), ("config", self.config))
        }
        return self.model_copy(update={"models": (), **own})

    def with_models_of(self, other: Definition) -> Definition:
        """This definition with the models that only another one of the same study has.

        Parameters
        ----------
        other : the other definition.
        """
        both = {
            **{m: other.of_model(m) for m in other.models},
            **{m: self.of_model(m) for m in self.models},
        }
        return Definition.of_models(
            {m: both[m] for m in dict.fromkeys((*self.models, *other.models))}
        )

    def difference(self, now: Definition) -> str | None:
        """The first difference to the definition `now`, in words; None if there is none.

        In a study of several models, those that both definitions have are compared.
        """
        parts = ("dataset", "dataset_hash", "protocol", "objective", "against", "pruner", "trainer")
        for what in parts:
            then_value, now_value = getattr(self, what), getattr(now, what)
            if what == "trainer" and None in (then_value, now_value):
                continue
            if then_value != now_value:
                what = {"dataset_hash": "content of the data set"}.get(what, what)
                return f"{what} was {_short(then_value)} and is {_short(now_value)}"
        if self.models or now.models:
            return self._difference_of_models(now)
        hopeless, kept = _as_meant(self, now) if self.meaning < now.meaning else (None, {})
        if hopeless is not None:
            return hopeless
        # Config keys that were added to mmsr since the study was made had their defaults then.
        model = now.config.get(_MODEL)
        defaults = {key: value for key, value in _defaults(model).items() if key in now.config}
        then = {**defaults, **_fitted_before(self, now), **_in_todays_keys(self.config), **kept}
        freed = {key: now.space[key] for key in now.space if key not in self.space and key in then}
        space = {key: value for key, value in now.space.items() if key not in freed}
        config = {key: value for key, value in then.items() if key not in freed}
        names = [name for name in (_MODEL, _NAME, _LOSS) if name in then and name in now.config]
        if changed := [name for name in names if then[name] != now.config[name]]:
            lost = None  # other keys follow from the name
        else:
            lost = _lost("space", self.space, space) or _lost("config", config, now.config)
            changed = [key for key in config if config[key] != now.config.get(key)]
            if _varied(now) and _defaults()[_NAME] not in _varied(now):  # no trial has the base's
                changed = [key for key in changed if not key.startswith("model.aggregator.")]
        if lost is not None:
            return lost
        words = [f"{key} ({_short(value)}) is new in the space" for key, value in freed.items()]
        words += [_changed(key, then[key], now.config[key]) for key in changed]
        if not words:
            return None
        if len(words) > _NAMED:  # a long message loses its middle, and the remedy must not be in it
            words[_NAMED - 1 :] = [f"{len(words) - _NAMED + 1} more keys differ"]
        sets = " ".join(_set(key, then[key]) for key in (*freed, *changed))
        return f"{'; '.join(words)} ({sets} resumes it)"

    def _difference_of_models(self, now: Definition) -> str | None:
        if not (self.models and now.models):
            then, new = (", ".join(one.models) or "not given" for one in (self, now))
            return f"models= was {then} and is {new}"
        for model in now.models:
            if model in self.models and (
                found := self.of_model(model).difference(now.of_model(model))
            ):
                return f"model {model}: {found}"
        return None


def _in_todays_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    today = dict(config)
    if "training.mask_seen" in today:
        masked = today.pop("training.mask_seen")
        today["training.seen"] = "read_masked" if masked else "kept"
    return today


def _fitted_before(then: Definition, now: Definition) -> dict[str, Any]:
    """What codes were fitted on in a study that does not say."""
    known = FITTED_ON in now.config or FITTED_ON in now.space.keys() - then.space.keys()
    reads = _MODEL in now.space or may_read_codes(now.config.get(_MODEL, DEFAULT))
    return {FITTED_ON: FITTED_ON_BEFORE} if known and reads else {}


def _defaults(model: Any = None) -> dict[str, Any]:
    """All defaults of a config of one model; None stands for MMSR."""
    config = Config(dataset="")
    return (config if model is None else config.replace({_MODEL: model})).flat()


_NAME = "model.aggregator.name"
_NAMED = 2
"""Most differences that are named one by one, beside the settings that undo them all."""
_MODEL, _LOSS = "model.name", "training.loss.name"
_ADDED = [
    (aggregator, f"model.aggregator.{key}", value)
    for aggregator, keys in BEFORE.items()
    for key, value in keys.items()
]
"""Keys that aggregators got since, with the value that makes them what they were."""


def _varied(definition: Definition) -> list[str]:
    """The aggregators that the space has."""
    options = definition.space.get(_NAME, "").split(" | ")
    return [option.split()[0] for option in options if option]


def _as_meant(then: Definition, now: Definition) -> tuple[str | None, dict[str, Any]]:
    """Why an older study cannot go on; else the config values that its aggregators had."""
    fixed, varied = then.config.get(_NAME), _varied(then)
    kept: dict[str, Any] = {_NAME: RENAMED[fixed]} if fixed in RENAMED else {}
    for old, new in RENAMED.items():
        if old in varied:
            return (
                f"{_NAME} in the space: {old} is another model now, and what it was is called "
                f"{new}; the study cannot go on"
            ), {}
    for aggregator, key, value in _ADDED:
        if aggregator not in (fixed, *varied) or key in then.config or key in then.space:
            continue
        can_be_set = aggregator in (fixed, _defaults()[_NAME])
        if key in now.config or (key in now.space and can_be_set):
            kept[key] = value
        elif aggregator in varied:
            return (
                f"{_NAME} in the space: {aggregator} had {key}={value}, which cannot be set beside "
                "other aggregators; the study cannot go on"
            ), {}
    return None, kept


def _lost(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first key that only one of the two has, or a dimension that differs."""
    for key in [*then, *(key for key in now if key not in then)]:
        if key not in now:
            return f"{key} ({_short(then[key])}) is no longer in the {what}"
        if key not in then:
            return f"{key} ({_short(now[key])}) is new in the {what}"
        if what == "space" and then[key] != now[key]:
            return f"{what}: {key} was {_short(then[key])} and is {_short(now[key])}"
    return None


def _changed(key: str, then: Any, now: Any) -> str:
    if key == _NAME and RENAMED.get(now) == then:
        return f"{now} is another model now, and what it was is called {then}"
    name = key.removeprefix("model.aggregator.")
    return f"{name} was {_short(then)} and is {_short(now)}"


def _set(key: str, value: Any) -> str:
    """The option that gives a key this value, as a shell and YAML read it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"--set {shlex.quote(f'{key}={text}')}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
