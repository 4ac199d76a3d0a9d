"""Whom a trial is compared with: pruners around Optuna's that hold when trials fail or go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from optuna.pruners import BasePruner
from optuna.trial import TrialState

from mmsr.study.storage.lineage import current

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class AmongCurrent(BasePruner):
    """Another pruner that sees no trial twice, and none that failed.

    A trial that was cut off and went on is there once, as its successor. What a trial that failed
    later had reached takes no place from one that can end.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Ask the other pruner."""
        return self._pruner.prune(_narrowed(study, _competitors), trial)


class Brackets(BasePruner):
    """Several pruners, each of which decides on its share of the trials and knows of no others.

    Trials are dealt out in turn by their number; one that goes on after it was cut off stays where
    it was.

    Parameters
    ----------
    pruners : one a bracket.
    shares : of so many trials as their sum, how many belong to each bracket.
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
        return self._turns[_first_number(trial) % len(self._turns)]

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Ask the pruner of the trial's bracket."""
        bracket = self.bracket_of(trial)

        def same(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            return [other for other in trials if self.bracket_of(other) == bracket]

        return self._pruners[bracket].prune(_narrowed(study, same), trial)


class _Narrowed:
    """A study of some trials only."""

    def __init__(
        self, study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
    ) -> None:
        self._study, self._keep = study, keep

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        kept = self._keep(self._study.get_trials(deepcopy))
        return [trial for trial in kept if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def _narrowed(
    study: optuna.Study, keep: Callable[[list[FrozenTrial]], list[FrozenTrial]]
) -> optuna.Study:
    return cast("optuna.Study", _Narrowed(study, keep))


def _competitors(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in current(trials) if trial.state != TrialState.FAIL]


def _first_number(trial: FrozenTrial) -> int:
    """Number of the trial that this one goes on from, its own where it is the first."""
    key = trial.user_attrs.get("key")  # trial-00007, which a successor keeps
    return trial.number if key is None else int(key.rpartition("-")[2])
