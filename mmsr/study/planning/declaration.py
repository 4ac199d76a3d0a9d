"""What a study file declares, and what its command line adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar

from mmsr.errors import UserError, unknown
from mmsr.study.search import Halving, Pruner, Sampler, Tpe
from mmsr.study.search.defaults import DEFAULT_SPACE
from mmsr.study.search.dimensions import Dimension

_NOTED = "_mistake"
T = TypeVar("T")


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
    storage: str | None = None
    tracking_uri: str | None = None
    resume: bool = False
    dry_run: bool = False
    hours: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    warm_start: str | None = None
    settings: Mapping[str, Any] | None = None
    """Config keys fixed by --set."""


def noting_mistakes(cls: type[T]) -> type[T]:
    """Let a dataclass note wrong arguments instead of raising, for `check_mistakes` to report.

    A study file constructs its study at import, where an error would end in a traceback. What was
    misspelt or left out is noted instead, and reported in one line before anything is scheduled.
    """
    construct = cls.__init__
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    needed = [
        name
        for name, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]

    @wraps(construct)
    def noting(self: T, *positional: Any, **given: Any) -> None:
        problem: UserError | None = None
        name = type(self).__name__
        if positional:
            problem = UserError(
                f"{name}({positional[0]!r}, …): name every argument, e.g. dataset='toys'"
            )
        elif strange := [key for key in given if key not in known]:
            problem = unknown(f"argument of {name}(…)", strange[0], known)
        elif missing := [key for key in needed if key not in given]:
            problem = UserError(f"{name}(…) lacks {missing[0]}: give {missing[0]}=…")
        kept = {key: value for key, value in given.items() if key in known}
        construct(self, **{**dict.fromkeys(needed), **kept})
        object.__setattr__(self, _NOTED, problem)

    cls.__init__ = noting  # type: ignore[method-assign, assignment]
    return cls


def check_mistakes(declared: object) -> None:
    """Raise UserError for the mistake that was noted when an object was constructed, if any."""
    if (problem := getattr(declared, _NOTED, None)) is not None:
        raise problem


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is to be searched, on which data set, and how; `mmsr.study.Study` can also run it.

    Nothing is checked here: `mmsr.study.planning.plan.make_plan` checks everything before anything
    is scheduled.
    """

    dataset: str
    """Prepared data set by name."""
    name: str | None = None
    """Default: the data set's name."""
    space: Mapping[str, Dimension] = field(default_factory=lambda: dict(DEFAULT_SPACE))
    """What is varied, by dotted config key."""
    objective: str | Sequence[str] = "valid/mrr@20"
    """Validation metric to maximise; it also chooses each trial's best epoch. Several metrics are
    weighed against each other: the first as said, and others of
    `mmsr.study.search.objectives.AGAINST`. No trial is stopped early then."""
    trials: int | None = None
    """Trials that are over in the end: finished, stopped early or failed. None stands for all of a
    grid, and for 20 otherwise."""
    epochs: int | None = None
    """Most epochs of a trial; None leaves the config's default."""
    resources: Mapping[str, float] | str = field(default_factory=lambda: {"cpu": 1, "gpu": 0})
    """What each trial gets: `cpu` (threads follow it) and `gpu`, both may be fractions, and
    `memory_gb` of main memory; or "auto": `mmsr.study.sizing.packing` measures one trial."""
    trial_hours: float | None = None
    """Hours of training after which a trial is failed; None sets no limit."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Config values that are not varied, by dotted key, where they are not the defaults."""
    enqueue: Sequence[Mapping[str, Any]] | None = None
    """Settings to try first; None stands for `KNOWN_SETTINGS`, as far as the space has them."""
    only_enqueued: bool = False
    """Run what is enqueued and propose nothing else; settings that are new to a study that exists
    are added to it, others of it are left alone. `trials` is not used then."""
    sampler: Sampler = field(default_factory=Tpe)
    """How settings are proposed; another run of the study may do it in another way."""
    pruner: Pruner | None = field(default_factory=Halving)
    """How weak trials are stopped; None lets all run to their end."""
    hours: float | None = None
    """Wall clock that all drivers of the study may take in all; see `mmsr.study.storage.budget`."""
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    """What trials may take of CPUs and GPUs, likewise."""
    warm_start: str | None = None
    """Another study, whose trials inform this one; see `mmsr.study.planning.warm_start`."""
    seed: int = 2023
    """Seed of the proposals; a trial's own seed is `seed` in its config."""
    trainer: str = "mmsr.training:train"
    """Import path of the training generator."""
