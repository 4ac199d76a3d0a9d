"""Opening a study: making it, or going on with the one that is there, and recording how it runs."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from mmsr.study.planning.plan import Plan
from mmsr.study.search.objectives import directions
from mmsr.study.search.space import stored
from mmsr.study.storage import database
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.workers.resources import GB
from mmsr.tracking.databases import recorded
from mmsr.urls import hidden_word

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage


def open_study_of(plan: Plan, storage: BaseStorage) -> optuna.Study:
    """Create the study of a plan, or open the existing one, and record how it is run.

    Parameters
    ----------
    plan : the study.
    storage : where its state is stored.

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
            storage=recorded(plan.storage),
            tracking=recorded(plan.tracking),
            command=shlex.join(
                hidden_word(word) for word in (os.path.basename(sys.executable), *sys.argv)
            ),
            directory=_directory(),
            resources=resources_of(plan),
        )
    )
    return study


def resources_of(plan: Plan) -> dict[str, float] | None:
    """What each trial of a plan gets; with `"auto"`, what was measured last, or None."""
    if plan.resources.auto:
        before = plan.folder.read_record()
        return before.resources if before is not None else None
    given = plan.resources
    return {"cpu": given.cpu, "gpu": given.gpu, "memory_gb": given.memory / GB}


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
