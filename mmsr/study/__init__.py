"""Studies: search spaces, the runner on Ray Tune, finalize and export."""

from mmsr.study.defaults import AUTHORS_SETTINGS, DEFAULT_SPACE, KNOWN_SETTINGS
from mmsr.study.dimensions import Choice, Float, Int
from mmsr.study.methods import CmaEs, Gp, Grid, Halving, Hyperband, Median, Nsga2, Random, Tpe
from mmsr.study.study import Study

__all__ = [
    "AUTHORS_SETTINGS",
    "DEFAULT_SPACE",
    "KNOWN_SETTINGS",
    "Choice",
    "CmaEs",
    "Float",
    "Gp",
    "Grid",
    "Halving",
    "Hyperband",
    "Int",
    "Median",
    "Nsga2",
    "Random",
    "Study",
    "Tpe",
]
