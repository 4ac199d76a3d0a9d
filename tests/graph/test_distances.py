"""Shortest paths against scipy's, on random graphs of several pieces."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from mmsr.graph.build import build_batch_graph
from mmsr.graph.distances import shortest_paths


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.floats(0, 0.2), st.integers(1, 9), st.integers(0, 999))
def test_distances_equal_scipys(n_nodes: int, density: float, limit: int, seed: int) -> None:
    related = np.random.default_rng(seed).random((3, n_nodes, n_nodes)) < density
    related |= related.transpose(0, 2, 1) | np.eye(n_nodes, dtype=bool)
    tensor = torch.from_numpy(related).float()
    found = shortest_paths(tensor, limit).numpy()
    for matrix, distances in zip(related, found, strict=True):
        exact = shortest_path(matrix, unweighted=True)
        expected = np.where(np.isinf(exact), limit + 1, np.minimum(exact, limit))
        np.testing.assert_array_equal(distances, expected)
    rows = torch.randint(n_nodes, (3, 2))
    some = shortest_paths(tensor, limit, rows).numpy()
    np.testing.assert_array_equal(some, np.take_along_axis(found, rows[:, :, None].numpy(), axis=1))


def test_a_graph_makes_the_distances_of_all_nodes_once_per_limit() -> None:
    graph = build_batch_graph(torch.tensor([[0, 1, 2, 3, 4]]), [])
    assert graph.distances(2, torch.tensor([[1, 4]]))[0].tolist() == [
        [1, 0, 1, 2, 2],
        [2, 2, 2, 1, 0],
    ]
    assert graph.distances(2, None) is graph.distances(2, None)
    assert graph.distances(2, None)[0, 0].tolist() == [0, 1, 2, 2, 2]
    assert graph.distances(4, None)[0, 0].tolist() == [0, 1, 2, 3, 4]
    assert graph.distances(4, torch.tensor([[1]])).tolist() == [[[1, 0, 1, 2, 3]]]
