"""How a study proposes settings and stops weak trials: a few knobs around Optuna."""

from mmsr.study.search.pruners import PRUNERS, Halving, Hyperband, Median, Pruner
from mmsr.study.search.samplers import SAMPLERS, CmaEs, Gp, Grid, Nsga2, Random, Sampler, Tpe

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "CmaEs",
    "Gp",
    "Grid",
    "Halving",
    "Hyperband",
    "Median",
    "Nsga2",
    "Pruner",
    "Random",
    "Sampler",
    "Tpe",
    "chosen_pruner",
    "chosen_sampler",
]


def chosen_sampler(name: str | None, own: Sampler) -> Sampler:
    """The search method of this name; the study's own, with its knobs, where it is of that kind."""
    if name is None or isinstance(own, SAMPLERS[name]):
        return own
    return SAMPLERS[name]()


def chosen_pruner(name: str | None, own: Pruner | None) -> Pruner | None:
    """The pruner of this name; the study's own, with its knobs, where it is of that kind."""
    if name is None:
        return own
    kind = PRUNERS[name]
    if kind is None or (own is not None and isinstance(own, kind)):
        return own if kind is not None else None
    return kind()
