"""Search methods: how the next settings are chosen.

Each wraps a sampler of Optuna with a few settings of its own. A resumed study draws new random
numbers, which depend on its seed and on how many trials it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mmsr.dimensions.base import Dimension, under
from mmsr.dimensions.kinds import Choice, Float
from mmsr.dimensions.mistakes import noting_mistakes
from mmsr.errors import UserError
from mmsr.numbers import check_whole
from mmsr.study.search.sampler_base import Sampler, Space, quietly, seed_after

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@noting_mistakes
@dataclass(frozen=True)
class Tpe(Sampler):
    """Tree-structured Parzen estimator of all dimensions jointly; considers running trials too.

    With one objective it learns from the best and the newest trials, however many there are
    (`mmsr.study.search.recent`). With several, each dimension has its own estimator.

    Examples
    --------
    >>> print(Tpe(startup_trials=10))
    TPE, the first 10 at random
    """

    startup_trials: int = 8
    """Trials at random before the model proposes."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("sampler: startup_trials=", self.startup_trials, 0)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import TPESampler

        from mmsr.study.search.recent import BestAndNewest

        sampler = quietly(
            TPESampler,
            n_startup_trials=self.startup_trials,
            multivariate=n_objectives == 1,
            group=n_objectives == 1,
            constant_liar=True,
            seed=seed_after(seed, already),
        )
        return BestAndNewest(sampler) if n_objectives == 1 else sampler

    def __str__(self) -> str:
        return f"TPE, the first {self.startup_trials} at random"


@noting_mistakes
@dataclass(frozen=True)
class CmaEs(Sampler):
    """Covariance matrix adaptation: a cloud of settings that moves through two or more numbers.

    It learns only from finished trials, so it works poorly with a pruner that stops most of them.

    Examples
    --------
    >>> print(CmaEs(startup_trials=4))
    CMA-ES, the first 4 at random
    """

    several_objectives: ClassVar[bool] = False
    conditions: ClassVar[bool] = False
    startup_trials: int = 1
    """Number of random trials, from which the first cloud is computed."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError if a setting is out of range or a dimension is not a number."""
        check_whole("sampler: startup_trials=", self.startup_trials, 0)
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
                f"sampler: CMA-ES needs at least two dimensions, the space has "
                f"{', '.join(numbers) or 'none'}: choose another sampler"
            )

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import CmaEsSampler

        return quietly(
            CmaEsSampler,
            n_startup_trials=self.startup_trials,
            warn_independent_sampling=False,
            seed=seed_after(seed, already),
        )

    def __str__(self) -> str:
        return f"CMA-ES, the first {self.startup_trials} at random"


@noting_mistakes
@dataclass(frozen=True)
class Gp(Sampler):
    """Gaussian process with expected improvement; for a space without conditions.

    Examples
    --------
    >>> print(Gp())
    Gaussian process, the first 8 at random
    """

    several_objectives: ClassVar[bool] = False
    conditions: ClassVar[bool] = False
    startup_trials: int = 8
    """Trials at random before the model proposes."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError if a setting is out of range or the space has conditions."""
        check_whole("sampler: startup_trials=", self.startup_trials, 0)
        _check_one_objective("the Gaussian process", n_objectives)
        _check_unconditional("the Gaussian process", space)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import GPSampler

        return quietly(
            GPSampler,
            n_startup_trials=self.startup_trials,
            warn_independent_sampling=False,
            seed=seed_after(seed, already),
        )

    def __str__(self) -> str:
        return f"Gaussian process, the first {self.startup_trials} at random"


@noting_mistakes
@dataclass(frozen=True)
class Nsga2(Sampler):
    """Genetic search in generations (NSGA-II), meant for several objectives.

    Examples
    --------
    >>> print(Nsga2(population=20))
    NSGA-II, generations of 20
    """

    several_models: ClassVar[bool] = False  # Optuna keeps its generations with the study
    population: int = 16
    """Number of trials in one generation; those of the first are random."""

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError if a setting is out of range."""
        check_whole("sampler: population=", self.population, 2)

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import NSGAIISampler

        return quietly(
            NSGAIISampler, population_size=self.population, seed=seed_after(seed, already)
        )

    def __str__(self) -> str:
        return f"NSGA-II, generations of {self.population}"


@noting_mistakes
@dataclass(frozen=True)
class Random(Sampler):
    """Draws every setting at random, independently of all results.

    Examples
    --------
    >>> print(Random())
    random
    """

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed_after(seed, already))

    def __str__(self) -> str:
        return "random"


@noting_mistakes
@dataclass(frozen=True)
class Grid(Sampler):
    """Runs every setting of a finite space once, within its conditions; then the study ends.

    Settings come in the order of the declaration; the last dimension varies fastest.

    Examples
    --------
    >>> from mmsr.study import Int, Float
    >>> print(Grid())
    grid, every setting once
    >>> Grid().check({"model.layers": Int(1, 2), "model.dropout": Float(0.0, 0.4, step=0.2)})
    """

    systematic: ClassVar[bool] = True

    def check(self, space: Space, n_objectives: int = 1) -> None:
        """Raise UserError if a dimension is continuous."""
        for key, dimension in space.items():
            if dimension.size() is None:
                raise UserError(
                    f"sampler: a grid needs steps, and {key} is continuous: {dimension}; write "
                    f"{_stepped(dimension)}, fix it by --set {key}=VALUE, or choose another sampler"
                )

    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler for dimensions that enqueued settings leave open."""
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
"""Search methods by their name on the command line."""


def _check_one_objective(who: str, n_objectives: int) -> None:
    if n_objectives > 1:
        raise UserError(
            f"sampler: {who} is for one objective, the study has {n_objectives}: "
            f"choose {methods_with('several_objectives')}"
        )


def _check_unconditional(who: str, space: Space) -> None:
    for key, dimension in space.items():
        if any(other in space and space[other].size() != 1 for other in dimension.when):
            raise UserError(
                f"sampler: {who} needs dimensions that always exist, and {key} exists only"
                f"{under(dimension.when)}: choose {methods_with('conditions')}, or take it out "
                "of the space"
            )


def methods_with(trait: str) -> str:
    """Names of the search methods that have `trait`, an attribute of their class, in words."""
    *others, last = (name for name, kind in SAMPLERS.items() if getattr(kind, trait))
    return f"{', '.join(others)} or {last}"


def _stepped(dimension: Dimension) -> str:
    if isinstance(dimension, Float) and not dimension.log:
        return f"Float({dimension.low:g}, {dimension.high:g}, step=…)"
    if isinstance(dimension, Float):
        return f"Choice({dimension.low:g}, …, {dimension.high:g})"
    return "Choice(…)"


def chosen_sampler(name: str | None, own: Sampler) -> Sampler:
    """The search method with this name; if the study's own has it, that one, with its settings.

    Parameters
    ----------
    name : name on the command line; None takes the study's own.
    own : the search method of the study file.
    """
    if name is None or isinstance(own, SAMPLERS[name]):
        return own
    return SAMPLERS[name]()
