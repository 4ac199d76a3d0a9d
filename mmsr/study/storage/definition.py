"""The definition of a study: trials under another definition cannot be compared with its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config
from mmsr.older_configs import BEFORE, RENAMED

MEANING = 2
"""What names and keys of aggregators mean now; 1 is what they meant before `older_configs`."""
TEST_SELECTED = "test-selected"
"""Replaces `valid` in names of metrics that chose epochs on test (`mmsr reproduce`)."""


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

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives; the first one chooses the best epochs."""
        return (self.objective, *self.against)

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

    def difference(self, now: Definition) -> str | None:
        """The first difference to the definition `now`, in words; None if there is none."""
        parts = ("dataset", "dataset_hash", "protocol", "objective", "against", "pruner", "trainer")
        for what in parts:
            then_value, now_value = getattr(self, what), getattr(now, what)
            if what == "trainer" and None in (then_value, now_value):
                continue
            if then_value != now_value:
                what = {"dataset_hash": "content of the data set"}.get(what, what)
                return f"{what} was {_short(then_value)} and is {_short(now_value)}"
        for key, dimension in now.space.items():
            if key not in self.space and key in self.config:
                return (
                    f"{key} ({_short(dimension)}) is new in the space (--set "
                    f"{key}={self.config[key]} keeps it fixed as before)"
                )
        # Config keys that were added to mmsr since the study was made had their defaults then.
        then = {**{k: v for k, v in _defaults().items() if k in now.config}, **self.config}
        if self.meaning < now.meaning:
            if (change := _other_aggregator(self, now)) is not None:
                return change
            then |= {key: now.config[key] for _, key, _ in _ADDED if key in now.config}
            if then.get(_NAME) in RENAMED:
                then[_NAME] = RENAMED[then[_NAME]]
        return _difference("space", self.space, now.space) or _difference(
            "config", then, now.config
        )


def _defaults() -> dict[str, Any]:
    return Config(dataset="").flat()


_NAME = "model.aggregator.name"
_ADDED = [
    (aggregator, f"model.aggregator.{key}", value)
    for aggregator, keys in BEFORE.items()
    for key, value in keys.items()
]
"""Keys that aggregators got since, with the value that makes them what they were."""


def _other_aggregator(then: Definition, now: Definition) -> str | None:
    """Which aggregator of an older study is another one now, and how to keep the study."""
    fixed = then.config.get(_NAME)
    varied = [option.split()[0] for option in then.space.get(_NAME, "").split(" | ") if option]
    for old, new in RENAMED.items():
        what = f"{old} is another model now, and what it was is called {new}"
        if fixed == old and now.config.get(_NAME) == old:
            return f"{_NAME}: {what} (--set {_NAME}={new} keeps the study as it was)"
        if old in varied:
            return f"{_NAME} in the space: {what}; the study cannot go on"
    for aggregator, key, value in _ADDED:
        if aggregator not in (fixed, *varied) or key in then.config or key in then.space:
            continue
        keep = f"--set {key}={value} keeps the study as it was"
        if key in now.config:
            if now.config[key] != value:
                return f"config: {key} was {value} and is {_short(now.config[key])} ({keep})"
        elif key in now.space and aggregator in (fixed, _defaults()[_NAME]):
            return f"{key} ({_short(now.space[key])}) is new in the space ({keep})"
        elif aggregator in varied:
            return (
                f"{_NAME} in the space: {aggregator} had {key}={value}, which cannot be set beside "
                "other aggregators; the study cannot go on"
            )
    return None


def _difference(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    for key in [*then, *(key for key in now if key not in then)]:
        if key not in now:
            return f"{key} ({_short(then[key])}) is no longer in the {what}"
        if key not in then:
            return f"{key} ({_short(now[key])}) is new in the {what}"
        if then[key] != now[key]:
            keep = f" (--set {key}={then[key]} keeps it as before)" if what == "config" else ""
            return f"{what}: {key} was {_short(then[key])} and is {_short(now[key])}{keep}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
