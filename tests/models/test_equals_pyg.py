"""Aggregators against torch-geometric's sparse layers on the edges of the same graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv, RGATConv, RGCNConv, SAGEConv

from mmsr.config.mmsr import (
    GatConfig,
    GcnConfig,
    GraphSageConfig,
    HgnnConfig,
    RgatConfig,
    TypedGatConfig,
)
from mmsr.graph.batch import BatchGraph
from mmsr.graph.build import build_batch_graph
from mmsr.graph.relations import SELF, n_relations
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.aggregators.gat import Gat
from mmsr.models.mmsr.aggregators.gcn import Gcn
from mmsr.models.mmsr.aggregators.graphsage import GraphSage
from mmsr.models.mmsr.aggregators.hgnn import Hgnn
from mmsr.models.mmsr.aggregators.rgat import Rgat
from mmsr.models.mmsr.aggregators.typed_gat import TypedGat

D = 6
Edges = tuple[Tensor, Tensor]
Reference = Callable[[Tensor, Edges], Tensor]


def some_graph(n_modalities: int) -> BatchGraph:
    """Repeated items, steps in both directions, an item that follows itself, missing codes."""
    generator = torch.Generator().manual_seed(n_modalities)
    histories = torch.tensor(
        [[3, 5, 3, 1, 1, 2, 5], [0, 4, 6, -1, -1, -1, -1], [2, -1, -1, -1, -1, -1, -1]]
    )
    links = [torch.rand(7, 5, generator=generator).topk(2).indices for _ in range(n_modalities)]
    for link in links:
        link[4] = -1
    return build_batch_graph(histories, links)


def edges(graph: BatchGraph, row: int) -> Edges:
    """Edges from neighbour to reader, and the relation of each."""
    relation = graph.relation_BNN[row]
    reader, neighbour = relation.nonzero(as_tuple=True)
    return torch.stack((neighbour, reader)), relation[reader, neighbour].long()


def without_self(edges: Edges) -> Edges:
    index, relation = edges
    kept = relation != SELF
    return index[:, kept], relation[kept]


def gcn(n_types: int) -> tuple[Aggregator, Reference]:
    layer, reference = Gcn(GcnConfig(), n_types, D), GCNConv(D, D, add_self_loops=False)
    reference.lin.weight.copy_(layer.weight.T)
    reference.bias.copy_(layer.bias.normal_())
    return layer, lambda h, e: reference(h, e[0]).relu()


def graphsage(n_types: int, normalise: bool) -> tuple[Aggregator, Reference]:
    layer = GraphSage(GraphSageConfig(normalise=normalise), n_types, D)
    reference = SAGEConv(D, D, aggr="mean")
    reference.lin_l.weight.copy_(layer.mean.T)
    reference.lin_l.bias.copy_(layer.bias.normal_())
    reference.lin_r.weight.copy_(layer.own.T)

    def run(h: Tensor, edges: Edges) -> Tensor:
        activated = reference(h, without_self(edges)[0]).relu()
        # Its own `normalize` comes before ReLU; algorithm 1 has it after.
        return torch.nn.functional.normalize(activated, dim=-1) if normalise else activated

    return layer, run


def gat(n_types: int, heads: int) -> tuple[Aggregator, Reference]:
    layer = Gat(GatConfig(heads=heads, negative_slope=0.3), n_types, D)
    reference = GATConv(D, D // heads, heads, add_self_loops=False, negative_slope=0.3)
    reference.lin.weight.copy_(layer.weight.flatten(1).T)
    reference.att_dst.copy_(layer.own.normal_()[None])
    reference.att_src.copy_(layer.other.normal_()[None])
    reference.bias.copy_(layer.bias.normal_())
    return layer, lambda h, e: reference(h, e[0])


def rgat(n_types: int) -> tuple[Aggregator, Reference]:
    layer = Rgat(RgatConfig(negative_slope=0.3), n_types, D)
    reference = RGATConv(D, D, n_relations(n_types) - SELF, negative_slope=0.3)
    reference.weight.copy_(layer.sum.weight)
    reference.q.copy_(layer.query.normal_()[:, None])
    reference.k.copy_(layer.key.normal_()[:, None])
    reference.bias.copy_(layer.bias.normal_())
    return layer, lambda h, e: reference(h, e[0], e[1] - SELF)


def hgnn(n_types: int) -> tuple[Aggregator, Reference]:
    layer = Hgnn(HgnnConfig(), n_types, D)
    n_others = n_relations(n_types) - SELF - 1
    reference = RGCNConv(D, D, n_others, aggr="mean")
    root, *others = layer.sum.weight
    reference.root.copy_(root)
    reference.weight.copy_(torch.stack(others))
    reference.bias.copy_(layer.bias.normal_())

    def run(h: Tensor, edges: Edges) -> Tensor:
        index, relation = without_self(edges)
        return reference(h, index, relation - SELF - 1).relu()

    return layer, run


def typed_gat_of_one_relation(n_types: int) -> tuple[Aggregator, Reference]:
    """The same projection for every type and vector for every relation leave graph attention."""
    layer = TypedGat(TypedGatConfig(), n_types, D)
    layer.weight.copy_(layer.weight[:1].clone().expand_as(layer.weight))
    layer.own.copy_(torch.randn(D))
    layer.other.copy_(torch.randn(D))
    reference = GATConv(D, D, add_self_loops=False, bias=False)
    reference.lin.weight.copy_(layer.weight[0].T)
    reference.att_dst.copy_(layer.own[:1, None])
    reference.att_src.copy_(layer.other[:1, None])
    return layer, lambda h, e: reference(h, e[0])


PAIRS: dict[str, Callable[[int], tuple[Aggregator, Reference]]] = {
    "gcn": gcn,
    "graphsage": lambda n_types: graphsage(n_types, normalise=True),
    "graphsage_not_normalised": lambda n_types: graphsage(n_types, normalise=False),
    "gat": lambda n_types: gat(n_types, heads=1),
    "gat_of_three_heads": lambda n_types: gat(n_types, heads=3),
    "rgat": rgat,
    "hgnn": hgnn,
    "typed_gat_of_one_relation": typed_gat_of_one_relation,
}


@pytest.mark.parametrize("n_modalities", [0, 1, 2])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_the_sparse_layer(name: str, n_modalities: int) -> None:
    torch.manual_seed(0)
    graph = some_graph(n_modalities)
    h = torch.randn(len(graph.real_BN), graph.real_BN.shape[1], D)
    with torch.no_grad():
        layer, reference = PAIRS[name](1 + n_modalities)
        layer.eval()
        everywhere = layer(graph, h, None)
        queried = layer(graph, h, graph.last_BK)
        for row in range(len(h)):
            expected = reference(h[row], edges(graph, row))
            torch.testing.assert_close(everywhere[row], expected, atol=1e-5, rtol=1e-5)
            last = expected[graph.last_BK[row]]
            torch.testing.assert_close(queried[row], last, atol=1e-5, rtol=1e-5)
