"""Dual attention, eqs. (12)-(17), and its ablations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmsr.graph.relations import BOTH, FIRST_CROSS, IN, OUT, SELF
from mmsr.models.aggregators.base import Aggregator

from .graph import Graph
from .numbers import exact, leaky, relu, softmax, weighted

Weights = list[dict[int, float]]
"""Per node the weights of its neighbours."""


def dual_attention(layer: Aggregator, graph: Graph, h: np.ndarray) -> np.ndarray:
    return _DualAttention(layer, graph, h).output(layer.config.order)


class _DualAttention:
    def __init__(self, layer: Aggregator, graph: Graph, h: np.ndarray) -> None:
        self.graph, self.slope = graph, layer.config.negative_slope
        self.across_slope = layer.config.heterogeneous_slope
        self.scaled = layer.config.scaled
        if hasattr(layer, "relation"):
            self.a = dict(zip((SELF, OUT, IN, BOTH), exact(layer.relation), strict=True))
        D, weights = h.shape[1], exact(layer.projection)
        parts = [weights[:, :, start : start + D] for start in range(0, weights.shape[2], D)]
        query, key, value = parts if len(parts) == 3 else parts * 3
        types = [type_ for type_, _ in graph.nodes]
        self.Q = np.stack([h[i] @ query[t] for i, t in enumerate(types)])
        self.K = np.stack([h[i] @ key[t] for i, t in enumerate(types)])
        self.V = np.stack([h[i] @ value[t] for i, t in enumerate(types)])
        self.parts = {name: exact(p) for name, p in layer.combine.named_parameters()}

    def ho(self, x: np.ndarray) -> Weights:
        def score(i: int, j: int) -> float:
            return leaky(self.a[self.graph.relation[i][j]] @ (x[i] * x[j]), self.slope)  # eq. (12)

        return self._weights(score, lambda relation: relation < FIRST_CROSS)

    def he(self, q: np.ndarray, k: np.ndarray) -> Weights:
        scale = np.sqrt(q.shape[1]) if self.scaled else 1.0
        return self._weights(  # eq. (13)
            lambda i, j: leaky(float(q[i] @ k[j]) / scale, self.across_slope),
            lambda relation: relation >= FIRST_CROSS or relation == SELF,
        )

    def _weights(
        self, score: Callable[[int, int], float], is_read: Callable[[int], bool]
    ) -> Weights:
        return [
            softmax(
                {
                    j: score(i, j)
                    for j in self.graph.related(i)
                    if is_read(self.graph.relation[i][j])
                }
            )
            for i in range(len(self.graph.nodes))
        ]

    def mix(self, weights: Weights, values: np.ndarray) -> np.ndarray:
        return np.stack([weighted(row, values) for row in weights])  # eq. (14)

    def output(self, order: str) -> np.ndarray:
        if order == "ho":
            return self.mix(self.ho(self.V), self.V)
        if order == "he":
            return self.mix(self.he(self.Q, self.K), self.V)
        if order == "synchronous":
            both = np.concatenate((self.output("ho"), self.output("he")), axis=1)
            return both @ self.parts["join.weight"].T + self.parts["join.bias"]  # eq. (15)
        if order in ("hohe", "ni_hohe"):
            first = self.ho(self.V)
            second = self.he(self.mix(first, self.Q), self.mix(first, self.K))
            return self.mix(second, self.mix(first, self.V) if order == "hohe" else self.V)
        if order in ("heho", "ni_heho"):
            mixed = self.mix(self.he(self.Q, self.K), self.V)
            return self.mix(self.ho(mixed), mixed if order == "heho" else self.V)
        assert order == "gated"
        hohe, heho = self.output("ni_hohe"), self.output("ni_heho")
        hidden = np.concatenate((hohe, heho), axis=1) @ self.parts["gate.0.weight"].T
        hidden = relu(hidden + self.parts["gate.0.bias"])
        energy = hidden @ self.parts["gate.2.weight"].T + self.parts["gate.2.bias"]
        beta = np.exp(energy) / np.exp(energy).sum(axis=1, keepdims=True)  # eq. (16)
        return beta[:, :1] * hohe + beta[:, 1:] * heho  # eq. (17)
