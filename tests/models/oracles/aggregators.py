"""Aggregators, node by node.

Each takes the layer (for its parameters), a graph and the node vectors `[N, D]`, and returns the
new ones. Vectors are rows; weights multiply from the right.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mmsr.graph.relations import SELF
from mmsr.models.mmsr.aggregators.base import Aggregator

from .dual_attention import dual_attention
from .graph import Graph
from .numbers import exact, leaky, mean, relu, softmax, weighted

Oracle = Callable[[Aggregator, Graph, np.ndarray], np.ndarray]


def gcn(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    weight, bias = exact(layer.weight), exact(layer.bias)
    degree = [len(graph.related(i)) for i in range(len(h))]
    rows = []
    for i in range(len(h)):
        total = bias.copy()
        for j in graph.related(i):
            total += h[j] @ weight / np.sqrt(degree[i] * degree[j])  # eq. (8)
        rows.append(relu(total))
    return np.stack(rows)


def graphsage(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    weight = np.concatenate((exact(layer.own), exact(layer.mean)))
    rows = [np.concatenate((h[i], mean(h, graph.neighbours(i)))) for i in range(len(h))]
    found = [relu(row @ weight + exact(layer.bias)) for row in rows]
    if layer.config.normalise:  # algorithm 1, line 7
        found = [x / np.linalg.norm(x) if x.any() else x for x in found]
    return np.stack(found)


def gat(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    heads = []
    for head in range(layer.config.heads):
        mapped = h @ exact(layer.weight)[:, head]
        a = np.concatenate((exact(layer.own)[head], exact(layer.other)[head]))
        rows = []
        for i in range(len(h)):
            scores = {
                j: leaky(
                    a @ np.concatenate((mapped[i], mapped[j])),  # eq. (10)
                    layer.config.negative_slope,
                )
                for j in graph.related(i)
            }
            rows.append(weighted(softmax(scores), mapped))  # eqs. (9), (11)
        heads.append(np.stack(rows))
    return np.concatenate(heads, axis=1) + exact(layer.bias)


def graphormer(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    config, degree = layer.config, exact(layer.degree)
    by_distance, by_relation = exact(layer.distance), exact(layer.relation)
    x = np.stack(
        [h[i] + degree[min(len(graph.neighbours(i)), config.max_degree)] for i in range(len(h))]
    )

    def place(i: int, j: int) -> int:
        distance = graph.distance(i, j)
        return config.max_distance + 1 if distance is None else min(distance, config.max_distance)

    def edges(i: int, j: int) -> np.ndarray:
        """c_ij of eq. (7) for each head; with hops, the embedding of the relation."""
        if config.edges == "hop":
            return by_relation[graph.relation[i][j]]
        distance = graph.distance(i, j)
        if distance is None or not 0 < distance <= config.max_distance:
            return np.zeros(config.heads)
        along = pairwise(graph.path(i, j))
        found = [by_relation[n, graph.relation[a][b]] for n, (a, b) in enumerate(along)]
        return np.mean(found, axis=0)

    places = [[place(i, j) for j in range(len(x))] for i in range(len(x))]
    c = [[edges(i, j) for j in range(len(x))] for i in range(len(x))]
    heads = []
    for head in range(config.heads):
        query, key, value = (
            x @ exact(weight)[:, head] for weight in (layer.query, layer.key, layer.value)
        )
        rows = []
        for i in range(len(x)):
            scores = {
                j: query[i] @ key[j] / np.sqrt(query.shape[1])
                + by_distance[places[i][j], head]
                + c[i][j][head]
                for j in range(len(x))
            }
            rows.append(weighted(softmax(scores), value))
        heads.append(np.stack(rows))
    return np.concatenate(heads, axis=1) @ exact(layer.output) + exact(layer.output_bias)


def rgat(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    weight, query, key = exact(layer.sum.weight), exact(layer.query), exact(layer.key)
    rows = []
    for i in range(len(h)):
        scores, messages = {}, np.zeros_like(h)
        for j in graph.related(i):
            by_relation = weight[graph.relation[i][j] - SELF]
            messages[j] = h[j] @ by_relation
            scores[j] = leaky(
                h[i] @ by_relation @ query + messages[j] @ key, layer.config.negative_slope
            )
        rows.append(weighted(softmax(scores), messages) + exact(layer.bias))
    return np.stack(rows)


def hgnn(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    root, *others = exact(layer.sum.weight)
    rows = []
    for i in range(len(h)):
        total = h[i] @ root + exact(layer.bias)
        for relation, weight in enumerate(others, start=SELF + 1):
            alike = [j for j in range(len(h)) if graph.relation[i][j] == relation]
            total = total + mean(h, alike) @ weight
        rows.append(relu(total))
    return np.stack(rows)


def hgat(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    """Hu et al. (2019), section 4.2, with A~ that of Kipf and Welling."""
    weight = exact(layer.weight)
    mu = np.zeros((1, 2 * h.shape[1]))  # of one type alone, whose weight is 1 by any score
    if graph.n_types > 1:
        mu = np.concatenate((exact(layer.type_own), exact(layer.type_other)), axis=1)
    nu = np.concatenate((exact(layer.own), exact(layer.other)))
    types = [type_ for type_, _ in graph.nodes]
    x = np.stack([h[i] @ weight[type_] for i, type_ in enumerate(types)])
    degree = [len(graph.related(i)) for i in range(len(h))]
    rows = []
    for i in range(len(h)):
        type_scores = {}
        for type_ in {types[j] for j in graph.related(i)}:
            of_type = {
                j: 1 / np.sqrt(degree[i] * degree[j]) for j in graph.related(i) if types[j] == type_
            }
            pair = np.concatenate((x[i], weighted(of_type, x)))
            type_scores[type_] = leaky(mu[type_] @ pair, layer.config.type_slope)
        alpha = softmax(type_scores)
        scores = {
            j: leaky(
                nu @ (alpha[types[j]] * np.concatenate((x[i], x[j]))), layer.config.negative_slope
            )
            for j in graph.related(i)
        }
        rows.append(relu(weighted(softmax(scores), x)))
    return np.stack(rows)


def typed_gat(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    weight = exact(layer.weight)
    mapped = np.stack([h[i] @ weight[type_] for i, (type_, _) in enumerate(graph.nodes)])
    vectors = np.concatenate((exact(layer.own), exact(layer.other)), axis=1)
    rows = []
    for i in range(len(h)):
        scores = {
            j: leaky(
                vectors[graph.relation[i][j] - SELF] @ np.concatenate((mapped[i], mapped[j])),
                layer.config.negative_slope,
            )
            for j in graph.related(i)
        }
        rows.append(weighted(softmax(scores), mapped))
    return np.stack(rows)


AGGREGATORS: dict[str, Oracle] = {
    "dual_attention": dual_attention,
    "gcn": gcn,
    "graphsage": graphsage,
    "gat": gat,
    "graphormer": graphormer,
    "rgat": rgat,
    "hgnn": hgnn,
    "hgat": hgat,
    "typed_gat": typed_gat,
}
