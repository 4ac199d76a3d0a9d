"""Graph convolution against torch-geometric's layer on the same graph."""

from __future__ import annotations

import torch
from torch_geometric.nn import GCNConv
from torch_geometric.utils import dense_to_sparse

from mmsr.config import GcnConfig
from mmsr.graph.batch import build_batch_graph
from mmsr.models.aggregators.gcn import Gcn


def test_equals_gcnconv() -> None:
    torch.manual_seed(0)
    links = [torch.rand(9, 4).topk(2).indices]
    graph = build_batch_graph(torch.tensor([[1, 2, 1, 5], [3, 4, -1, -1]]), links)
    layer = Gcn(GcnConfig(), 2, 5)
    reference = GCNConv(5, 5, add_self_loops=False)
    h = torch.randn(2, graph.real_BN.shape[1], 5)
    with torch.no_grad():
        reference.lin.weight.copy_(layer.weight.T)
        reference.bias.copy_(layer.bias.normal_())
        ours = layer(graph, h, None)
        queried = layer(graph, h, graph.last_BK)
        for row in range(2):
            edges, _ = dense_to_sparse((graph.relation_BNN[row] > 0).float())
            theirs = reference(h[row], edges).relu()
            torch.testing.assert_close(ours[row], theirs)
            torch.testing.assert_close(queried[row, 0], theirs[graph.last_BK[row, 0]])
