"""From a study's declaration and command line to a checked plan.

All bad input is found here, before anything is scheduled: nothing is written, Ray is not started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmsr.config import Config
from mmsr.config.models import settings_class
from mmsr.data import Dataset
from mmsr.dimensions.base import meets
from mmsr.dimensions.kinds import Choice
from mmsr.errors import UserError
from mmsr.study.planning.checks import (
    at_least_one,
    check_kinds,
    n_trials,
    own_budget,
    said,
    seed_of,
    time_limit,
)
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.site import find_site, open_dataset
from mmsr.study.search import Pruner
from mmsr.study.search.objectives import check_not_of_test, read_objectives, settings_for
from mmsr.study.search.pruners import chosen_pruner
from mmsr.study.search.samplers import chosen_sampler
from mmsr.study.search.space import (
    Space,
    check_settings,
    check_space,
    extreme_graphs,
    stored,
)
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.workers.resources import Resources, read_resources


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
    base, fixed = _base(study, options, objectives, dataset.name, resources)
    declared = base.model.space() if study.space is None else study.space
    space = _without_fixed(declared, base, fixed)
    check_space(space, base)
    known = _known(study, declared, space, base)
    _check_data(dataset, space, base, known)
    sampler = chosen_sampler(options.sampler, study.sampler)
    sampler.check(space, len(objectives))
    trials = n_trials(study, options, sampler, space, base)
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

        warm = warm_start(study, options, folder.name, site, objectives, space, base)
    return Plan(
        name=folder.name,
        folder=folder,
        site=site,
        base=base,
        space=space,
        objective=objectives[0],
        trials=len(known) if study.only_enqueued else trials,
        definition=Definition.of(
            dataset=dataset.name,
            dataset_hash=dataset.content_hash,
            protocol=dataset.protocol,
            objective=objectives[0],
            against=against,
            pruner=str(pruner),
            space=space,
            base=base,
            trainer=study.trainer,
        ),
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
        resume=options.resume,
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


def _base(
    study: Declaration,
    options: Options,
    objectives: Sequence[str],
    dataset: str,
    resources: Resources,
) -> tuple[Config, set[str]]:
    """The config that is varied, and the keys that --set fixed."""
    fixed = dict(options.settings or {})
    for key in ("dataset", "training.select_by"):
        if key in fixed or key in study.base:
            if key != "dataset":
                check_not_of_test(key, fixed.get(key, study.base.get(key)))
            instead = "dataset=" if key == "dataset" else "objective="
            raise UserError(f"{key} cannot be set in a study: use {instead} in the study file")
    config = Config(dataset=dataset).replace(
        {"training.select_by": objectives[0], "training.threads": resources.threads}
    )
    config = config.replace(settings_for(objectives))
    config = config.replace(study.base)
    if (epochs := options.epochs if options.epochs is not None else study.epochs) is not None:
        epochs = at_least_one(said("epochs", options), epochs, None)
        config = config.replace({"training.epochs": epochs})
    return config.replace(fixed), set(fixed)


def _without_fixed(space: Space, base: Config, fixed: set[str]) -> Space:
    """The space without the keys that --set fixed, and without dimensions that these rule out."""
    flat = base.flat()
    return {
        key: dimension
        for key, dimension in space.items()
        if key not in fixed
        and all(meets(flat.get(k), v) for k, v in dimension.when.items() if k in fixed)
    }


def _known(
    study: Declaration, declared: Space, space: Space, base: Config
) -> tuple[Mapping[str, Any], ...]:
    """Settings to try first: those given, else the known ones that lie within the space."""
    if study.enqueue is not None:
        dropped = declared.keys() - space.keys()
        own = [
            {key: value for key, value in settings.items() if key not in dropped}
            for settings in study.enqueue
        ]
        for given in own:
            check_settings(space, base, given)
        return tuple(given for place, given in enumerate(own) if given not in own[:place])
    varied = space.get("model.name")
    names = varied.corners() if isinstance(varied, Choice) else (base.model.name,)
    named = [
        {"model.name": name, **settings}
        for name in names
        for settings in settings_class(name).known_settings()
    ]
    found: list[Mapping[str, Any]] = []
    for settings in named:
        within = {key: value for key, value in settings.items() if key in space}
        try:
            check_settings(space, base, within)
        except UserError:
            continue  # these settings lie outside the space
        if within and within not in found:
            found.append(within)
    return tuple(found)


def _check_data(
    dataset: Dataset, space: Space, base: Config, known: Sequence[Mapping[str, Any]]
) -> None:
    from mmsr.graph.checks import check_inputs

    for config in extreme_graphs(space, base):
        check_inputs(dataset, config)
    for settings in known:
        check_inputs(dataset, base.replace(settings))
    if not dataset.manifest.counts.valid_targets:
        raise UserError(
            f"data set {dataset.name!r} has no validation targets, so a study cannot compare its "
            "trials: import it with another --protocol or longer histories"
        )
