"""GAT's two ways, all rows and the rows of queries, are one layer, in training too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmsr.config.mmsr import GatConfig
from mmsr.graph.batch import BatchGraph
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr.aggregators.gat import Gat

D = 8


@pytest.fixture
def graph() -> BatchGraph:
    """Graphs of items alone, so that every node can be a query."""
    torch.manual_seed(5)
    return build_batch_graph(torch.randint(0, 9, (40, 18)), [])


def rows_and_gradients(
    layer: Gat, graph: BatchGraph, queries_BQ: Tensor | None
) -> dict[str, Tensor]:
    torch.manual_seed(6)
    layer.zero_grad()
    h = torch.randn(*graph.real_BN.shape, D, requires_grad=True)
    gradient = torch.randn(h.shape)
    output = layer(graph, h, queries_BQ)
    torch.autograd.backward(output, gradient)
    assert h.grad is not None
    parameters = {name: p.grad.clone() for name, p in layer.named_parameters()}
    return {"output": output.detach(), "h": h.grad, **parameters}


@pytest.mark.parametrize(("heads", "dropout"), [(1, 0.0), (1, 0.3), (4, 0.0)])
def test_all_rows_equal_the_rows_of_all_queries(
    graph: BatchGraph, heads: int, dropout: float
) -> None:
    B, N = graph.real_BN.shape
    layer = Gat(GatConfig(heads=heads, dropout=dropout), 1, D).train()
    found = rows_and_gradients(layer, graph, None)
    expected = rows_and_gradients(layer, graph, torch.arange(N).expand(B, N))
    assert found.keys() == expected.keys()
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)


def test_a_second_backward_pass_is_refused(graph: BatchGraph) -> None:
    """The first has overwritten what it would need."""
    layer = Gat(GatConfig(), 1, D)
    h = torch.randn(*graph.real_BN.shape, D, requires_grad=True)
    total = layer(graph, h, None).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
