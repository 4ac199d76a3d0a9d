"""The fields of a study file, and the options of its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsr.dimensions.base import Dimension
from mmsr.dimensions.mistakes import noting_mistakes
from mmsr.study.search import Halving, Pruner, Sampler, Share, Tpe
from mmsr.study.storage.definition import TRAINER


@dataclass(frozen=True)
class Options:
    """Choices of one run; None leaves the study's own value."""

    name: str | None = None
    trials: int | None = None
    epochs: int | None = None
    trial_hours: float | None = None
    seed: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    address: str | None = None
    storage: str | None = field(default=None, repr=False)
    tracking_uri: str | None = field(default=None, repr=False)
    notify: str | None = field(default=None, repr=False)
    """URL that is sent a notice when the study ends, fails or waits; None takes `$MMSR_NOTIFY`."""
    energy: bool | str | None = None
    """Whether trials measure their energy (extra `energy`): True, or the ISO code of a country such
    as "DEU", which adds CO2; see `mmsr.tracking.energy`."""
    resume: bool = False
    dry_run: bool = False
    hours: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    warm_start: str | None = None
    settings: Mapping[str, Any] | None = None
    """Config keys fixed by --set."""


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What to search, on which data set, and how; `mmsr.study.Study` can also run it.

    The constructor checks nothing: `mmsr.study.planning.make_plan` checks everything before
    anything is scheduled.
    """

    dataset: str
    """Name of a prepared data set."""
    name: str | None = None
    """Name of the study; None takes the data set's."""
    models: Sequence[str] | Mapping[str, Mapping[str, Dimension] | None] | None = None
    """Models to compare in one study: their names, or a mapping from each to its own search space
    (None takes that of the model). Each trial is of one of them. A model's known settings are tried
    first, its trials inform its own search alone, and are stopped early only by comparison with
    each other. `space` and `enqueue` are not given then; `base` holds for all of these models. None
    searches the one model that `base` names."""
    share: str | Share = "trials"
    """How trials are shared out among `models`: "trials" (the same number for each), "hours" (the
    same hours of training), or `ModelHalving(…)`, which drops the worse half after each round."""
    space: Mapping[str, Dimension] | None = None
    """The search space: a dimension for each config key to vary, e.g. `graph.n_codes`. None takes
    that of the model which `base` names; of MMSR, `DEFAULT_SPACE`."""
    objective: str | Sequence[str] = "valid/mrr@20"
    """Validation metric to maximise; it also chooses each trial's best epoch. A list of metrics is
    searched for the best trade-offs: the first as just described, the others from
    `mmsr.study.search.objectives.AGAINST`. Then no trial is stopped early."""
    trials: int | None = None
    """Trials to run in all: finished, stopped early or failed, those of earlier runs included. None
    runs all of a grid, and 20 otherwise. Of several `models`, trials of those that are named now
    are counted, and None runs 20 of each, or all rounds of `ModelHalving`."""
    epochs: int | None = None
    """Most epochs of a trial; None takes the config's default."""
    resources: Mapping[str, float] | str = field(default_factory=lambda: {"cpu": 1, "gpu": 0})
    """What each trial gets: `cpu` (its number of threads follows) and `gpu`, which may both be
    fractions, and `memory_gb` of main memory. With "auto", one trial is measured and the resources
    follow from that (see `mmsr.study.sizing.packing`)."""
    trial_hours: float | None = None
    """A trial that trains for more hours than this fails; None sets no limit."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Config values that differ from the defaults and are not varied, by dotted key."""
    enqueue: Sequence[Mapping[str, Any]] | None = None
    """Settings to try first; None takes what is known of the model (of MMSR, `KNOWN_SETTINGS`) and
    lies within the space."""
    only_enqueued: bool = False
    """Run the enqueued settings and propose no others. Settings that an existing study lacks are
    added to it; its other trials are left as they are. `trials` is ignored."""
    sampler: Sampler = field(default_factory=Tpe)
    """The search method; it may differ from one run of the study to the next."""
    pruner: Pruner | None = field(default_factory=Halving)
    """How weak trials are stopped early; None trains all trials to their end."""
    hours: float | None = None
    """Budget: hours of wall clock over all runs of the study; see `mmsr.study.storage.budget`."""
    cpu_hours: float | None = None
    """Budget: hours of the CPUs that trials get, over all runs of the study."""
    gpu_hours: float | None = None
    """Budget: hours of the GPUs that trials get, over all runs of the study."""
    warm_start: str | None = None
    """Name of another study to learn from; see `mmsr.study.planning.warm_start`."""
    seed: int = 2023
    """Seed of the proposals; the seed of a trial's training is `seed` in its config."""
    trainer: str = TRAINER
    """Import path of the training generator, `module:function`."""
