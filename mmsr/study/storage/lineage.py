"""How an interrupted trial is resumed: another trial of Optuna, its successor, takes its place.

The successor (`retry_of`) has the same settings and config. It inherits the learning curve up to
the newest complete checkpoint, that checkpoint, and the tracking run. The interrupted trial becomes
FAIL and no longer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from optuna.trial import TrialState
from pydantic import ValidationError

from mmsr.errors import UserError
from mmsr.remote import AnyPath, plain_name, size
from mmsr.study.storage.attributes import (
    CONFIG,
    IMPORTED,
    KEY,
    MODEL,
    ORIGIN,
    RETRY_OF,
    Marked,
    key_of,
    predecessor,
)
from mmsr.study.workers.messages import Report

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

RESUMPTION_FILES = ("model.safetensors", "optimizer.safetensors", "average.safetensors")
"""Files of a checkpoint that only serve to resume; they are most of its bytes, and are removed when
the trial ends."""

_EPOCH = "epoch "

T = TypeVar("T", bound=Marked)


def current(trials: Sequence[T]) -> list[T]:
    """The study's own trials, without those that a successor has replaced.

    Parameters
    ----------
    trials : all trials of a study.
    """
    followed = {predecessor(trial) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.number not in followed and IMPORTED not in trial.user_attrs
    ]


def note_value(trial: optuna.Trial, epoch: int, value: float, *, alone: bool) -> None:
    """Record the first objective of an epoch.

    Parameters
    ----------
    trial : the running trial.
    epoch : number of the epoch, from 1.
    value : the objective.
    alone : whether it is the study's only objective. Optuna has no place of its own for the values
        of epochs if there are several, so they become attributes.
    """
    if alone:
        trial.report(value, epoch)
    else:
        trial.set_user_attr(f"{_EPOCH}{epoch}", value)


def curve_of(trial: FrozenTrial) -> dict[int, float]:
    """The first objective of `trial` by epoch."""
    noted = {
        int(name.removeprefix(_EPOCH)): value
        for name, value in trial.user_attrs.items()
        if name.startswith(_EPOCH)
    }
    return noted or trial.intermediate_values


def whole_curve(trial: FrozenTrial, trial_of: Callable[[int], FrozenTrial]) -> dict[int, float]:
    """The first objective of `trial` by epoch; while it waits, that of the trial it resumes.

    Parameters
    ----------
    trial : the trial.
    trial_of : returns a trial of the same study by its number.
    """
    before = predecessor(trial) if trial.state == TrialState.WAITING else None
    return curve_of(trial if before is None else trial_of(before))


def trial_folder(checkpoints: AnyPath, number: int) -> AnyPath:
    """Folder of a trial's checkpoints.

    Parameters
    ----------
    checkpoints : folder with one sub-folder per trial.
    number : number of the trial.
    """
    return checkpoints / f"trial-{number:05d}"


def queue_again(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Enqueue a successor of a trial, then end the trial; False if it already had a successor.

    If a call is interrupted in between, the next one ends the trial and enqueues nothing.

    Parameters
    ----------
    study : the Optuna study.
    trial : one of its trials.
    """
    trials = study.get_trials(deepcopy=False)
    followed = trial.number in map(predecessor, trials)
    if not followed:
        attrs = {
            RETRY_OF: trial.number,
            KEY: key_of(trial),
            ORIGIN: "retry",
        }
        for name in (CONFIG, MODEL):
            if name in trial.user_attrs:
                attrs[name] = trial.user_attrs[name]
        study.enqueue_trial(trial.params, user_attrs=attrs)
    if trial.state == TrialState.RUNNING:
        study.tell(trial.number, state=TrialState.FAIL)
    return not followed


@dataclass(frozen=True)
class Left:
    """What an interrupted trial has left behind."""

    folder: AnyPath
    curve: dict[int, float]
    """First objective by epoch, up to the checkpoint in `folder`."""


def newest_checkpoint(
    study: optuna.Study, number: int, checkpoints: AnyPath, *, to_resume: bool = True
) -> Left | None:
    """The newest complete checkpoint of a trial or of its earlier attempts; None if there is none.

    A worker writes a checkpoint before it reports the epoch, so the checkpoint of a reported epoch
    is complete, unless the machine crashed before it was on disk: then files are shorter than
    recorded.

    Parameters
    ----------
    study : the Optuna study.
    number : number of the trial.
    checkpoints : folder with one sub-folder per trial.
    to_resume : whether training is to resume from it. False also finds the best model of a trial
        that has ended, from which nothing can be resumed.
    """
    for trial in _lineage(study, number):
        reported = curve_of(trial)
        for folder in _newest_first(checkpoints, trial.number):
            epoch = _epoch_of(folder, not_needed=() if to_resume else RESUMPTION_FILES)
            if epoch in reported:
                return Left(folder, {e: reported[e] for e in sorted(reported) if e <= epoch})
    return None


def drop_resumption(study: optuna.Study, number: int, checkpoints: AnyPath) -> None:
    """Remove the files that only serve to resume a trial, which has ended.

    Parameters
    ----------
    study : the Optuna study.
    number : number of the trial.
    checkpoints : folder with one sub-folder per trial.
    """
    drop_files(study, number, checkpoints, RESUMPTION_FILES)


def drop_files(
    study: optuna.Study, number: int, checkpoints: AnyPath, patterns: Iterable[str]
) -> None:
    """Remove files from all checkpoints of a trial and of its earlier attempts.

    Parameters
    ----------
    study : the Optuna study.
    number : number of the trial.
    checkpoints : folder with one sub-folder per trial.
    patterns : names of the files, perhaps with wildcards.
    """
    for trial in _lineage(study, number):
        for folder in _newest_first(checkpoints, trial.number):
            for pattern in patterns:
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)


def _lineage(study: optuna.Study, number: int) -> Iterator[FrozenTrial]:
    """A trial, the one that it succeeds, and so on."""
    trials = study.get_trials(deepcopy=False)
    following: int | None = number
    while following is not None:
        yield trials[following]
        following = predecessor(trials[following])


def _newest_first(checkpoints: AnyPath, number: int) -> list[AnyPath]:
    found: list[AnyPath] = list(trial_folder(checkpoints, number).glob("checkpoint_*"))
    return sorted(found, key=lambda folder: folder.name, reverse=True)


def _epoch_of(checkpoint: AnyPath, not_needed: Sequence[str]) -> int | None:
    """Epoch of a checkpoint; None if it is not complete."""
    try:
        report = Report.model_validate_json((checkpoint / "report.json").read_text())
        noted = {n: length for n, length in report.files.items() if n not in not_needed}
        sizes = {name: size(checkpoint / plain_name(name, checkpoint)) for name in noted}
    except (OSError, ValidationError, UserError):
        return None
    return report.epoch if sizes == noted else None
