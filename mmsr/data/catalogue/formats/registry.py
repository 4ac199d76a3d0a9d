"""The formats of public data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mmsr.data.catalogue.formats import (
    amazon2014,
    amazon2018,
    amazon2023,
    microlens,
    movielens,
)
from mmsr.data.catalogue.formats.tables import Tables
from mmsr.data.progress import Reporter

FORMATS: Mapping[str, Callable[[Mapping[str, Path], Path, Reporter], Tables]] = {
    "amazon2014": amazon2014.read,
    "amazon2018": amazon2018.read,
    "amazon2023": amazon2023.read,
    "movielens": movielens.read,
    "microlens": microlens.read,
}
"""Each makes neutral tables in a folder from published files by role, and shows its progress."""
