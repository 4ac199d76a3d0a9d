"""Batch graphs against a slow construction, history by history, from the definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.graph.batch import BatchGraph, at_all, take_rows
from mmsr.graph.build import build_batch_graph
from mmsr.graph.relations import (
    BOTH,
    IN,
    NONE,
    OUT,
    SELF,
    WITHIN_TYPE,
    cross_relation,
    relation_names,
)

N_ITEMS = 9


@pytest.mark.parametrize("seed", range(20))
def test_an_item_is_linked_to_the_codes_of_any_of_its_positions(seed: int) -> None:
    torch.manual_seed(seed)
    histories = torch.randint(0, 4, (6, 7))
    links = [torch.rand(4, 5).topk(2).indices, torch.rand(4, 9).topk(3).indices]
    lost = [torch.rand(6, 7) < 0.6, torch.rand(6, 1) < 0.5]
    graph = build_batch_graph(histories, links, lost=lost)
    items = torch.arange(graph.sizes[0]).expand(6, -1)
    for type_ in (1, 2):
        related = graph.relations_of(items)[:, :, graph.block(type_)] != NONE
        found = torch.zeros(6, graph.sizes[0], graph.sizes[type_] + 1, dtype=torch.bool)
        slots = graph.linked(type_, items)
        found.scatter_(2, torch.where(slots < 0, graph.sizes[type_], slots), True)
        real = graph.real_BN[:, graph.block(0), None]
        assert torch.equal(found[:, :, :-1] & real, related & real)
    gone = at_all(graph, lost[0])
    for row, ids in enumerate(graph.ids[0].tolist()):
        for place in graph.real_BN[row, graph.block(0)].nonzero().flatten().tolist():
            assert gone[row, place] == lost[0][row][histories[row] == ids[place]].all()


def oracle(history: list[int], links: list[np.ndarray]) -> dict[tuple, int]:
    """Relation by pair of nodes `(type, id)`, from sets and loops alone."""
    n_types = 1 + len(links)
    positions = [
        [(0, item)]
        + [(1 + m, int(c)) for m, link in enumerate(links) for c in link[item] if c >= 0]
        for item in history
    ]
    nodes = {node for slots in positions for node in slots}
    steps = {
        (a, b)
        for before, after in pairwise(positions)
        for a in before
        for b in after
        if a[0] == b[0]
    }
    shared = {(a, b) for slots in positions for a in slots for b in slots}
    relations = {}
    for a in nodes:
        for b in nodes:
            if a == b:
                relations[a, b] = SELF
            elif a[0] == b[0]:
                there, back = (a, b) in steps, (b, a) in steps
                relations[a, b] = BOTH if there and back else OUT if there else IN if back else NONE
            else:
                relations[a, b] = cross_relation(a[0], b[0], n_types) if (a, b) in shared else NONE
    return relations


def nodes_of(graph: BatchGraph, row: int) -> list[tuple[int, int] | None]:
    """Node `(type, id)` by place on the node axis; None for padding."""
    real = graph.real_BN[row].tolist()
    ids = [(t, i) for t, block in enumerate(graph.ids) for i in block[row].tolist()]
    return [node if is_real else None for node, is_real in zip(ids, real, strict=True)]


histories = st.lists(
    st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=8), min_size=1, max_size=5
)


def padded(rows: list[list[int]]) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows])


def random_links(seed: int, widths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    links = []
    for width in widths:
        link = np.stack([rng.permutation(4)[:width] for _ in range(N_ITEMS)])
        link[rng.random(N_ITEMS) < 0.3] = -1
        links.append(link)
    return links


@settings(max_examples=60, deadline=None)
@given(histories, st.integers(0, 100), st.lists(st.integers(1, 3), max_size=3))
def test_graph_equals_the_slow_construction(
    rows: list[list[int]], seed: int, widths: list[int]
) -> None:
    links = random_links(seed, widths)
    graph = build_batch_graph(padded(rows), [torch.from_numpy(link) for link in links])
    relation = graph.relation_BNN
    for b, history in enumerate(rows):
        expected = oracle(history, links)
        nodes = nodes_of(graph, b)
        assert {node for node in nodes if node} == {a for a, _ in expected}
        assert len([node for node in nodes if node]) == len({a for a, _ in expected})
        for i, a in enumerate(nodes):
            for j, c in enumerate(nodes):
                wanted = expected[a, c] if a and c else (SELF if i == j else NONE)
                assert relation[b, i, j] == wanted, (a, c)


@pytest.mark.parametrize("n_modalities", [14, 15, 16, 20])
def test_relations_of_many_modalities_stay_apart(n_modalities: int) -> None:
    links = [np.zeros((N_ITEMS, 1), dtype=np.int64)] * n_modalities
    graph = build_batch_graph(torch.tensor([[3]]), [torch.from_numpy(link) for link in links])
    relation = graph.relation_BNN[0].tolist()
    queried = graph.relations_of(torch.tensor([[0]]))[0].tolist()
    expected = oracle([3], links)
    nodes = nodes_of(graph, 0)
    assert relation == [[expected[a, b] for b in nodes] for a in nodes]
    assert queried == relation[:1]


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(0, 100))
def test_occurrences_count_back_from_the_end(rows: list[list[int]], seed: int) -> None:
    links = random_links(seed, [2])
    graph = build_batch_graph(padded(rows), [torch.from_numpy(links[0])])
    for b, history in enumerate(rows):
        for i, node in enumerate(nodes_of(graph, b)):
            expected = set()
            for back, item in enumerate(reversed(history)):
                slots = [(0, item)] + [(1, int(c)) for c in links[0][item]]
                if node in slots:
                    expected.add(back)
            assert set(graph.occurrence_BNL[b, i].nonzero().flatten().tolist()) == expected
        last = int(graph.last_BK[b, 0])
        assert nodes_of(graph, b)[last] == (0, history[-1])


def test_masks_allow_what_the_relations_say() -> None:
    links = [torch.from_numpy(link) for link in random_links(3, [2, 3])]
    graph = build_batch_graph(torch.randint(0, N_ITEMS, (6, 7)), links)
    relation = graph.relation_BNN
    cross = (relation >= len(WITHIN_TYPE)) | (relation == SELF)
    assert torch.equal(graph.cross_bias_BNN == 0, cross)
    assert torch.isneginf(graph.cross_bias_BNN[~cross]).all()
    for t, (mask, bias) in enumerate(graph.within):
        within = relation[:, graph.block(t), graph.block(t)]
        assert torch.equal(bias == 0, within > 0)
        for place, id_ in enumerate((SELF, OUT, IN, BOTH)):
            assert torch.equal(mask[:, :, place] == 1, within == id_)


def test_without_items_the_first_modality_comes_first() -> None:
    link = torch.tensor([[1, 0], [2, -1], [-1, -1]])
    graph = build_batch_graph(torch.tensor([[0, 1], [1, 2]]), [link], with_items=False)
    assert graph.ids[0].tolist() == [[0, 1, 2], [2, 0, 0]]
    assert graph.real_BN.tolist() == [[True, True, True], [True, False, False]]
    # The second history ends with an item that has no code.
    assert graph.last_BK.tolist() == [[2, -1], [-1, -1]]


def test_every_pair_of_types_has_its_own_relation() -> None:
    for n_types in (2, 3, 5):
        ids = [
            cross_relation(a, b, n_types) for a in range(n_types) for b in range(n_types) if a != b
        ]
        names = relation_names(tuple(f"m{i}" for i in range(n_types - 1)))
        assert sorted(ids) == list(range(len(WITHIN_TYPE), len(names)))
    assert relation_names(("image",))[cross_relation(1, 0, 2)] == "image-item"
    with pytest.raises(ValueError, match="equal"):
        cross_relation(1, 1, 3)


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(0, 100), st.lists(st.integers(1, 3), max_size=3))
def test_rows_of_queries_are_rows_of_the_whole(
    rows: list[list[int]], seed: int, widths: list[int]
) -> None:
    links = [torch.from_numpy(link) for link in random_links(seed, widths)]
    graph = build_batch_graph(padded(rows), links)
    queries = torch.randint(graph.sizes[0], (len(rows), 3))
    assert graph.relations_of(None) is graph.relation_BNN
    assert torch.equal(graph.relations_of(queries), take_rows(graph.relation_BNN, queries))
    assert graph.degree_BN.tolist() == [
        [sum(r > SELF for r in node) for node in nodes] for nodes in graph.relation_BNN.tolist()
    ]
