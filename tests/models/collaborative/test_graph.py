"""Sparse sums and products of the graph against dense matrices, and their gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr.models.collaborative.graph import UserItemGraph
from mmsr.models.inputs import Interactions
from mmsr.training.step import new_optimizer, train_step

from .common import EXACT, N_ITEMS, N_USERS, config_of, make, some_interactions, vectors_of

WIDTH = 3


def some_graph(seed: int) -> UserItemGraph:
    """Of random pairs, some more than once; some nodes have no neighbour."""
    rng = np.random.default_rng(seed)
    n_users, n_items = (int(n) for n in rng.integers(1, 9, 2))
    n = int(rng.integers(1, 25))
    pairs = Interactions(n_users, rng.integers(0, n_users, n), rng.integers(0, n_items, n))
    return UserItemGraph(pairs, n_items).double()


def dense(graph: UserItemGraph, weights: Tensor | None = None) -> Tensor:
    matrix = torch.zeros(graph.n_nodes, graph.n_nodes)
    ones = torch.ones(graph.ends_2E.shape[1])
    return matrix.index_put(tuple(graph.ends_2E), ones if weights is None else weights)


def rows(graph: UserItemGraph, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(graph.n_nodes, WIDTH, generator=generator, requires_grad=True)


def edge_weights(graph: UserItemGraph) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(graph.ends_2E.shape[1], generator=generator, requires_grad=True)


def test_edges_are_the_distinct_pairs_in_both_directions() -> None:
    pairs = some_interactions()
    graph = UserItemGraph(pairs, N_ITEMS).double()
    expected = torch.zeros(N_USERS + N_ITEMS, N_USERS + N_ITEMS)
    for user, item in zip(pairs.users, pairs.items, strict=True):
        expected[user, N_USERS + item] = expected[N_USERS + item, user] = 1
    assert torch.equal(dense(graph), expected)
    assert graph.ends_2E.shape[1] == expected.sum() < 2 * len(pairs.users)
    assert torch.equal(graph.degrees_N, expected.sum(1))
    assert torch.equal(graph.ends_2E[:, graph.backwards_E], graph.ends_2E.flip(0))


@pytest.mark.parametrize("seed", range(8))
def test_sums_and_products_equal_dense_matrices(seed: int) -> None:
    graph = some_graph(seed)
    matrix, x, y, weights = dense(graph), rows(graph), rows(graph, 1), edge_weights(graph)
    degrees = matrix.sum(1, keepdim=True)
    roots = torch.where(degrees > 0, degrees, 1).sqrt()
    pairs = (
        (graph.sums(x), matrix @ x),
        (graph.sums(x, weights), dense(graph, weights) @ x),
        (graph.means(x), matrix @ x / degrees.clamp(min=1)),
        (graph.smoothed(x), (matrix / roots / roots.T) @ x),
        (graph.products(x, y), (x @ y.T)[tuple(graph.ends_2E)]),
    )
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, **EXACT)
        mixed = torch.randn_like(found)
        inputs = [x, y, weights]
        one = torch.autograd.grad((found * mixed).sum(), inputs, allow_unused=True)
        other = torch.autograd.grad((expected * mixed).sum(), inputs, allow_unused=True)
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_small_differences(seed: int) -> None:
    graph = some_graph(seed)
    x, y, weights = rows(graph), rows(graph, 1), edge_weights(graph)
    assert torch.autograd.gradcheck(graph.sums, (x,))
    assert torch.autograd.gradcheck(graph.sums, (x, weights))
    assert torch.autograd.gradcheck(graph.products, (x, y))
    assert torch.autograd.gradcheck(lambda both: graph.products(both, both), (x,))
    assert torch.autograd.gradcheck(graph.means, (x,))
    assert torch.autograd.gradcheck(graph.smoothed, (x,))


def test_vectors_need_not_be_contiguous() -> None:
    graph = some_graph(2)
    x = torch.randn(WIDTH, graph.n_nodes).T
    torch.testing.assert_close(graph.sums(x), dense(graph) @ x, **EXACT)
    expected = (x @ x.T)[tuple(graph.ends_2E)]
    torch.testing.assert_close(graph.products(x, x), expected, **EXACT)
    wide = torch.randn(graph.n_nodes, 2 * WIDTH)[:, ::2]
    torch.testing.assert_close(graph.sums(wide), dense(graph) @ wide, **EXACT)


def test_a_graph_may_have_no_edge() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    graph = UserItemGraph(Interactions(2, nobody, nobody), 3).double()
    x = rows(graph)
    for found in (graph.sums(x), graph.means(x), graph.smoothed(x)):
        assert torch.equal(found, torch.zeros(5, WIDTH))
    assert graph.products(x, x).shape == (0,)


@pytest.mark.parametrize(("name", "loss"), [("mmgcn", "bpr"), ("mgat", "bpr"), ("bm3", "own")])
def test_a_model_that_was_evaluated_first_can_be_trained(name: str, loss: str) -> None:
    config = config_of(name).replace({"training.loss.name": loss, "training.threads": 1})
    users, targets = torch.tensor([0, 1, 5]), torch.tensor([1, 2, 6])
    steps = []
    for evaluated in (True, False):
        model = make(name)
        if evaluated:
            with torch.inference_mode(), model.prepared():
                model.user_vectors(users)
                model.item_vectors()
        torch.manual_seed(0)
        before = [parameter.clone() for parameter in model.parameters()]
        value = train_step(model.train(), new_optimizer(config, model), users, targets, config)
        after = list(model.parameters())
        assert any(not torch.equal(x, y) for x, y in zip(before, after, strict=True))
        steps.append([value, *after])
    torch.testing.assert_close(*steps, **EXACT)


def test_a_copy_of_a_used_graph_has_its_edges() -> None:
    graph = some_graph(1)
    x = rows(graph)
    with torch.inference_mode():
        expected = graph.sums(x)
    again = copy.deepcopy(graph)
    torch.testing.assert_close(again.sums(x), expected.clone(), **EXACT)


@pytest.mark.parametrize("name", ["mmgcn", "mgat", "bm3"])
def test_float32_is_as_close_as_float32_is(name: str) -> None:
    exact = make(name, layers=2)
    expected, more = vectors_of(exact), exact.auxiliary_loss(torch.empty(0), torch.tensor([1, 6]))
    torch.set_default_dtype(torch.float32)
    model = make(name, layers=2).float()
    model.load_state_dict({key: x.float() for key, x in exact.state_dict().items()})
    found = vectors_of(model)
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x.double(), y, atol=1e-5, rtol=1e-5)
    if more is not None:
        again = model.auxiliary_loss(torch.empty(0), torch.tensor([1, 6]))
        torch.testing.assert_close(again.double(), more, atol=1e-5, rtol=1e-5)
