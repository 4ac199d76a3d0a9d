"""Readouts, node by node: from a graph and its node vectors `[N, D]` to the user vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmsr.models.mmsr.readout import Readout

from .graph import Graph
from .numbers import exact, mean, softmax, weighted

Oracle = Callable[[Readout, Graph, np.ndarray], np.ndarray]


def _of_type_0(graph: Graph) -> list[int]:
    return [i for i, (type_, _) in enumerate(graph.nodes) if type_ == 0]


def _at_last(graph: Graph, n_positions: int) -> list[int]:
    latest = set(range(n_positions))
    return [i for i in _of_type_0(graph) if graph.positions[i] & latest]


def last(readout: Readout, graph: Graph, h: np.ndarray) -> np.ndarray:
    return mean(h, _at_last(graph, 1))


def mean_of_all(readout: Readout, graph: Graph, h: np.ndarray) -> np.ndarray:
    return mean(h, _of_type_0(graph))


def attention(readout: Readout, graph: Graph, h: np.ndarray) -> np.ndarray:
    return _attention(readout, graph, h, _of_type_0(graph))


def last_n_attention(readout: Readout, graph: Graph, h: np.ndarray) -> np.ndarray:
    return _attention(readout, graph, h, _at_last(graph, readout.last_n))


def _attention(readout: Readout, graph: Graph, h: np.ndarray, read: list[int]) -> np.ndarray:
    at_end = last(readout, graph, h)
    weight = np.concatenate((exact(readout.last), exact(readout.node)))
    scores = {}
    for j in read:
        energy = np.concatenate((at_end, h[j])) @ weight + exact(readout.bias)
        scores[j] = exact(readout.query) @ (1 / (1 + np.exp(-energy)))
    summed = weighted(softmax(scores), h)
    return np.concatenate((at_end, summed)) @ exact(readout.join)


READOUTS: dict[str, Oracle] = {
    "last": last,
    "mean": mean_of_all,
    "attention": attention,
    "last_n_attention": last_n_attention,
}
