"""Studies: declared in a short Python file, run on Ray, stored by Optuna, recorded in MLflow."""

import warnings

from mmsr.config.mmsr_defaults import AUTHORS_SETTINGS, DEFAULT_SPACE, KNOWN_SETTINGS
from mmsr.config.models import ALL_MODELS
from mmsr.dimensions.kinds import Choice, Float, Int
from mmsr.study.main import Study
from mmsr.study.search import (
    CmaEs,
    Gp,
    Grid,
    Halving,
    Hyperband,
    Median,
    ModelHalving,
    Nsga2,
    Random,
    Tpe,
)

__all__ = [
    "ALL_MODELS",
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
    "ModelHalving",
    "Nsga2",
    "Random",
    "Study",
    "Tpe",
]

# Optuna loads tqdm, which says in every notebook that it has no widgets; nothing here uses them.
warnings.filterwarnings("ignore", message="IProgress not found")
