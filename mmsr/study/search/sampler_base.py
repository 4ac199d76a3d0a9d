"""`Sampler`: what every search method offers a study."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmsr.dimensions.base import Dimension

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

Space = Mapping[str, Dimension]


@dataclass(frozen=True)
class Sampler(ABC):
    """Base of all search methods."""

    systematic: ClassVar[bool] = False
    """Whether the settings of the space are run one by one, without any sampling."""
    several_objectives: ClassVar[bool] = True
    """Whether the study may have more than one objective."""
    conditions: ClassVar[bool] = True
    """Whether the space may have dimensions that exist only under conditions (`when`)."""
    several_models: ClassVar[bool] = True
    """Whether the study may have more than one model."""

    def check(self, space: Space, n_objectives: int = 1) -> None:  # noqa: B027 - some suit any space
        """Raise UserError if a setting is out of range or the method does not suit the space.

        Parameters
        ----------
        space : the search space.
        n_objectives : number of objectives of the study.
        """

    @abstractmethod
    def build(self, seed: int, already: int, n_objectives: int = 1) -> BaseSampler:
        """Optuna's sampler.

        Parameters
        ----------
        seed : seed of the study's proposals.
        already : number of trials that the study has.
        n_objectives : number of its objectives.
        """


def seed_after(seed: int, already: int) -> int:
    """The seed of a sampler in a study that has a number of trials already."""
    return (seed + 1_000_003 * already) % 2**32


def quietly(make: Callable[..., BaseSampler], **knobs: Any) -> BaseSampler:
    """Make a sampler without Optuna's warning that it is experimental."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(**knobs)
