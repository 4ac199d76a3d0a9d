"""How a trial that was cut off goes on: a successor in Optuna takes its place.

The successor (`retry_of`) has the same settings and config, inherits the learning curve up to the
newest whole checkpoint, that checkpoint, and the tracking run. The trial it follows is FAIL and no
longer counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from pydantic import ValidationError

from mmsr.remote import AnyPath, size
from mmsr.study.workers.messages import Report

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

RESUMPTION_FILES = ("model.safetensors", "optimizer.safetensors", "average.safetensors")
"""What goes of the checkpoints of a trial that is over: most of their bytes."""

IMPORTED = "imported"
"""Attribute of a trial that is another study's: it informs the search method, and no more."""

Settings = Mapping[str, Any]
_EPOCH, _VOID = "epoch ", "void"


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are over and count towards the number asked for."""
    back = taken_back(study)
    return [
        trial
        for trial in current(study.get_trials(deepcopy=False))
        if trial.state.is_finished()
        and "invalid" not in trial.user_attrs
        and trial.number not in back
    ]


def take_back(study: optuna.Study, numbers: Iterable[int]) -> None:
    """Take back that trials are over: they do not count, and the next driver tries them again."""
    if new := set(numbers) - taken_back(study):
        study.set_user_attr(_VOID, sorted(taken_back(study) | new))


def failed(study: optuna.Study, only: Sequence[Settings]) -> list[int]:
    """Numbers of the trials of those settings that failed."""
    return [
        trial.number
        for trial in counted(study)
        if trial.state == TrialState.FAIL and trial.params in only
    ]


def taken_back(study: optuna.Study) -> set[int]:
    """Numbers of the trials that were taken back."""
    return set(study.user_attrs.get(_VOID, ()))


def is_over(study: optuna.Study) -> bool:
    """Whether a study is at its end: all trials that were asked for, or its budget."""
    from mmsr.study.storage.budget import budget_used_up
    from mmsr.study.storage.database import target

    return len(counted(study)) >= (target(study) or 0) or budget_used_up(study) is not None


def n_over(study: optuna.Study, only: Sequence[Settings] | None) -> int:
    """How many trials are over: of those settings alone, or of all where `only` is None."""
    over = counted(study)
    if only is None:
        return len(over)
    done = [trial.params for trial in over]
    return sum(settings in done for settings in only)


def add_missing(study: optuna.Study, only: Sequence[Settings]) -> int:
    """Enqueue those settings that the study lacks; returns the number of its trials then.

    Settings that were withdrawn when an earlier call did not ask for them go on where they were.
    """
    trials = current(study.get_trials(deepcopy=False))
    have = [(trial.params or trial.system_attrs.get("fixed_params", {}), trial) for trial in trials]
    for settings in only:
        there = [trial for params, trial in have if params == settings]
        if not there:
            study.enqueue_trial(dict(settings), user_attrs={"origin": "known"})
        elif all("invalid" in trial.user_attrs for trial in there):
            queue_again(study, there[-1])
    left = current(study.get_trials(deepcopy=False))
    return sum("invalid" not in trial.user_attrs for trial in left)


def current(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The study's own trials, without those that a successor has followed."""
    followed = {trial.user_attrs.get("retry_of") for trial in trials}
    return [
        trial
        for trial in trials
        if trial.number not in followed and IMPORTED not in trial.user_attrs
    ]


def note_value(trial: optuna.Trial, epoch: int, value: float, *, alone: bool) -> None:
    """Note an epoch's objective; where it is not `alone`, Optuna has no place of its own for it."""
    if alone:
        trial.report(value, epoch)
    else:
        trial.set_user_attr(f"{_EPOCH}{epoch}", value)


def curve_of(trial: FrozenTrial) -> dict[int, float]:
    """The first objective by epoch."""
    noted = {
        int(name.removeprefix(_EPOCH)): value
        for name, value in trial.user_attrs.items()
        if name.startswith(_EPOCH)
    }
    return noted or trial.intermediate_values


def trial_folder(checkpoints: AnyPath, number: int) -> AnyPath:
    """Folder of a trial's checkpoints."""
    return checkpoints / f"trial-{number:05d}"


def queue_again(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Enqueue a successor, then end the trial; False if it had one already.

    Being cut off in between does no harm: the next call ends the trial and enqueues nothing.
    """
    trials = study.get_trials(deepcopy=False)
    followed = any(other.user_attrs.get("retry_of") == trial.number for other in trials)
    if not followed:
        attrs = {
            "retry_of": trial.number,
            "key": trial.user_attrs.get("key", f"trial-{trial.number:05d}"),
            "origin": "retry",
        }
        if "config" in trial.user_attrs:
            attrs["config"] = trial.user_attrs["config"]
        study.enqueue_trial(trial.params, user_attrs=attrs)
    if trial.state == TrialState.RUNNING:
        study.tell(trial.number, state=TrialState.FAIL)
    return not followed


@dataclass(frozen=True)
class Left:
    """What a trial that was cut off has left."""

    folder: AnyPath
    curve: dict[int, float]
    """Objective by epoch, up to the checkpoint in `folder`."""


def newest_checkpoint(
    study: optuna.Study, number: int, checkpoints: AnyPath, *, to_resume: bool = True
) -> Left | None:
    """Newest whole checkpoint of a trial or those before it.

    Of a trial that is over, nothing is left to resume from: its best model is had with
    `to_resume=False`.

    A worker writes a checkpoint first and reports then, so one whose epoch was reported is whole,
    unless the machine went down before it was on disk: then its files are shorter than noted.
    """
    for trial in _lineage(study, number):
        reported = curve_of(trial)
        for folder in _newest_first(checkpoints, trial.number):
            epoch = _epoch_of(folder, not_needed=() if to_resume else RESUMPTION_FILES)
            if epoch in reported:
                return Left(folder, {e: reported[e] for e in sorted(reported) if e <= epoch})
    return None


def drop_resumption(study: optuna.Study, number: int, checkpoints: AnyPath) -> None:
    """Remove what only serves to continue a trial that is over."""
    for trial in _lineage(study, number):
        for folder in _newest_first(checkpoints, trial.number):
            for name in RESUMPTION_FILES:
                (folder / name).unlink(missing_ok=True)


def _lineage(study: optuna.Study, number: int) -> Iterator[FrozenTrial]:
    """A trial, the one that it follows, and so on."""
    trials = study.get_trials(deepcopy=False)
    following: int | None = number
    while following is not None:
        yield trials[following]
        following = trials[following].user_attrs.get("retry_of")


def _newest_first(checkpoints: AnyPath, number: int) -> list[AnyPath]:
    found: list[AnyPath] = list(trial_folder(checkpoints, number).glob("checkpoint_*"))
    return sorted(found, key=lambda folder: folder.name, reverse=True)


def _epoch_of(checkpoint: AnyPath, not_needed: Sequence[str]) -> int | None:
    """Epoch of a whole checkpoint."""
    try:
        report = Report.model_validate_json((checkpoint / "report.json").read_text())
        noted = {n: length for n, length in report.files.items() if n not in not_needed}
        sizes = {name: size(checkpoint / name) for name in noted}
    except (OSError, ValidationError):
        return None
    return report.epoch if sizes == noted else None
