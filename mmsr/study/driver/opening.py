"""Whether a study of this name is there already, and is the same."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.study.planning.plan import Plan
from mmsr.study.search.objectives import directions
from mmsr.study.search.space import stored
from mmsr.study.storage import database
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.workers.resources import GB
from mmsr.tracking.databases import hide_password, without_password

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


def open_study_of(plan: Plan, storage: BaseStorage) -> optuna.Study:
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
