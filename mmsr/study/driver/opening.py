"""Whether a study of this name is there already, and is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.study.planning.plan import Plan
from mmsr.study.storage import database
from mmsr.tracking.databases import without_password

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage


def check_existing(plan: Plan, storage: BaseStorage) -> optuna.Study | None:
    """The study that a plan goes on with; None where there is none yet.

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
