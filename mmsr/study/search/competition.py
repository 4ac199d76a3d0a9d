"""The trials that a pruner compares: no failed ones, and each resumed one only once."""

from __future__ import annotations

from bisect import bisect_left
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
    """Wraps a pruner: hides failed trials from it, and stops no trial before some have finished.

    A trial that was interrupted and resumed is shown once, as its newest attempt. A failed trial is
    hidden even if its values were good: it must not push out a trial that can still finish.

    Parameters
    ----------
    pruner : the wrapped pruner.
    startup_trials : number of trials that must have finished before any trial is stopped.
    """

    def __init__(self, pruner: BasePruner, startup_trials: int) -> None:
        self._pruner, self._startup_trials = pruner, startup_trials

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the wrapped pruner stops the trial; False as long as too few have finished."""
        competitors = _narrowed(study, _competitors)
        # Always called, even if its answer is ignored: successive halving stores a trial's rungs.
        if not self._pruner.prune(competitors, trial):
            return False
        finished = competitors.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return len(finished) >= self._startup_trials


class Brackets(BasePruner):
    """Wraps several pruners, one for each bracket of trials; each compares its own bracket only.

    Trials are dealt to the brackets in turn, in the order of their numbers; in a study of several
    models, each model's are. A resumed trial stays in the bracket of its first attempt.

    Parameters
    ----------
    pruners : one for each bracket.
    shares : number of trials that each bracket gets in one round of dealing.
    """

    def __init__(self, pruners: Sequence[BasePruner], shares: Sequence[int]) -> None:
        self._pruners = pruners
        turns = [
            ((turn + 0.5) / share, bracket)
            for bracket, share in enumerate(shares)
            for turn in range(share)
        ]
        self._turns = [bracket for _, bracket in sorted(turns)]

    def brackets_in(self, study: optuna.Study) -> Callable[[FrozenTrial], int]:
        """A function from a trial to the index of its bracket.

        Parameters
        ----------
        study : the study, or a view of the trials that are compared.
        """
        dealt = study.whole if isinstance(study, _Narrowed) else study
        numbers = [trial.number for trial in dealt.get_trials(deepcopy=False)]

        def bracket_of(trial: FrozenTrial) -> int:
            return self._turns[bisect_left(numbers, first_number(trial)) % len(self._turns)]

        return bracket_of

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the pruner of the trial's bracket stops the trial."""
        bracket_of = self.brackets_in(study)
        bracket = bracket_of(trial)

        def same(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            return [other for other in trials if bracket_of(other) == bracket]

        return self._pruners[bracket].prune(_narrowed(study, same), trial)


class _Narrowed(StudyView):
    """A study that shows only the trials that `keep` returns."""

    def __init__(
        self, study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
    ) -> None:
        super().__init__(study)
        self.whole, self._keep = study, keep

    def chosen(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return self._keep(trials)


def _narrowed(
    study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
) -> optuna.Study:
    return cast("optuna.Study", _Narrowed(study, keep))


def _competitors(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in current(trials) if trial.state != TrialState.FAIL]
