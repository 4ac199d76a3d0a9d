"""The dimensions of a search space: whole numbers, real numbers, options."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mmsr.numbers import is_number, is_whole

if TYPE_CHECKING:
    from optuna import Trial


class Dimension(Protocol):
    """One thing that a study may vary."""

    @property
    def when(self) -> Mapping[str, Any]:
        """Values of other keys under which the dimension exists; a tuple stands for any of them."""

    def problem(self) -> str | None:
        """What is wrong with the declaration, or None."""

    def suggest(self, trial: Trial, key: str) -> Any:
        """Ask Optuna for a value."""

    def contains(self, value: Any) -> bool:
        """Whether the value may be proposed."""

    def corners(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be valid."""

    def size(self) -> int | None:
        """Number of values; None stands for infinitely many."""

    def values(self) -> Iterator[Any]:
        """All values, in order; of a dimension that has a size."""

    def stored(self, value: Any) -> Any:
        """The value as Optuna keeps it."""


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """What is wrong with the declaration, or None."""
        if not all(is_whole(value) for value in (self.low, self.high, self.step)):
            return "low, high and step must be whole numbers"
        if self.low > self.high:
            return "low is above high"
        if self.step < 1 or (self.high - self.low) % self.step:
            return "step must be at least 1 and lead from low to high exactly"
        if self.log and (self.low < 1 or self.step != 1):
            return "log needs low ≥ 1 and no step"
        return None

    def suggest(self, trial: Trial, key: str) -> int:
        """Ask Optuna for a value."""
        return trial.suggest_int(key, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        inside = is_whole(value) and self.low <= value <= self.high
        return inside and (value - self.low) % self.step == 0

    def corners(self) -> tuple[int, int]:
        """Values that must be valid for all to be valid."""
        return self.low, self.high

    def size(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def values(self) -> Iterator[int]:
        """All values, in order."""
        return iter(range(self.low, self.high + 1, self.step))

    def stored(self, value: Any) -> Any:
        """The value as Optuna keeps it."""
        return value

    def __str__(self) -> str:
        step = f" step {self.step}" if self.step != 1 else ""
        return f"{self.low} … {self.high}{step}{' (log)' if self.log else ''}{under(self.when)}"


@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`, both included."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """What is wrong with the declaration, or None."""
        if not all(is_number(value) for value in (self.low, self.high)):
            return "low and high must be finite numbers"
        if self.low > self.high:
            return "low is above high"
        if self.step is not None:
            if self.log:
                return "log and step exclude each other"
            if not is_number(self.step) or self.step <= 0:
                return "step must be a number above 0"
            steps = (self.high - self.low) / self.step
            if not math.isclose(steps, round(steps), abs_tol=1e-6):
                return "step must lead from low to high exactly"
        if self.log and self.low <= 0:
            return "log needs low > 0"
        return None

    def suggest(self, trial: Trial, key: str) -> float:
        """Ask Optuna for a value."""
        value = trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)
        return min(max(value, self.low), self.high)

    def contains(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def corners(self) -> tuple[float, float]:
        """Values that must be valid for all to be valid."""
        return self.low, self.high

    def size(self) -> int | None:
        """Number of values; None stands for infinitely many."""
        return round((self.high - self.low) / self.step) + 1 if self.step else None

    def values(self) -> Iterator[float]:
        """All values, in order; of a dimension with steps."""
        for place in range(self.size() or 0):
            yield min(self.low + place * (self.step or 0.0), self.high)

    def stored(self, value: Any) -> float:
        """The value as Optuna keeps it."""
        return float(value)

    def __str__(self) -> str:
        step = f" step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} … {self.high:g}{step}{' (log)' if self.log else ''}{under(self.when)}"


@dataclass(frozen=True, init=False)
class Choice:
    """One of the given options; lists and mappings are allowed, too."""

    options: tuple[Any, ...]
    when: Mapping[str, Any]

    def __init__(self, *options: Any, when: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "when", when or {})

    def problem(self) -> str | None:
        """What is wrong with the declaration, or None."""
        if not self.options:
            return "there are no options"
        try:
            kept = [self.stored(option) for option in self.options]
        except TypeError:
            return "options must be plain values, lists or mappings"
        return "two options are the same" if len(set(map(repr, kept))) < len(kept) else None

    def suggest(self, trial: Trial, key: str) -> Any:
        """Ask Optuna for a value."""
        kept = [self.stored(option) for option in self.options]
        return self.options[kept.index(trial.suggest_categorical(key, kept))]

    def contains(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        return any(type(value) is type(option) and value == option for option in self.options)

    def corners(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be valid."""
        return self.options

    def size(self) -> int:
        """Number of values."""
        return len(self.options)

    def values(self) -> Iterator[Any]:
        """All values, in order."""
        return iter(self.options)

    def stored(self, value: Any) -> Any:
        """The value as Optuna keeps it: lists and mappings as JSON text."""
        plain = value is None or isinstance(value, bool | int | float | str)
        return value if plain else json.dumps(value, sort_keys=True)

    def __str__(self) -> str:
        return " | ".join(str(option) for option in self.options) + under(self.when)


def meets(value: Any, condition: Any) -> bool:
    """Whether a key's value is the one that a condition names, or one of a tuple of them."""
    return value in condition if isinstance(condition, tuple) else bool(value == condition)


def under(when: Mapping[str, Any]) -> str:
    """The condition in words, or nothing."""
    words = [
        f"{key}={' or '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for key, value in when.items()
    ]
    return " under " + ", ".join(words) if words else ""
