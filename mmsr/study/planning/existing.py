"""Whether the study of a plan exists, has the same definition, and has anything left to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.study.planning.plan import Plan
from mmsr.study.storage import database
from mmsr.study.storage.budget import spent_hours
from mmsr.study.storage.progress import Settings, failed
from mmsr.study.workers.addresses import is_connected
from mmsr.tracking.databases import is_place, recalled

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage


@dataclass(frozen=True)
class Found:
    """The state in which a driver finds its study."""

    study: optuna.Study | None
    """None if it does not exist yet."""
    over: int = 0
    """Trials that have ended, not counting those that are retried."""
    again: tuple[int, ...] = ()
    """Numbers of failed trials that are retried."""
    nothing_to_do: str | None = None
    """Why there is nothing to run; None if there is."""

    def greeting(self, plan: Plan) -> str:
        """The first line that the user sees: whether the study is new, resumed or complete.

        Parameters
        ----------
        plan : the study that was looked for.
        """
        if self.study is None:
            what = f"study {plan.name}: {plural(plan.trials, 'trial')} on {plan.dataset.name}"
            ray = "using the Ray of this process" if is_connected() else "starting Ray"
            return f"{what}, {plan.resources} each; {ray}"
        if self.nothing_to_do is not None:
            return f"study {plan.name}: {self.done(plan)}, {self.nothing_to_do}"
        return f"study {plan.name} exists: resuming, {self.done(plan)}"

    def done(self, plan: Plan) -> str:
        """How many of the trials of `plan` are done, in words."""
        return f"{self.over} of {plural(plan.trials, 'trial')} done"

    def left(self, plan: Plan) -> int:
        """How many trials of `plan` are left to run."""
        return 0 if self.nothing_to_do is not None else max(plan.trials - self.over, 0)


def find_existing(plan: Plan, storage: BaseStorage, retried: Sequence[Settings]) -> Found:
    """Look for the study of a plan; nothing is written.

    Parameters
    ----------
    plan : the study.
    storage : where it is looked for.
    retried : settings whose trials are retried if they failed before.

    Raises
    ------
    UserError : the name belongs to another study, the study is lost, or it does not exist though
        `--resume` was given.
    """
    study = check_existing(plan, storage)
    if study is None:
        return Found(None)
    again = tuple(failed(study, retried))
    progress = plan.progress(study)
    over = progress.over - len(again)
    used_up = plan.budget.used_up(spent_hours(study))
    nothing = None
    if over >= plan.trials or (progress.exhausted and not again):
        nothing = "nothing to do"
    elif used_up is not None:
        nothing = f"{used_up}; a higher budget resumes the study"
    return Found(study, over, again, nothing)


def foresee(plan: Plan, retried: Sequence[Settings] = ()) -> Found:
    """What a run of a plan would find; a database that is not there yet is not made for that.

    Parameters
    ----------
    plan, retried : as in `find_existing`.

    Raises
    ------
    UserError : as `find_existing`.
    """
    with database.watching(plan.storage):
        if database.is_made(plan.storage):
            return find_existing(plan, database.open_storage(plan.storage), retried)
        return Found(check_found(plan, None))


def check_existing(plan: Plan, storage: BaseStorage) -> optuna.Study | None:
    """The existing study of a plan; None if there is none yet.

    Parameters
    ----------
    plan : the study.
    storage : where it is looked for.

    Raises
    ------
    UserError : the name belongs to another study, the study is lost, or it does not exist though
        `--resume` was given.
    """
    return check_found(plan, database.load_study(storage, plan.name))


def check_found(plan: Plan, study: optuna.Study | None) -> optuna.Study | None:
    """The study that a storage has under a plan's name, if it is the plan's; None if it has none.

    Parameters
    ----------
    plan : the study.
    study : what the storage has.

    Raises
    ------
    UserError : as `check_existing`.
    """
    definition = database.read_definition(study) if study else None
    record = plan.folder.read_record()
    if record is not None and study is None and is_place(record.storage, plan.storage):
        raise UserError(
            f"{recalled(record.storage)} has lost study {plan.name!r}: restore it, or remove "
            f"{plan.folder.path} to begin anew (its trials' checkpoints are deleted with it)"
        )
    if record is not None and (
        not definition or not study or record.uid != database.study_uid(study)
    ):
        raise UserError(
            f"{plan.folder.path} belongs to another study {plan.name!r}, kept in "
            f"{recalled(record.storage)}: give that --storage to resume it, another --name for a "
            "new study, or remove the folder"
        )
    if study is None or definition is None:
        if plan.resume:
            raise UserError(
                f"there is no study {plan.name!r} in this storage to resume: leave out --resume to "
                "start it"
            )
        return None
    database.check_same(plan.name, definition, plan.definition)
    return study
