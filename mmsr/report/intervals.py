"""Intervals of validation scores, by a bootstrap over users; ranks are cached with the study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsr.errors import UserError
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ValidRanks:
    """The ranks that a trial's model gives the validation targets."""

    ranks: NDArray[np.int64]
    """int64 [t], 1 is best."""
    users: NDArray[np.int32]
    """int32 [t], user of each target."""

    def interval(self, metric: str) -> tuple[float, float]:
        """Ends of the 95 % interval of a metric, for other users.

        Parameters
        ----------
        metric : such as `mrr@20`.
        """
        from mmsr.evaluation import contributions
        from mmsr.evaluation.significance import bootstrap_interval

        low, high = bootstrap_interval(contributions(self.ranks)[metric][:, None], self.users)
        return float(low[0]), float(high[0])


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
    return Measured(ranks, lacking)


def _ranks(known: KnownStudy, row: TrialRow, measure: bool, device: str) -> ValidRanks:
    from mmsr.evaluation.sweep import CLEAN
    from mmsr.study.results.held_out import rank
    from mmsr.study.results.knockouts import kept_ranks
    from mmsr.study.results.measured_model import of_trial

    if row.config is None:  # never so: every finished trial has a config
        raise UserError("it has no config")
    subject = of_trial(known, row, row.config, "a")
    if not (subject.checkpoint / "best.safetensors").is_file():
        raise UserError(f"the model of trial {row.number} is not among its checkpoints")
    valid = subject.dataset.valid()

    def compute() -> NDArray[np.int64]:
        if not measure:
            raise UserError("its ranks have not been measured")
        return rank(subject.load(device), valid, subject.config)

    kept = kept_ranks(subject, known.folder.path / "robustness", valid)
    return ValidRanks(kept.get(str(CLEAN), compute), valid.users)
