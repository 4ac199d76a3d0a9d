"""Search methods: how the next settings are chosen.

Each is a few knobs around a sampler of Optuna. A resumed study draws new random numbers, which
follow from its seed and the number of trials that it has.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmsr.errors import UserError
from mmsr.numbers import check_whole
from mmsr.study.search.dimensions import Choice, Dimension, Float, under

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

Space = Mapping[str, Dimension]


@dataclass(frozen=True)
class Sampler(ABC):
    """Base of all search methods."""

    systematic: ClassVar[bool] = False
    """Whether the settings of the space are gone through one by one, and nothing is sampled."""
    several_objectives: ClassVar[bool] = True
    """Whether the study may have more than one objective."""
    conditions: ClassVar[bool] = True
    """Whether the space may have dimensions that exist under conditions only."""

    def check(self, space: Space, n_objectives: int = 1) -> None:  # noqa: B027 - some suit any space
        """Raise UserError for a knob out of range, or a space that the method is not for."""

    @abstractmethod
    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler, for a study that has `already` so many trials."""


@dataclass(frozen=True)
class Tpe(Sampler):
    """Tree-structured Parzen estimator over all dimensions jointly; knows of running trials.

    With several objectives, each dimension has an estimator of its own; with one, it learns from
    the best and the newest trials (`mmsr.study.search.recent`), whatever their number.
    """

    startup_trials: int = 8
    """Trials at random before the model proposes."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("sampler: startup_trials", self.startup_trials, 0)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import TPESampler

        from mmsr.study.search.recent import BestAndNewest

        sampler = _quietly(
            TPESampler,
            n_startup_trials=self.startup_trials,
            multivariate=n_objectives == 1,
            group=n_objectives == 1,
            constant_liar=True,
            seed=_seed(seed, already),
        )
        return BestAndNewest(sampler) if n_objectives == 1 else sampler

    def __str__(self) -> str:
        return f"TPE, the first {self.startup_trials} at random"


@dataclass(frozen=True)
class CmaEs(Sampler):
    """Covariance matrix adaptation: a cloud of settings that moves, for two or more numbers.

    It learns from trials that were trained to their end alone, so it goes ill with a pruner that
    stops most of them.
    """

    several_objectives: ClassVar[bool] = False
    conditions: ClassVar[bool] = False
    startup_trials: int = 1
    """Trials at random before the cloud is laid."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError for a knob out of range, or a space that is not plain numbers."""
        check_whole("sampler: startup_trials", self.startup_trials, 0)
        _check_one_objective("CMA-ES", n_objectives)
        _check_unconditional("CMA-ES", space)
        for key, dimension in space.items():
            if isinstance(dimension, Choice) and dimension.size() > 1:
                raise UserError(
                    f"sampler: CMA-ES moves through numbers, and {key} is a choice of "
                    f"{dimension}: write Int(…) or Float(…), fix it by --set {key}=VALUE, or "
                    "choose another sampler"
                )
        numbers = [key for key, dimension in space.items() if dimension.size() != 1]
        if len(numbers) < 2:
            raise UserError(
                f"sampler: CMA-ES needs two dimensions at least, the space has "
                f"{', '.join(numbers) or 'none'}: choose another sampler"
            )

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import CmaEsSampler

        return _quietly(
            CmaEsSampler,
            n_startup_trials=self.startup_trials,
            warn_independent_sampling=False,
            seed=_seed(seed, already),
        )

    def __str__(self) -> str:
        return f"CMA-ES, the first {self.startup_trials} at random"


@dataclass(frozen=True)
class Gp(Sampler):
    """Gaussian process with expected improvement; for a space without conditions."""

    several_objectives: ClassVar[bool] = False
    conditions: ClassVar[bool] = False
    startup_trials: int = 8
    """Trials at random before the model proposes."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError for a knob out of range, or a space with conditions."""
        check_whole("sampler: startup_trials", self.startup_trials, 0)
        _check_one_objective("the Gaussian process", n_objectives)
        _check_unconditional("the Gaussian process", space)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import GPSampler

        return _quietly(
            GPSampler,
            n_startup_trials=self.startup_trials,
            warn_independent_sampling=False,
            seed=_seed(seed, already),
        )

    def __str__(self) -> str:
        return f"Gaussian process, the first {self.startup_trials} at random"


@dataclass(frozen=True)
class Nsga2(Sampler):
    """Genetic search over generations (NSGA-II), meant for several objectives."""

    population: int = 16
    """Trials of one generation; the first is at random."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError for a knob out of range."""
        check_whole("sampler: population", self.population, 2)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import NSGAIISampler

        return _quietly(NSGAIISampler, population_size=self.population, seed=_seed(seed, already))

    def __str__(self) -> str:
        return f"NSGA-II, generations of {self.population}"


@dataclass(frozen=True)
class Random(Sampler):
    """Every dimension at random, whatever was found before."""

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=_seed(seed, already))

    def __str__(self) -> str:
        return "random"


@dataclass(frozen=True)
class Grid(Sampler):
    """Every setting of a finite space once, conditions respected; the study ends with the last.

    The order is that of the declaration, the last dimension varies fastest.
    """

    systematic: ClassVar[bool] = True

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError for a dimension without steps."""
        for key, dimension in space.items():
            if dimension.size() is None:
                raise UserError(
                    f"sampler: a grid needs steps, and {key} is continuous: {dimension}; write "
                    f"{_stepped(dimension)}, fix it by --set {key}=VALUE, or choose another sampler"
                )

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler for what enqueued settings leave open."""
        return Random().build(seed, already)

    def __str__(self) -> str:
        return "grid, every setting once"


SAMPLERS: Mapping[str, type[Sampler]] = {
    "tpe": Tpe,
    "cmaes": CmaEs,
    "gp": Gp,
    "nsga2": Nsga2,
    "random": Random,
    "grid": Grid,
}
"""Search methods by the name that the command line knows."""


def _seed(seed: int, already: int) -> int:
    return (seed + 1_000_003 * already) % 2**32


def _quietly(make: Callable[..., BaseSampler], **knobs: Any) -> BaseSampler:
    """Make a sampler without Optuna's word that it may change."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(**knobs)


def _check_one_objective(who: str, n_objectives: int) -> None:
    if n_objectives > 1:
        raise UserError(
            f"sampler: {who} is for one objective, the study has {n_objectives}: "
            f"choose {_those('several_objectives')}"
        )


def _check_unconditional(who: str, space: Space) -> None:
    for key, dimension in space.items():
        if any(other in space and space[other].size() != 1 for other in dimension.when):
            raise UserError(
                f"sampler: {who} needs dimensions that always exist, and {key} exists only"
                f"{under(dimension.when)}: choose {_those('conditions')}, or take it out of the "
                "space"
            )


def _those(trait: str) -> str:
    """Names of the methods that have a trait, to choose from."""
    *others, last = (name for name, kind in SAMPLERS.items() if getattr(kind, trait))
    return f"{', '.join(others)} or {last}"


def _stepped(dimension: Dimension) -> str:
    if isinstance(dimension, Float) and not dimension.log:
        return f"Float({dimension.low:g}, {dimension.high:g}, step=…)"
    if isinstance(dimension, Float):
        return f"Choice({dimension.low:g}, …, {dimension.high:g})"
    return "Choice(…)"


def chosen_sampler(name: str | None, own: Sampler) -> Sampler:
    """The search method of this name; the study's own, with its knobs, where it is of that kind."""
    if name is None or isinstance(own, SAMPLERS[name]):
        return own
    return SAMPLERS[name]()
