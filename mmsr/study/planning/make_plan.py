"""From a study's declaration and command line to a checked plan.

All bad input is found here, before anything is scheduled: nothing is written, Ray is not started.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.errors import UserError
from mmsr.study.planning.checks import (
    check_kinds,
    n_trials,
    own_budget,
    seed_of,
    time_limit,
)
from mmsr.study.planning.contenders import check_models, find_contenders, naming
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.site import find_site, open_dataset
from mmsr.study.search import Pruner
from mmsr.study.search.objectives import read_objectives
from mmsr.study.search.pruners import chosen_pruner
from mmsr.study.search.samplers import chosen_sampler
from mmsr.study.search.space import stored
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.workers.resources import read_resources
from mmsr.tracking.energy import check_energy


def make_plan(study: Declaration, options: Options) -> Plan:
    """Check a study and its options, and return the plan to run; nothing is written.

    Parameters
    ----------
    study : the study file.
    options : its command line, which wins over the study file.

    Raises
    ------
    UserError : the first thing that is wrong.
    """
    check_kinds(study)
    objectives = read_objectives(study.objective)
    against = tuple(objectives[1:])
    resources = read_resources(study.resources)
    dataset = open_dataset(study.dataset)
    sampler = chosen_sampler(options.sampler, study.sampler)
    share = check_models(study, sampler)
    contenders = find_contenders(study, options, objectives, dataset, resources)
    for one in contenders:
        with naming(one.model):
            sampler.check(one.space, len(objectives))
    trials = n_trials(study, options, sampler, contenders, share)
    several = () if study.models is None else contenders
    base, space, known = contenders[0].base, contenders[0].space, contenders[0].known
    pruner = _pruner(study, options, against)
    seed = seed_of(study, options)
    folder = StudyFolder(options.name or study.name or dataset.name)
    site = find_site(
        dataset,
        resources,
        storage=options.storage,
        tracking=options.tracking_uri,
        address=options.address,
    )
    warm = None
    if study.warm_start is not None or options.warm_start is not None:
        from mmsr.study.planning.warm_start import warm_start  # loads Optuna

        if several:
            raise UserError("--warm-start: a study of several models learns from no other study")
        warm = warm_start(study, options, folder.name, site, objectives, space, base)
    parts = {
        str(one.model): Definition.of(
            dataset=dataset.name,
            dataset_hash=dataset.content_hash,
            protocol=dataset.protocol,
            objective=objectives[0],
            against=against,
            pruner=str(pruner),
            space=one.space,
            base=one.base,
            trainer=study.trainer,
        )
        for one in contenders
    }
    return Plan(
        name=folder.name,
        folder=folder,
        site=site,
        base=base,
        space=space,
        objective=objectives[0],
        trials=len(known) if study.only_enqueued else trials,
        definition=Definition.of_models(parts) if several else parts[str(None)],
        against=against,
        known=known,
        only=tuple(stored(space, one) for one in known) if study.only_enqueued else None,
        budget=own_budget(study, options, resources),
        warm=warm,
        time_limit=time_limit(study, options),
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        trainer=study.trainer,
        energy=check_energy(options.energy),
        resume=options.resume,
        models=several,
        share=share,
    )


def _pruner(study: Declaration, options: Options, against: Sequence[str]) -> Pruner | None:
    """The pruner; None with several objectives, where trials cannot be compared by one value."""
    if against and options.pruner not in (None, "none"):
        raise UserError(
            f"--pruner {options.pruner}: no trial is stopped early in a study of several "
            "objectives: leave it out"
        )
    pruner = None if against else chosen_pruner(options.pruner, study.pruner)
    if pruner is not None:
        pruner.check()
    return pruner
