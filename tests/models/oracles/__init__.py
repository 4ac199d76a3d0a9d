"""Slow, loop-written, float64 versions of all that the registry holds, one history at a time.

A new aggregator, readout or fusion needs a line in its table here: a test compares the keys.
"""

from __future__ import annotations

from .aggregators import AGGREGATORS
from .fusions import FUSIONS
from .graph import Graph, as_graph, of_batch
from .readouts import READOUTS

__all__ = ["AGGREGATORS", "FUSIONS", "READOUTS", "Graph", "as_graph", "of_batch"]
