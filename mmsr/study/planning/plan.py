"""`Plan`: a study that has been checked, complete with all its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.study.planning.rules import Contender, Rules
from mmsr.study.planning.site import Site
from mmsr.study.search import Pruner, Sampler, Share, Tpe
from mmsr.study.search.objectives import is_cost
from mmsr.study.search.share import EvenTrials
from mmsr.study.search.space import Space, apply
from mmsr.study.storage.budget import Budget
from mmsr.study.storage.definition import TRAINER, Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.workers.messages import Proposal, Task
from mmsr.study.workers.resources import Resources
from mmsr.urls import Url

if TYPE_CHECKING:
    import optuna

    from mmsr.study.planning.warm_start import WarmStart
    from mmsr.study.storage.known_study import KnownStudy
    from mmsr.study.storage.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study, checked and complete."""

    name: str
    folder: StudyFolder
    site: Site
    base: Config
    space: Space
    objective: str
    trials: int
    definition: Definition
    against: tuple[str, ...] = ()
    """Further objectives; the study searches for the best trade-offs with the first."""
    known: tuple[Mapping[str, Any], ...] = ()
    """Settings to try first."""
    only: tuple[Mapping[str, Any], ...] | None = None
    """The only settings to run, as Optuna stores them; None if the search method proposes more."""
    budget: Budget = field(default_factory=Budget)
    warm: WarmStart | None = None
    """The trials of another study that this one learns from."""
    time_limit: float = math.inf
    """Most seconds that a trial may train."""
    sampler: Sampler = field(default_factory=Tpe)
    pruner: Pruner | None = None
    seed: int = 2023
    trainer: str = TRAINER
    energy: str | None = None
    """Country whose power the trials use, as `mmsr.tracking.energy.check_energy` returns it; None
    measures no energy."""
    resume: bool = False
    models: tuple[Contender, ...] = ()
    """The models of a study of several; `space`, `base` and `known` are those of the first then."""
    share: Share = field(default_factory=EvenTrials)
    """How trials are shared out among them."""

    @property
    def dataset(self) -> Dataset:
        """The data set that trials train on."""
        return self.site.dataset

    @property
    def resources(self) -> Resources:
        """What each trial gets."""
        return self.site.resources

    @property
    def storage(self) -> Url:
        """URL of Optuna's database."""
        return self.site.storage

    @property
    def tracking(self) -> Url:
        """URI of the tracking server."""
        return self.site.tracking

    @property
    def address(self) -> str | None:
        """Ray cluster to join; None starts Ray on this machine."""
        return self.site.address

    def with_resources(self, resources: Resources) -> Plan:
        """The same plan with other resources for each trial; its number of threads follows.

        Parameters
        ----------
        resources : what each trial gets.
        """
        base = self.base
        if base.training.threads == self.resources.threads:  # else the study says how many
            base = base.replace({"training.threads": resources.threads})
        site = replace(self.site, resources=resources)
        models = tuple(
            one.with_threads(resources.threads)
            if one.base.training.threads == self.resources.threads
            else one
            for one in self.models
        )
        return replace(self, site=site, base=base, models=models)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The models of the study, also if it is a single one."""
        return self.models or (Contender(None, self.space, self.base, self.known),)

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the models of a study of several, whose trials alone count; else None."""
        return tuple(str(one.model) for one in self.models) or None

    @property
    def quota(self) -> int | None:
        """Most trials of one of several models that count; None sets no limit."""
        return self.share.quota(len(self.models), self.trials) if self.models else None

    def of_model(self, contender: Contender) -> Plan:
        """The same plan for one of its models alone, e.g. to measure a trial of it.

        Parameters
        ----------
        contender : the model.
        """
        if contender.model is None:
            return self
        return replace(
            self,
            models=(),
            base=contender.base,
            space=contender.space,
            known=contender.known,
            definition=self.definition.of_model(contender.model),
        )

    def progress(self, study: optuna.Study) -> Progress:
        """How far a study of this plan is.

        Parameters
        ----------
        study : the Optuna study.
        """
        from mmsr.study.storage.progress import progress_of

        return progress_of(study, self.only, self.trials, self.names, self.quota)

    def as_known(self, study: optuna.Study) -> KnownStudy:
        """The plan's study as commands see it that look at a study afterwards.

        Parameters
        ----------
        study : the Optuna study.
        """
        from mmsr.study.storage.known_study import KnownStudy

        return KnownStudy(self.folder, study, self.definition, self.storage, self.tracking)

    def recorded_in(self, study: optuna.Study) -> KnownStudy:
        """The study whose journal and tracking run record the trials: `study` itself."""
        return self.as_known(study)

    def rules(self, *, retries: bool = False) -> Rules:
        """The rules that the ledger of this study applies.

        Parameters
        ----------
        retries : as in `Rules`.
        """
        return Rules(
            space=self.space,
            base=self.base,
            objective=self.objective,
            against=self.against,
            time_limit=self.time_limit,
            only=self.only,
            retries=retries,
            systematic=self.sampler.systematic,
            make_config=self.config_of,
            models=self.models,
            share=self.share.limited(self.quota),
        )

    def task(self, proposal: Proposal) -> Task:
        """The task of a worker that runs the trial `proposal`."""
        return Task(
            number=proposal.number,
            config=proposal.config.to_dict(),
            dataset_hash=self.dataset.content_hash,
            device="cuda" if self.resources.gpu else "cpu",
            home=self.site.home,
            trainer=self.trainer_of(proposal.settings),
            checkpoint=str(proposal.checkpoint) if proposal.checkpoint else None,
            costs=any(map(is_cost, self.against)),
            energy=self.energy,
            gpus=self.resources.gpu,
        )

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """The config that `settings` lead to."""
        return apply(self.base, settings)

    def trainer_of(self, settings: Mapping[str, Any]) -> str:
        """Import path of the trainer that runs `settings`."""
        return self.trainer
