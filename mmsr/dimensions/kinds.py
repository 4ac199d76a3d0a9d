"""The dimensions of a search space: whole numbers, real numbers, options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mmsr.dimensions.base import as_stored, is_plain, is_same, problem_of_when, under
from mmsr.dimensions.mistakes import mistake_in, noting_mistakes
from mmsr.numbers import LARGEST, is_number, is_whole

if TYPE_CHECKING:
    from optuna import Trial


@noting_mistakes
@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : smallest and largest value.
    step : distance of neighbouring values, at least 1; `high` must lie a whole number of steps
        above `low`.
    log : sample on a logarithmic scale; needs `low` ≥ 1, and no `step`.
    when : values of other config keys under which the dimension exists, e.g. `{"model.readout":
        "last_n_attention"}`; a tuple means any of its values. By default it always exists.

    Examples
    --------
    >>> Int(10, 50, step=10)
    Int(low=10, high=50, step=10, log=False, when={})
    >>> list(Int(10, 50, step=10).values())
    [10, 20, 30, 40, 50]
    >>> print(Int(2, 10, when={"model.readout": "last_n_attention"}))
    2 … 10 under model.readout=last_n_attention
    >>> Int(10, 50, step=15).problem()
    'step must be at least 1 and lead from low to high exactly'
    """

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """What is wrong with the declaration; None if nothing is."""
        if (problem := mistake_in(self) or problem_of_when(self.when)) is not None:
            return problem
        if not all(is_whole(value) for value in (self.low, self.high, self.step)):
            return "low, high and step must be whole numbers"
        if max(abs(self.low), abs(self.high)) > LARGEST:
            return f"low and high must lie within ±{LARGEST}"
        if not isinstance(self.log, bool):
            return "log must be True or False"
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
        """Whether `value` may be proposed."""
        inside = is_whole(value) and self.low <= value <= self.high
        return inside and (value - self.low) % self.step == 0

    def corners(self) -> tuple[int, int]:
        """The values to check: if these are valid in a config, all are."""
        return self.low, self.high

    def size(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def values(self) -> Iterator[int]:
        """All values, in order."""
        return iter(range(self.low, self.high + 1, self.step))

    def stored(self, value: Any) -> Any:
        """`value` as Optuna stores it."""
        return value

    def __str__(self) -> str:
        step = f" step {self.step}" if self.step != 1 else ""
        return f"{self.low} … {self.high}{step}{' (log)' if self.log else ''}{under(self.when)}"


@noting_mistakes
@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : smallest and largest value.
    step : distance of neighbouring values, above 0; `high` must lie a whole number of steps above
        `low`. None makes the dimension continuous.
    log : sample on a logarithmic scale; needs `low` > 0, and no `step`.
    when : values of other config keys under which the dimension exists; a tuple means any of its
        values. By default it always exists.

    Examples
    --------
    >>> print(Float(5e-4, 5e-3, log=True))
    0.0005 … 0.005 (log)
    >>> Float(0.0, 0.5, step=0.1).size()
    6
    >>> Float(0.0, 0.5).size() is None  # continuous
    True
    >>> Float(0.0, 0.3, log=True).problem()
    'log needs low > 0'
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """What is wrong with the declaration; None if nothing is."""
        if (problem := mistake_in(self) or problem_of_when(self.when)) is not None:
            return problem
        if not all(is_number(value) for value in (self.low, self.high)):
            return "low and high must be finite numbers"
        if not isinstance(self.log, bool):
            return "log must be True or False"
        if self.low > self.high:
            return "low is above high"
        if not is_number(float(self.high) - float(self.low)):
            return "low and high are too far apart"
        if self.step is not None:
            if self.log:
                return "log and step exclude each other"
            if not is_number(self.step) or self.step <= 0:
                return "step must be a number above 0"
            steps = (self.high - self.low) / self.step
            if steps > LARGEST:
                return "step is too small"
            if not math.isclose(steps, round(steps), abs_tol=1e-6):
                return "step must lead from low to high exactly"
        if self.log and self.low <= 0:
            return "log needs low > 0"
        return None

    def suggest(self, trial: Trial, key: str) -> float:
        """Ask Optuna for a value."""
        value = trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)
        return self._as_written(min(max(value, self.low), self.high))

    def contains(self, value: Any) -> bool:
        """Whether `value` may be proposed."""
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def corners(self) -> tuple[float, float]:
        """The values to check: if these are valid in a config, all are."""
        return float(self.low), float(self.high)

    def size(self) -> int | None:
        """Number of values; None if there are infinitely many."""
        return round((self.high - self.low) / self.step) + 1 if self.step else None

    def values(self) -> Iterator[float]:
        """All values in order, of a dimension with steps."""
        for place in range(self.size() or 0):
            yield self._as_written(min(self.low + place * (self.step or 0.0), self.high))

    def _as_written(self, value: float) -> float:
        """`value` as people count steps: 0.3, where 3 * 0.1 is 0.30000000000000004."""
        if not self.step:
            return value
        low, step = Decimal(repr(float(self.low))), Decimal(repr(float(self.step)))
        place = round((value - self.low) / self.step)
        if place + 1 == self.size() and math.isclose(value, self.high, abs_tol=1e-9 * self.step):
            return float(self.high)  # where the step itself is rounded, as a third is
        exact = float(low + place * step)
        return exact if math.isclose(value, exact, abs_tol=1e-12 * self.step) else value

    def stored(self, value: Any) -> float:
        """`value` as Optuna stores it."""
        return float(value)

    def __str__(self) -> str:
        step = f" step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} … {self.high:g}{step}{' (log)' if self.log else ''}{under(self.when)}"


@noting_mistakes
@dataclass(frozen=True, init=False)
class Choice:
    """One of several options, in no order.

    Parameters
    ----------
    *options : the values; plain values, lists or mappings, no two the same.
    when : values of other config keys under which the dimension exists; a tuple means any of its
        values. By default it always exists.

    Examples
    --------
    >>> print(Choice("adaptive", "early", "late"))
    adaptive | early | late
    >>> heads = Choice(1, 2, 4, when={"model.aggregator.name": ("gat", "graphormer")})
    >>> print(heads)
    1 | 2 | 4 under model.aggregator.name=gat or graphormer
    >>> heads.contains(4), heads.contains(3)
    (True, False)
    """

    options: tuple[Any, ...]
    when: Mapping[str, Any]

    def __init__(self, *options: Any, when: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "when", {} if when is None else when)

    def problem(self) -> str | None:
        """What is wrong with the declaration; None if nothing is."""
        if (problem := mistake_in(self) or problem_of_when(self.when)) is not None:
            return problem
        if not self.options:
            return "there are no options: give one or more, e.g. Choice(32, 64)"
        if not all(map(is_plain, self.options)):
            return (
                "options must be plain values, lists or mappings; of numpy's numbers, take .item()"
            )
        kept = {as_stored(option) for option in self.options}
        return "two options are the same" if len(kept) < len(self.options) else None

    def suggest(self, trial: Trial, key: str) -> Any:
        """Ask Optuna for a value."""
        kept = [as_stored(option) for option in self.options]
        return self.options[kept.index(trial.suggest_categorical(key, kept))]

    def contains(self, value: Any) -> bool:
        """Whether `value` may be proposed."""
        return any(is_same(value, option) for option in self.options)

    def corners(self) -> tuple[Any, ...]:
        """The values to check: all options."""
        return self.options

    def size(self) -> int:
        """Number of values."""
        return len(self.options)

    def values(self) -> Iterator[Any]:
        """All values, in order."""
        return iter(self.options)

    def stored(self, value: Any) -> Any:
        """`value` as Optuna stores it: lists and mappings as JSON text."""
        return as_stored(value)

    def __str__(self) -> str:
        return " | ".join(str(option) for option in self.options) + under(self.when)
