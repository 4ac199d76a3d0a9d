"""The definition of a study: trials under another definition cannot be compared with its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config

TEST_SELECTED = "test-selected"
"""Replaces `valid` in names of metrics that chose epochs on test (`mmsr reproduce`)."""


TRAINER = "mmsr.training:train"
"""Import path of the training generator of trials, unless a study names another."""


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
    trainer: str = TRAINER
    """Import path of the trials' training generator."""

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
            trainer=trainer,
        )

    def difference(self, now: Definition) -> str | None:
        """The first difference to the definition `now`, in words; None if there is none."""
        parts = ("dataset", "dataset_hash", "protocol", "objective", "against", "pruner", "trainer")
        for what in parts:
            then_value, now_value = getattr(self, what), getattr(now, what)
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
        return _difference("space", self.space, now.space) or _difference(
            "config", then, now.config
        )


def _defaults() -> dict[str, Any]:
    return Config(dataset="").flat()


def _difference(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    for key in [*then, *(key for key in now if key not in then)]:
        if key not in now:
            return f"{key} ({_short(then[key])}) is no longer in the {what}"
        if key not in then:
            return f"{key} ({_short(now[key])}) is new in the {what}"
        if then[key] != now[key]:
            return f"{what}: {key} was {_short(then[key])} and is {_short(now[key])}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
