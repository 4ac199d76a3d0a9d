"""Intervals of validation scores, by a bootstrap over users; ranks are cached with the study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mmsr.errors import UserError, one_line
from mmsr.remote import RemotePath
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS, _MOST, _FEWEST = 200_000_000, 2000, 200
"""Users that the bootstrap of a trial draws in all, and its most and fewest resamples: with many
users there are fewer, so that it takes seconds."""
BROKEN = (RuntimeError, ArithmeticError, MemoryError, OSError)
"""What a model that ranks may raise besides UserError, e.g. where the GPU's memory is used up."""


@dataclass(frozen=True)
class ValidRanks:
    """The ranks that a trial's model gives the validation targets."""

    ranks: NDArray[np.int64]
    """int64 [t], 1 is best."""
    users: NDArray[np.int32]
    """int32 [t], user of each target."""

    def interval(self, metric: str) -> tuple[float, float]:
        """Ends of the 95 % interval of a metric's mean over all such users.

        Parameters
        ----------
        metric : such as `mrr@20`.
        """
        return self._intervals[metric]

    @cached_property
    def _intervals(self) -> dict[str, tuple[float, float]]:
        """All metrics' intervals, from the same resamples."""
        from mmsr.evaluation import contributions
        from mmsr.evaluation.significance import bootstrap_interval

        found = contributions(self.ranks)
        values = np.stack(list(found.values()), axis=1)
        n = min(_MOST, max(_FEWEST, _DRAWS // len(np.unique(self.users))))
        low, high = bootstrap_interval(values, self.users, n_resamples=n)
        return dict(zip(found, zip(low.tolist(), high.tolist(), strict=True), strict=True))


@dataclass(frozen=True)
class Measured:
    """The validation ranks of some trials, and why others have none."""

    ranks: Mapping[int, ValidRanks]
    """By number of the trial."""
    lacking: Mapping[int, str]
    """Reasons, by number of the trial."""


def valid_ranks(
    known: KnownStudy,
    found: Sequence[TrialRow],
    *,
    measure: bool = True,
    device: str = "auto",
    progress: Callable[[str], None] = lambda message: None,
) -> Measured:
    """Rank the validation targets with the best models of trials, unless their ranks are cached.

    Parameters
    ----------
    known : the study.
    found : the trials.
    measure : whether to compute ranks that are not cached.
    device : device of the models.
    progress : called with messages for the user.
    """
    if known.definition.test_selected:
        return Measured({}, dict.fromkeys((row.number for row in found), "test-selected"))
    ranks: dict[int, ValidRanks] = {}
    lacking: dict[int, str] = {}
    for place, row in enumerate(found, start=1):
        try:
            progress(f"ranking validation: model {place} of {len(found)}")
            ranks[row.number] = _ranks(known, row, measure, device)
        except UserError as error:
            lacking[row.number] = str(error)
        except BROKEN as error:
            lacking[row.number] = broken(error)
    return Measured(ranks, lacking)


def broken(error: Exception) -> str:
    """Why a model could not rank, on one line.

    Parameters
    ----------
    error : one of `BROKEN`.
    """
    return one_line(f"its model cannot rank validation ({type(error).__name__}: {error})")


def _ranks(known: KnownStudy, row: TrialRow, measure: bool, device: str) -> ValidRanks:
    from mmsr.evaluation.sweep import CLEAN
    from mmsr.study.results.held_out import rank
    from mmsr.study.results.knockouts import kept_ranks
    from mmsr.study.results.measured_model import of_trial

    if row.config is None:  # never so: every finished trial has a config
        raise UserError("it has no config")
    if not measure and isinstance(known.folder.ray, RemotePath):  # no download meanwhile
        raise UserError("its ranks have not been measured")
    subject = of_trial(known, row, row.config, "a")
    if not (subject.checkpoint / "best.safetensors").is_file():
        raise UserError(f"the model of trial {row.number} is not among its checkpoints")
    valid = subject.dataset.valid()

    def compute() -> NDArray[np.int64]:
        if not measure:
            raise UserError("its ranks have not been measured")
        return rank(subject.load(device, restored=False), valid, subject.config)

    kept = kept_ranks(subject, known.folder.path / "robustness", valid)
    # What was lost in training is also lost in the score: ranks of the restored model are others.
    what = str(CLEAN) if row.config.graph.missing.rate == 0 else "as it was scored"
    return ValidRanks(kept.get(what, compute, must_keep=False), valid.users)
