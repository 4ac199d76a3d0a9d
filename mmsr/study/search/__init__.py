"""Search spaces, search methods and pruners: what a study varies, and how it proposes settings."""

from mmsr.study.search.pruners import PRUNERS, Halving, Hyperband, Median, Pruner
from mmsr.study.search.sampler_base import Sampler
from mmsr.study.search.samplers import SAMPLERS, CmaEs, Gp, Grid, Nsga2, Random, Tpe
from mmsr.study.search.share import ModelHalving, Share

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "CmaEs",
    "Gp",
    "Grid",
    "Halving",
    "Hyperband",
    "Median",
    "ModelHalving",
    "Nsga2",
    "Pruner",
    "Random",
    "Sampler",
    "Share",
    "Tpe",
]
