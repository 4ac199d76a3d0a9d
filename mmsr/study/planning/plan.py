"""From a study's declaration and the command line to a plan that is known to be sound.

All bad input is found here, before anything is scheduled: nothing is written, Ray is not started.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.catalog import names as dataset_names
from mmsr.errors import UserError, unknown
from mmsr.remote import check_remote
from mmsr.study.planning.checks import at_least_one, check_kinds, n_trials, own_budget, time_limit
from mmsr.study.planning.declaration import Options
from mmsr.study.search import Pruner, Sampler
from mmsr.study.search.defaults import KNOWN_SETTINGS
from mmsr.study.search.dimensions import meets
from mmsr.study.search.objectives import is_cost, read_objectives, settings_for
from mmsr.study.search.pruners import chosen_pruner
from mmsr.study.search.samplers import chosen_sampler
from mmsr.study.search.space import (
    Space,
    apply,
    check_settings,
    check_space,
    extreme_graphs,
    stored,
)
from mmsr.study.storage.budget import Budget
from mmsr.study.storage.database import default_storage
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.workers.cluster import check_address, check_this_machine
from mmsr.study.workers.messages import Proposal, Task
from mmsr.study.workers.resources import Resources, read_resources
from mmsr.tracking import check_tracking, default_uri
from mmsr.tracking.databases import check_database, normalised

if TYPE_CHECKING:
    from mmsr.study.planning.declaration import Declaration
    from mmsr.study.planning.warm_start import WarmStart

TEST_SELECTING = "mmsr.reproduce.select_on_test:train_selecting_on_test"
"""Import path of the trainer behind `mmsr reproduce --select-on test`."""


@dataclass(frozen=True)
class Plan:
    """A study, checked and complete."""

    name: str
    folder: StudyFolder
    dataset: Dataset
    base: Config
    space: Space
    objective: str
    against: tuple[str, ...]
    """Further objectives, which the first one is weighed against."""
    known: tuple[Mapping[str, Any], ...]
    only: tuple[Mapping[str, Any], ...] | None
    """All settings that are to be run, as Optuna keeps them; None where others are proposed."""
    trials: int
    budget: Budget
    warm: WarmStart | None
    """What another study tells this one."""
    resources: Resources
    time_limit: float | None
    """Most seconds that a trial may train."""
    sampler: Sampler
    pruner: Pruner | None
    seed: int
    storage: str
    tracking: str
    address: str | None
    trainer: str
    definition: Definition
    resume: bool
    home: str
    """`$MMSR_HOME` as every node is told of it."""

    def task(self, proposal: Proposal) -> Task:
        """What a worker needs to run a trial."""
        return Task(
            number=proposal.number,
            config=proposal.config.to_dict(),
            dataset_hash=self.dataset.content_hash,
            device="cuda" if self.resources.gpu else "cpu",
            home=self.home,
            trainer=self.trainer_of(proposal.settings),
            checkpoint=str(proposal.checkpoint) if proposal.checkpoint else None,
            costs=any(map(is_cost, self.against)),
        )

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """The config that settings stand for."""
        return apply(self.base, settings)

    def trainer_of(self, settings: Mapping[str, Any]) -> str:
        """Import path of the trainer that runs them."""
        return self.trainer


def make_plan(study: Declaration, options: Options) -> Plan:
    """Check a study and its options.

    Raises
    ------
    UserError : the first thing that is wrong.
    """
    check_kinds(study)
    if paths.remote() is not None:
        check_remote(paths.named_home())
    _check_trainer(study.trainer)
    objective, *against = read_objectives(study.objective)
    resources = read_resources(study.resources)
    dataset = _dataset(study.dataset)
    base, fixed = _base(study, options, dataset.name, (objective, *against), resources)
    space = _without_fixed(study.space, base, fixed)
    check_space(space, base)
    known = _known(study, space, base)
    _check_data(dataset, space, base, known)
    sampler = chosen_sampler(options.sampler, study.sampler)
    sampler.check(space, 1 + len(against))
    trials = n_trials(study, options, sampler, space, base)
    pruner = _pruner(study, options, against)
    seed = study.seed if options.seed is None else options.seed
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"--seed {seed!r}: give a whole number of at least 0")
    folder = StudyFolder(options.name or study.name or dataset.name)
    storage = normalised(options.storage or default_storage())
    tracking = normalised(options.tracking_uri or default_uri())
    check_database(storage, "storage")
    check_tracking(tracking)
    address = options.address or os.environ.get("RAY_ADDRESS") or None
    if address is None:
        check_this_machine(resources)
    else:
        check_address(address)
    warm = None
    if options.warm_start is not None or study.warm_start is not None:
        from mmsr.study.planning.warm_start import read_warm_start

        objectives = (objective, *against)
        warm = read_warm_start(
            study, options, folder.name, storage, dataset, objectives, space, base
        )
    return Plan(
        name=folder.name,
        folder=folder,
        dataset=dataset,
        base=base,
        space=space,
        objective=objective,
        against=tuple(against),
        known=known,
        only=tuple(stored(space, one) for one in known) if study.only_enqueued else None,
        trials=len(known) if study.only_enqueued else trials,
        budget=own_budget(study, options, resources),
        warm=warm,
        resources=resources,
        time_limit=time_limit(study, options),
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        storage=storage,
        tracking=tracking,
        address=address,
        trainer=study.trainer,
        definition=Definition.of(
            dataset=dataset.name,
            dataset_hash=dataset.content_hash,
            protocol=dataset.protocol,
            objective=objective,
            against=tuple(against),
            pruner=str(pruner),
            space=space,
            base=base,
        ),
        resume=options.resume,
        home=str(paths.remote() or paths.home()),
    )


def _check_trainer(trainer: str) -> None:
    """Keep ordinary studies from the one trainer that reads the test part."""
    if trainer.partition(":")[0] == TEST_SELECTING.partition(":")[0]:
        raise UserError(f"trainer {trainer!r} reads test: it is there for `mmsr reproduce` alone")


def _pruner(study: Declaration, options: Options, against: Sequence[str]) -> Pruner | None:
    """What stops weak trials; nothing does where there is no one value to compare."""
    if against and options.pruner not in (None, "none"):
        raise UserError(
            f"--pruner {options.pruner}: with several objectives no trial is stopped early: leave "
            "it out"
        )
    pruner = None if against else chosen_pruner(options.pruner, study.pruner)
    if pruner is not None:
        pruner.check()
    return pruner


def _dataset(name: str) -> Dataset:
    known = dataset_names()
    if name not in known:
        if name == "demo":
            hint = "run `mmsr data demo`"
        else:
            hint = (
                f"run `mmsr data import {name} --interactions FILE --items FILE "
                "--features MODALITY=FILE`"
            )
        raise UserError(f"{unknown('dataset', name, known)}; {hint}")
    return Dataset.open(name)


def _base(
    study: Declaration,
    options: Options,
    dataset: str,
    objectives: Sequence[str],
    resources: Resources,
) -> tuple[Config, set[str]]:
    """The config that is varied, and the keys that --set has fixed."""
    fixed = dict(options.settings or {})
    for key in ("dataset", "training.select_by"):
        if key in fixed or key in study.base:
            instead = "dataset=" if key == "dataset" else "objective="
            raise UserError(f"{key} cannot be set in a study: use {instead} in the study file")
    config = Config(dataset=dataset).replace(
        {"training.select_by": objectives[0], "training.threads": resources.threads}
    )
    config = config.replace(settings_for(objectives))
    config = config.replace(study.base)
    if (epochs := options.epochs if options.epochs is not None else study.epochs) is not None:
        epochs = at_least_one("--epochs", epochs, None)
        config = config.replace({"training.epochs": epochs})
    return config.replace(fixed), set(fixed)


def _without_fixed(space: Space, base: Config, fixed: set[str]) -> Space:
    """The space without what --set has fixed, and without what exists only under other values."""
    flat = base.flat()
    return {
        key: dimension
        for key, dimension in space.items()
        if key not in fixed
        and all(meets(flat.get(k), v) for k, v in dimension.when.items() if k in fixed)
    }


def _known(study: Declaration, space: Space, base: Config) -> tuple[Mapping[str, Any], ...]:
    """Settings to try first; the known ones as far as the space has them, if none are given."""
    if study.enqueue is not None:
        dropped = study.space.keys() - space.keys()
        own = [
            {key: value for key, value in settings.items() if key not in dropped}
            for settings in study.enqueue
        ]
        for given in own:
            check_settings(space, base, given)
        return tuple(given for place, given in enumerate(own) if given not in own[:place])
    found: list[Mapping[str, Any]] = []
    for settings in KNOWN_SETTINGS:
        within = {key: value for key, value in settings.items() if key in space}
        try:
            check_settings(space, base, within)
        except UserError:
            continue  # this space leaves these settings out
        if within and within not in found:
            found.append(within)
    return tuple(found)


def _check_data(
    dataset: Dataset, space: Space, base: Config, known: Sequence[Mapping[str, Any]]
) -> None:
    from mmsr.graph.codes import check_graph_config

    for graph in extreme_graphs(space, base):
        check_graph_config(dataset, graph)
    for settings in known:
        check_graph_config(dataset, base.replace(settings).graph)
    if not dataset.manifest.counts.valid_targets:
        raise UserError(
            f"data set {dataset.name!r} has no validation targets, a study has nothing to go by: "
            "import it with another --protocol or more history"
        )
