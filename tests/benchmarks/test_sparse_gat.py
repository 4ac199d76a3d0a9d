"""Both forms of the graph attention layer are the same one, and so is their work."""

from __future__ import annotations

import pytest
import torch

from mmsr.graph.relations import NONE

WIDTH = 8


@pytest.fixture
def sparse_gat(load):
    return load("sparse_gat")


@pytest.fixture
def batch(sparse_gat):
    torch.manual_seed(0)
    histories = torch.tensor([[3, 5, 3, 1, 1, 2], [0, 4, 6, -1, -1, -1], [2, -1, -1, -1, -1, -1]])
    links = [torch.rand(7, 5).topk(2).indices for _ in range(2)]
    links[1][4] = -1
    return sparse_gat.Batch.make(histories, links, WIDTH)


@pytest.fixture
def layers(sparse_gat):
    return sparse_gat.Layers.make(3, WIDTH)


def test_edges_are_the_relations_of_real_nodes(sparse_gat, batch):
    numbers = {tuple(at): i for i, at in enumerate(batch.graph.real_BN.nonzero().tolist())}
    expected = {
        (numbers[row, neighbour], numbers[row, reader])
        for row, reader, neighbour in (batch.graph.relation_BNN != NONE).nonzero().tolist()
        if batch.graph.real_BN[row, reader]
    }
    edges = [tuple(edge) for edge in sparse_gat.edges_of(batch.graph).T.tolist()]
    assert len(edges) == len(set(edges))
    assert set(edges) == expected


def test_outputs_agree_and_a_changed_weight_is_noticed(sparse_gat, layers, batch):
    assert sparse_gat.largest_difference(layers, batch) < 1e-5
    with torch.no_grad():
        layers.dense.other.mul_(2)
    assert sparse_gat.largest_difference(layers, batch) > sparse_gat.TOLERANCE


def test_gradients_agree(layers, batch):
    batch.dense(layers.dense, batch.build())
    batch.sparse(layers.sparse, batch.edges_2E, batch.packed())
    pairs = (
        (layers.dense.weight.grad.flatten(1).T, layers.sparse.lin.weight.grad),
        (layers.dense.own.grad, layers.sparse.att_dst.grad[0]),
        (layers.dense.other.grad, layers.sparse.att_src.grad[0]),
        (layers.dense.bias.grad, layers.sparse.bias.grad),
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_every_way_is_timed(sparse_gat, layers, batch):
    figures = sparse_gat.measure(layers, [batch], rounds=2)
    assert {name for name in figures if name.startswith("speedup")} == {
        "speedup_layer",
        "speedup_with_structure",
        "speedup_last_row",
    }
    assert all(value > 0 for value in figures.values())
