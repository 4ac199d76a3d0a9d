"""Chosen shortest paths against a search from every node, on random graphs of several pieces."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from mmsr.graph.build import build_batch_graph
from mmsr.graph.distances import shortest_paths
from mmsr.graph.paths import by_recency, last_steps, relations_along_paths
from mmsr.graph.relations import NONE, SELF


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.floats(0, 1), st.integers(1, 6), st.integers(0, 999))
def test_paths_end_as_a_search_says(n_nodes: int, share: float, limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    related = rng.random((2, n_nodes, n_nodes)) < share * min(1, 4 / n_nodes)
    related[:, :, 0] |= rng.random((2, n_nodes)) < share  # a hub, reached from many nodes
    related = related | related.transpose(0, 2, 1)
    relation = np.where(related, rng.integers(SELF + 1, 9, related.shape), NONE)
    relation[:, np.arange(n_nodes), np.arange(n_nodes)] = SELF
    order = np.stack([rng.permutation(n_nodes) for _ in range(2)])
    ids = torch.from_numpy(relation)
    rows = torch.from_numpy(rng.integers(n_nodes, size=(2, 3)))
    steps = shortest_paths((ids != NONE).float(), limit, rows)
    tables = (torch.from_numpy(order), limit)
    before = last_steps((ids > SELF).float(), steps, *tables)
    paths = relations_along_paths(ids, steps, *tables, 9)
    for b in range(2):
        exact = shortest_path(relation[b] > SELF, unweighted=True)
        for r, start in enumerate(rows[b].tolist()):
            for end in range(n_nodes):
                along, node = [], end
                while node != start and exact[start, end] <= limit:
                    nearer = exact[start] == exact[start, node] - 1
                    chosen = next(n for n in order[b] if nearer[n] and relation[b, n, node] > SELF)
                    if not along:
                        assert before[b, r, end] == chosen
                    along.append(relation[b, chosen, node])
                    node = chosen
                kind = paths.kind_BRN[b, r, end]
                assert paths.distance_P[kind] == steps[b, r, end]
                assert paths.relations_PX[kind].tolist() == along + [NONE] * (limit - len(along))
                if not along:
                    assert before[b, r, end] == end
    kinds = torch.cat((paths.distance_P[:, None], paths.relations_PX), dim=1)
    assert len(torch.unique(kinds, dim=0)) == len(kinds)


def test_latest_nodes_come_first() -> None:
    histories = torch.tensor([[5, 2, 5], [7, -1, -1]])
    links = [torch.tensor([[2, 0]] * 8)]
    links[0][2] = torch.tensor([1, -1])
    graph = build_batch_graph(histories, links)
    order = by_recency(graph.slots, graph.sizes, graph.lengths)
    # Item 5 is the second of two items, its codes 2 and 0 the third and first of three codes.
    assert order.tolist() == [[1, 4, 2, 0, 3], [0, 3, 2, 1, 4]]


def test_a_graph_makes_the_paths_of_all_nodes_once_per_limit() -> None:
    graph = build_batch_graph(torch.tensor([[0, 1, 2, 3, 4]]), [])
    assert graph.paths(2, None) is graph.paths(2, None)
    assert graph.paths(2, None) is not graph.paths(3, None)
