"""What makes two runs the same study: trials under another definition cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.config import Config

TEST_SELECTED = "test-selected"
"""Prefix of what was chosen on test, in place of `valid`: `mmsr reproduce --select-on test`."""


class Definition(BaseModel):
    """All that a study's trials have in common."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    dataset_hash: str
    protocol: str
    objective: str
    against: tuple[str, ...] = ()
    """Further objectives, which the first one is weighed against."""
    pruner: str
    space: dict[str, str]
    config: dict[str, Any]
    """Values of the config that the study does not vary, by dotted key."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, that of the best epoch first."""
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
    ) -> Definition:
        """Definition from its parts; the number of threads follows the machine and is left out."""
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
        )

    def difference(self, now: Definition) -> str | None:
        """The first thing that is not as it was, in words; None where all is."""
        for what in ("dataset", "dataset_hash", "protocol", "objective", "against", "pruner"):
            then_value, now_value = getattr(self, what), getattr(now, what)
            if then_value != now_value:
                return f"{what} was {_short(then_value)} and is {_short(now_value)}"
        for key, dimension in now.space.items():
            if key not in self.space and key in self.config:
                return (
                    f"space has {key} ({_short(dimension)}), and had it not (--set "
                    f"{key}={self.config[key]} leaves it as it was)"
                )
        # Config keys that have come up since the study was made stood for their defaults then.
        then = {**{k: v for k, v in _defaults().items() if k in now.config}, **self.config}
        return _difference("space", self.space, now.space) or _difference(
            "config", then, now.config
        )


def _defaults() -> dict[str, Any]:
    return Config(dataset="").flat()


def _difference(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    for key in [*then, *(key for key in now if key not in then)]:
        if key not in now:
            return f"{what} had {key} ({_short(then[key])}), and has it no more"
        if key not in then:
            return f"{what} has {key} ({_short(now[key])}), and had it not"
        if then[key] != now[key]:
            return f"{what}: {key} was {_short(then[key])} and is {_short(now[key])}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
