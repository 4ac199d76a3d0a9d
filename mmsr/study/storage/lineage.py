"""How a trial that was cut off goes on: a successor in Optuna takes its place.

The successor (`retry_of`) has the same settings and config, inherits the learning curve up to the
newest whole checkpoint, that checkpoint, and the tracking run. The trial it follows is FAIL and no
longer counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

_EPOCH = "epoch "


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
