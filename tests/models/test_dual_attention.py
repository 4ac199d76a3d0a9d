"""Dual attention against eqs. (12)-(17) written out node by node in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.config import DualAttentionConfig
from mmsr.graph.batch import BatchGraph, build_batch_graph
from mmsr.graph.relations import BOTH, FIRST_CROSS, IN, OUT, SELF
from mmsr.models.aggregators.dual_attention import ORDERS, DualAttention

D = 6
SLOPE = 0.1


class Oracle:
    """One graph, loops only. Vectors are rows; weights multiply from the right."""

    def __init__(self, layer: DualAttention, graph: BatchGraph, row: int, h: np.ndarray) -> None:
        self.relation = graph.relation_BNN[row].numpy()
        self.real = graph.real_BN[row].numpy()
        if hasattr(layer, "relation"):
            a_r = layer.relation.detach().double().numpy()
            self.a = dict(zip((SELF, OUT, IN, BOTH), a_r, strict=True))
        types = [t for t, size in enumerate(graph.sizes) for _ in range(size)]
        weights = layer.projection.detach().double().numpy()
        shared = weights.shape[2] == D
        q, k, v = (slice(0, D),) * 3 if shared else (slice(i * D, i * D + D) for i in range(3))
        self.Q = np.stack([h[i] @ weights[t][:, q] for i, t in enumerate(types)])
        self.K = np.stack([h[i] @ weights[t][:, k] for i, t in enumerate(types)])
        self.V = np.stack([h[i] @ weights[t][:, v] for i, t in enumerate(types)])
        self.parts = {n: p.detach().double().numpy() for n, p in layer.combine.named_parameters()}

    def mix(self, weights: list[dict[int, float]], values: np.ndarray) -> np.ndarray:
        return np.stack([sum(w * values[j] for j, w in row.items()) for row in weights])

    def ho(self, x: np.ndarray) -> list[dict[int, float]]:
        def score(i: int, j: int) -> float:
            s = float(self.a[self.relation[i, j]] @ (x[i] * x[j]))  # eq. (12)
            return s if s > 0 else SLOPE * s

        return self._softmax(score, lambda r: 0 < r < FIRST_CROSS)

    def he(self, q: np.ndarray, k: np.ndarray) -> list[dict[int, float]]:
        return self._softmax(  # eq. (13)
            lambda i, j: float(q[i] @ k[j]), lambda r: r >= FIRST_CROSS or r == SELF
        )

    def _softmax(self, score, is_neighbour) -> list[dict[int, float]]:
        rows = []
        for i in range(len(self.relation)):
            raw = {
                j: np.exp(score(i, j))
                for j in range(len(self.relation))
                if is_neighbour(self.relation[i, j])
            }
            rows.append({j: e / sum(raw.values()) for j, e in raw.items()})
        return rows

    def output(self, order: str) -> np.ndarray:
        if order == "ho":
            return self.mix(self.ho(self.V), self.V)  # eq. (14)
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
        hohe, heho = self.output("ni_hohe"), self.output("ni_heho")
        hidden = np.concatenate((hohe, heho), axis=1) @ self.parts["gate.0.weight"].T
        hidden = np.maximum(hidden + self.parts["gate.0.bias"], 0)
        energy = hidden @ self.parts["gate.2.weight"].T + self.parts["gate.2.bias"]
        beta = np.exp(energy) / np.exp(energy).sum(axis=1, keepdims=True)  # eq. (16)
        return beta[:, :1] * hohe + beta[:, 1:] * heho  # eq. (17)


@pytest.fixture(scope="module")
def graph() -> BatchGraph:
    torch.manual_seed(1)
    histories = torch.tensor([[3, 5, 3, 1, 5, 2], [0, 4, 6, -1, -1, -1], [2, -1, -1, -1, -1, -1]])
    links = [torch.rand(7, 4).topk(2).indices, torch.rand(7, 5).topk(3).indices]
    links[0][4] = -1  # item 4 lacks the first modality
    return build_batch_graph(histories, links)


@pytest.mark.parametrize("share_qkv", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_equals_the_equations(graph: BatchGraph, order: str, share_qkv: bool) -> None:
    torch.manual_seed(2)
    config = DualAttentionConfig(order=order, share_qkv=share_qkv, negative_slope=SLOPE)
    layer = DualAttention(config, 3, D).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.4)
        h = torch.randn(3, graph.real_BN.shape[1], D)
        everywhere = layer(graph, h, None)
        queried = layer(graph, h, graph.last_BK)
    for row in range(3):
        oracle = Oracle(layer, graph, row, h[row].double().numpy())
        expected, real = oracle.output(order), oracle.real
        np.testing.assert_allclose(everywhere[row].numpy()[real], expected[real], atol=1e-5)
        last = int(graph.last_BK[row, 0])
        np.testing.assert_allclose(queried[row, 0].numpy(), expected[last], atol=1e-5)


def test_attention_dropout_acts_in_training_alone(graph: BatchGraph) -> None:
    layer = DualAttention(DualAttentionConfig(dropout=0.5), 3, D)
    h = torch.randn(3, graph.real_BN.shape[1], D)
    layer.train()
    assert not torch.equal(layer(graph, h, None), layer(graph, h, None))
    layer.eval()
    assert torch.equal(layer(graph, h, None), layer(graph, h, None))
