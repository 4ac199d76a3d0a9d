"""Opening a study: whether it is there already, is the same, and has anything left to run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.study.planning.plan import Plan
from mmsr.study.search.objectives import directions
from mmsr.study.search.space import stored
from mmsr.study.storage import database
from mmsr.study.storage.budget import spent_hours
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.storage.progress import Settings, failed, progress_of
from mmsr.study.workers.resources import GB
from mmsr.tracking.databases import hide_password, without_password

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage


@dataclass(frozen=True)
class Found:
    """What a driver finds of its study before it opens it."""

    study: optuna.Study | None
    """None where there is none yet."""
    over: int = 0
    """Trials that are over, without those that are tried again."""
    again: tuple[int, ...] = ()
    """Numbers of failed trials that are tried again."""
    nothing_to_do: str | None = None
    """Why there is nothing to run; None where there is."""

    def greeting(self, plan: Plan) -> str:
        """What the user is told first."""
        if self.study is None:
            return (
                f"study {plan.name}: {plan.trials} trials on {plan.dataset.name}, "
                f"{plan.resources} each; starting Ray"
            )
        if self.nothing_to_do is not None:
            return f"study {plan.name}: {self.over} trials are over, {self.nothing_to_do}"
        return f"study {plan.name} exists: going on after {self.over} of {plan.trials} trials"


def find_existing(plan: Plan, storage: BaseStorage, retried: Sequence[Settings]) -> Found:
    """Look for the study of a plan; nothing is written.

    Parameters
    ----------
    plan : the study.
    storage : where it is looked for.
    retried : settings whose trials are tried again if they failed before.

    Raises
    ------
    UserError : there is another study of this name, it is lost, or it is not there to be resumed.
    """
    study = check_existing(plan, storage)
    if study is None:
        return Found(None)
    again = tuple(failed(study, retried))
    progress = progress_of(study, plan.only, plan.trials)
    over = progress.over - len(again)
    used_up = plan.budget.used_up(spent_hours(study))
    nothing = None
    if over >= plan.trials or progress.exhausted:
        nothing = "nothing to do"
    elif used_up is not None:
        nothing = f"{used_up}, more of it goes on"
    return Found(study, over, again, nothing)


def check_existing(plan: Plan, storage: BaseStorage) -> optuna.Study | None:
    """The study that a plan goes on with; None where there is none yet.

    Parameters
    ----------
    plan : the study.
    storage : where it is looked for.

    Raises
    ------
    UserError : it is another one, lost, or not there though it is to be resumed.
    """
    study = database.load_study(storage, plan.name)
    definition = database.read_definition(study) if study else None
    record = plan.folder.read_record()
    if record is not None and study is None and record.storage == without_password(plan.storage):
        raise UserError(
            f"{record.storage} has lost study {plan.name!r}: restore it, or remove "
            f"{plan.folder.path} to begin anew (its trials' checkpoints go)"
        )
    if record is not None and (
        not definition or not study or record.uid != database.study_uid(study)
    ):
        raise UserError(
            f"{plan.folder.path} belongs to another study {plan.name!r}, kept in {record.storage}: "
            "give that --storage to go on with it, another --name for a new study, or remove the "
            "folder"
        )
    if study is None or definition is None:
        if plan.resume:
            raise UserError(
                f"there is no study {plan.name!r} in this storage to resume: leave --resume out to "
                "start it"
            )
        return None
    database.check_same(plan.name, definition, plan.definition)
    return study


def open_study_of(plan: Plan, storage: BaseStorage) -> optuna.Study:
    """Make the study of a plan, or open the one that is there, and record how it is run.

    Parameters
    ----------
    plan : the study.
    storage : where its state is kept.

    Raises
    ------
    UserError : a study of this name has another definition, or the folder cannot be written.
    """
    study = database.open_study(
        storage,
        plan.name,
        plan.definition,
        known=[stored(plan.space, settings) for settings in plan.known],
        trials=plan.trials,
        sampler=plan.sampler.build(
            plan.seed, database.n_trials(storage, plan.name), len(plan.definition.objectives)
        ),
        directions=directions(plan.definition.objectives),
        pruner=plan.pruner.build(plan.base.training.epochs) if plan.pruner else None,
    )
    plan.folder.write_record(
        StudyRecord(
            name=plan.name,
            uid=database.study_uid(study),
            dataset=plan.dataset.name,
            objective=", ".join(plan.definition.objectives),
            storage=without_password(plan.storage),
            tracking=without_password(plan.tracking),
            command=shlex.join(
                hide_password(word) for word in (os.path.basename(sys.executable), *sys.argv)
            ),
            resources=resources_of(plan),
        )
    )
    return study


def resources_of(plan: Plan) -> dict[str, float] | None:
    """What each trial gets; where that is to be measured yet, what was measured last."""
    if plan.resources.auto:
        before = plan.folder.read_record()
        return before.resources if before is not None else None
    given = plan.resources
    return {"cpu": given.cpu, "gpu": given.gpu, "memory_gb": given.memory / GB}
