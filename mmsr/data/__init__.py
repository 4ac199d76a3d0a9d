"""Data sets: imported once from neutral tables, memory-mapped, with the test part kept apart."""

from mmsr.data.dataset import Dataset, FeatureTable, Part
from mmsr.data.demo import DemoShop, write_tables
from mmsr.data.importers.foreign.tables import import_tables
from mmsr.data.importers.prepare import Prepared, prepare
from mmsr.data.importers.sources import Sources
from mmsr.data.manifest import ImportSettings, Manifest
from mmsr.data.splits import PROTOCOLS, Prefixes

__all__ = [
    "PROTOCOLS",
    "Dataset",
    "DemoShop",
    "FeatureTable",
    "ImportSettings",
    "Manifest",
    "Part",
    "Prefixes",
    "Prepared",
    "Sources",
    "import_tables",
    "prepare",
    "write_tables",
]
