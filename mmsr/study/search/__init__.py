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
