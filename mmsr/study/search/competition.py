"""Which trials a pruner compares with each other: none that failed, and none twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from optuna.pruners import BasePruner
from optuna.trial import TrialState

from mmsr.study.search.study_view import StudyView
from mmsr.study.storage.attributes import first_number
from mmsr.study.storage.lineage import current

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class AmongCurrent(BasePruner):
    """Lets another pruner see each trial once and no failed ones, and only after some have ended.

    A trial that was interrupted and resumed counts once, with its newest attempt. A trial that
    failed is left out, however good it was before: it takes no place from one that can finish.

    Parameters
    ----------
    pruner : the other pruner.
    startup_trials : trials that must have been trained to their end before any is stopped.
    """

    def __init__(self, pruner: BasePruner, startup_trials: int) -> None:
        self._pruner, self._startup_trials = pruner, startup_trials

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Ask the other pruner, and overrule it while too few trials have finished."""
        competitors = _narrowed(study, _competitors)
        # It is asked even then: successive halving stores the rungs that a trial has passed.
        if not self._pruner.prune(competitors, trial):
            return False
        finished = competitors.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return len(finished) >= self._startup_trials


class Brackets(BasePruner):
    """Several pruners side by side: each decides on its own bracket of trials and sees no others.

    Trials are dealt to the brackets in turn, by their number. One that was interrupted and resumed
    stays in its bracket.

    Parameters
    ----------
    pruners : one for each bracket.
    shares : how many trials each bracket gets in one round of dealing.
    """

    def __init__(self, pruners: Sequence[BasePruner], shares: Sequence[int]) -> None:
        self._pruners = pruners
        turns = [
            ((turn + 0.5) / share, bracket)
            for bracket, share in enumerate(shares)
            for turn in range(share)
        ]
        self._turns = [bracket for _, bracket in sorted(turns)]

    def bracket_of(self, trial: FrozenTrial) -> int:
        """The bracket that a trial belongs to."""
        return self._turns[first_number(trial) % len(self._turns)]

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Ask the pruner of the trial's bracket."""
        bracket = self.bracket_of(trial)

        def same(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            return [other for other in trials if self.bracket_of(other) == bracket]

        return self._pruners[bracket].prune(_narrowed(study, same), trial)


class _Narrowed(StudyView):
    """A study with the trials that `keep` leaves of it."""

    def __init__(
        self, study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
    ) -> None:
        super().__init__(study)
        self._keep = keep

    def chosen(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return self._keep(trials)


def _narrowed(
    study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
) -> optuna.Study:
    return cast("optuna.Study", _Narrowed(study, keep))


def _competitors(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in current(trials) if trial.state != TrialState.FAIL]
