"""Studies: declared in a short Python file, run on Ray, stored by Optuna, recorded in MLflow."""

from mmsr.study.main import Study
from mmsr.study.search import CmaEs, Gp, Grid, Halving, Hyperband, Median, Nsga2, Random, Tpe
from mmsr.study.search.defaults import AUTHORS_SETTINGS, DEFAULT_SPACE, KNOWN_SETTINGS
from mmsr.study.search.dimensions import Choice, Float, Int

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
