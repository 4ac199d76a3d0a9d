"""Opening a study: making it, or going on with the one that is there, and recording how it runs."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from mmsr.provenance import is_interactive, words
from mmsr.study.planning.plan import Plan
from mmsr.study.search.objectives import directions
from mmsr.study.search.per_model import PerModelPruner, PerModelSampler
from mmsr.study.search.space import stored
from mmsr.study.storage import database
from mmsr.study.storage.folder import CALL, StudyRecord
from mmsr.study.storage.progress import n_over
from mmsr.study.workers.resources import GB
from mmsr.tracking.databases import recorded
from mmsr.urls import hidden_word

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
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
    pruner = plan.pruner.build(plan.base.training.epochs) if plan.pruner else None
    study = database.open_study(
        storage,
        plan.name,
        plan.definition,
        known=[] if plan.models else [stored(plan.space, settings) for settings in plan.known],
        trials=plan.trials + _trials_of_others(plan, storage),
        sampler=_sampler(plan, storage),
        directions=directions(plan.definition.objectives),
        pruner=PerModelPruner(pruner) if pruner and plan.models else pruner,
    )
    _name_values(study, plan.definition.objectives)
    plan.folder.write_record(
        StudyRecord(
            name=plan.name,
            uid=database.study_uid(study),
            dataset=plan.dataset.name,
            objective=", ".join(plan.definition.objectives),
            storage=recorded(plan.storage),
            tracking=recorded(plan.tracking),
            command=_command(plan),
            directory=_directory(),
            resources=resources_of(plan),
        )
    )
    return study


def _name_values(study: optuna.Study, objectives: Sequence[str]) -> None:
    """Let Optuna's own pages name the values of trials as the study does."""
    from optuna.exceptions import ExperimentalWarning

    if study.metric_names != list(objectives):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(objectives))


def _sampler(plan: Plan, storage: BaseStorage) -> BaseSampler:
    """Optuna's sampler; of several models, each has its own, with a seed of its own."""
    there = database.models_of_trials(storage, plan.name)
    n_objectives = len(plan.definition.objectives)
    if not plan.models:
        return plan.sampler.build(plan.seed, len(there), n_objectives)
    return PerModelSampler(
        {
            name: plan.sampler.build(
                plan.seed + crc32(name.encode()), there.count(name), n_objectives
            )
            for name in plan.names or ()
        }
    )


def _trials_of_others(plan: Plan, storage: BaseStorage) -> int:
    """Number of trials that are done and do not count in the plan, of its models or of others."""
    study = database.load_study(storage, plan.name) if plan.models else None
    return n_over(study, None) - plan.progress(study).over if study else 0


def resources_of(plan: Plan) -> dict[str, float] | None:
    """What each trial of a plan gets; with `"auto"`, what was measured last, or None."""
    if plan.resources.auto:
        before = plan.folder.read_record()
        return before.resources if before is not None else None
    given = plan.resources
    return {"cpu": given.cpu, "gpu": given.gpu, "memory_gb": given.memory / GB}


def _command(plan: Plan) -> str:
    """What resumes the study: the command, or in a notebook and the like the call from Python."""
    if is_interactive():
        return f"{CALL}, name={plan.name!r}).run()"
    return shlex.join(map(hidden_word, (os.path.basename(sys.executable), *words())))


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
