"""Dual attention, eqs. (12)-(17), and its ablations: a layer's parameters in `printed`'s loops."""

from __future__ import annotations

import numpy as np

from mmsr.graph.relations import BOTH, FIRST_CROSS, IN, NONE, OUT, SELF
from mmsr.models.mmsr.aggregators.base import Aggregator

from . import printed
from .graph import Graph
from .numbers import exact

WITHIN = {SELF: "self", OUT: "out", IN: "in", BOTH: "both"}


def dual_attention(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    def relation(i: int, j: int) -> str | None:
        found = graph.relation[i][j]
        if found == NONE:
            return None
        return "cross" if found >= FIRST_CROSS else WITHIN[found]

    types = [type_ for type_, _ in graph.nodes]
    return printed.dual_attention(layer.config.order, types, relation, h, _weights(layer))


def _weights(layer: Aggregator) -> printed.Weights:
    projection = exact(layer.projection)
    width = projection.shape[1]
    parts = [projection[..., at : at + width] for at in range(0, projection.shape[2], width)]
    query, key, value = parts if len(parts) == 3 else parts * 3
    combined = {name: exact(p) for name, p in layer.combine.named_parameters()}
    join, gate = None, None
    if "join.weight" in combined:
        join = (combined["join.weight"].T, combined["join.bias"])
    if "gate.0.weight" in combined:
        gate = (
            combined["gate.0.weight"].T,
            combined["gate.0.bias"],
            combined["gate.2.weight"].T,
            combined["gate.2.bias"],
        )
    return printed.Weights(
        query=query / np.sqrt(width) if layer.config.scaled else query,
        key=key,
        value=value,
        relation=dict(zip(WITHIN.values(), exact(layer.relation), strict=True))
        if hasattr(layer, "relation")
        else {},
        homogeneous_slope=layer.config.negative_slope,
        heterogeneous_slope=layer.config.heterogeneous_slope,
        join=join,
        gate=gate,
    )
