"""Fusions: from one history to its user vector, by way of everything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmsr.config.mmsr import MmsrConfig
from mmsr.models.mmsr.model import MMSR
from mmsr.models.mmsr.sequence import SequenceModule

from .aggregators import AGGREGATORS
from .graph import Graph, Node, as_graph
from .numbers import exact, mean
from .readouts import READOUTS

Oracle = Callable[[MMSR, MmsrConfig, list[int]], np.ndarray]


def adaptive(model: MMSR, config: MmsrConfig, history: list[int]) -> np.ndarray:
    n_types = 1 + len(model.tables.modalities)
    graph = as_graph(
        [[(0, item), *_codes(model, item)] for item in history],
        n_types,
    )
    embedded = [exact(model.tables.table(type_))[id_] for type_, id_ in graph.nodes]
    return _sequence(model.fusion.sequence, config, graph, embedded)


def early(model: MMSR, config: MmsrConfig, history: list[int]) -> np.ndarray:
    graph = as_graph([[(0, item)] for item in history], 1)
    weight, bias = exact(model.fusion.join.weight), exact(model.fusion.join.bias)
    fused = []
    for _, item in graph.nodes:
        channels = [exact(model.tables.item)[item]]
        for type_ in range(1, 1 + len(model.tables.modalities)):
            codes = [code for t, code in _codes(model, item) if t == type_]
            channels.append(mean(exact(model.tables.table(type_)), codes))
        fused.append(np.tanh(weight @ np.concatenate(channels) + bias))  # eq. (3)
    return _sequence(model.fusion.sequence, config, graph, fused)  # eq. (4)


def late(model: MMSR, config: MmsrConfig, history: list[int]) -> np.ndarray:
    channels = []
    for type_, sequence in enumerate(model.fusion.sequences):
        slots = [[(0, item), *_codes(model, item)] for item in history]
        slots = [[(0, id_) for t, id_ in at if t == type_] for at in slots]
        graph = as_graph(slots, 1)
        embedded = [exact(model.tables.table(type_))[id_] for _, id_ in graph.nodes]
        channels.append(_sequence(sequence, config, graph, embedded))  # eq. (5)
    weight, bias = exact(model.fusion.join.weight), exact(model.fusion.join.bias)
    return np.tanh(weight @ np.concatenate(channels) + bias)  # eq. (6)


def _codes(model: MMSR, item: int) -> list[Node]:
    """Code nodes of an item, with the types that they have where there are items, too."""
    return [
        (type_, code)
        for type_, modality in enumerate(model.tables.modalities, start=1)
        for code in model.tables.links(modality)[item].tolist()
        if code >= 0
    ]


def _sequence(
    module: SequenceModule, config: MmsrConfig, graph: Graph, embedded: list[np.ndarray]
) -> np.ndarray:
    """Node input, layers and readout."""
    h = np.zeros((len(graph.nodes), config.width))
    for i, (type_, _) in enumerate(graph.nodes):
        parts, weights = [embedded[i]], [exact(module.input.weight)]
        if config.type_embedding:
            parts.append(exact(module.input.types)[type_])
            weights.append(exact(module.input.type_weight))
        if config.position_embedding:
            parts.append(mean(exact(module.input.positions), sorted(graph.positions[i])))
            weights.append(exact(module.input.position_weight))
        h[i] = np.concatenate(parts) @ np.concatenate(weights)
    if graph.nodes:
        for layer in module.layers:
            h = AGGREGATORS[config.aggregator.name](layer, graph, h)
    return READOUTS[config.readout](module.readout, graph, h)


FUSIONS: dict[str, Oracle] = {"adaptive": adaptive, "early": early, "late": late}
