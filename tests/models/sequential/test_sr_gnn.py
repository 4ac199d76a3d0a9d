"""SR-GNN against its equations, over sets of neighbours and node by node."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from mmsr.models.sequential.sr_gnn import SRGNN, session_graphs

from .cases import ROWS, exact, make, padded


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    y = layer.weight.detach().numpy() @ x
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def propagated(model: SRGNN, h: dict[int, np.ndarray], history: list[int]) -> dict:
    """Eqs. (1)-(5) for every item of a history."""
    step, cell, new = model.propagation, model.propagation.cell, {}
    zeros = np.zeros(model.item.embedding_dim)
    for item, own in h.items():
        before = sorted({a for a, b in pairwise(history) if b == item})
        after = sorted({b for a, b in pairwise(history) if a == item})
        incoming = sum((linear(step.incoming, h[j]) / len(before) for j in before), zeros)
        outgoing = sum((linear(step.outgoing, h[j]) / len(after) for j in after), zeros)
        a = np.concatenate(
            (
                incoming + step.incoming_bias.detach().numpy(),
                outgoing + step.outgoing_bias.detach().numpy(),
            )
        )
        weights = [p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh)]
        biases = [p.detach().numpy() for p in (cell.bias_ih, cell.bias_hh)]
        read = np.split(weights[0] @ a + biases[0], 3)
        kept = np.split(weights[1] @ own + biases[1], 3)
        reset, keep = sigmoid(read[0] + kept[0]), sigmoid(read[1] + kept[1])
        candidate = np.tanh(read[2] + reset * kept[2])
        new[item] = (1 - keep) * candidate + keep * own
    return new


def user(model: SRGNN, history: list[int]) -> np.ndarray:
    items = model.item.weight.detach().numpy()
    h = {item: items[item] for item in history}
    for _ in range(model.steps):
        h = propagated(model, h, history)
    readout, last = model.readout, h[history[-1]]
    summed = np.zeros_like(last)
    for item in history:  # eq. (6)
        hidden = sigmoid(linear(readout.last, last) + linear(readout.each, h[item]))
        summed = summed + linear(readout.query, hidden) * h[item]
    if readout.join is None:
        return summed
    return linear(readout.join, np.concatenate((summed, last)))  # eq. (7)


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_user_vectors_equal_the_equations_node_by_node(steps: int, hybrid: bool) -> None:
    model = exact(make("sr_gnn", width=9, steps=steps, hybrid=hybrid))
    expected = np.stack([user(model, row) for row in ROWS])
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        for extra in (0, 3):
            users = model.user_vectors(padded([ROWS[i] for i in order], extra))
            np.testing.assert_allclose(
                users.detach().numpy(), expected[order], rtol=1e-9, atol=1e-9
            )


def test_the_graph_is_that_of_the_papers_figure_2() -> None:
    node_BL, edges_BLL = session_graphs(padded([[1, 2, 3, 2, 4]], extra=2))
    assert node_BL[0, :5].tolist() == [0, 1, 2, 1, 4]
    assert edges_BLL.nonzero().tolist() == [[0, 0, 1], [0, 1, 2], [0, 1, 4], [0, 2, 1]]


def test_steps_are_directed_repeats_are_loops_and_the_batch_has_no_step_between_histories() -> None:
    rows = [[7, 7, 7], [9], [3, 8], [8, 3], [3, 8, 3, 8, 3]]
    node_BL, edges_BLL = session_graphs(padded(rows))
    for row, history in enumerate(rows):
        nodes = {item: history.index(item) for item in history}
        assert node_BL[row, : len(history)].tolist() == [nodes[item] for item in history]
        steps = {(nodes[a], nodes[b]) for a, b in pairwise(history)}
        assert {(a, b) for a, b in edges_BLL[row].nonzero().tolist()} == steps


def test_all_weights_start_within_the_authors_bound() -> None:
    model = make("sr_gnn", width=25)
    for name, parameter in model.named_parameters():
        assert 0.5 / 5 < parameter.abs().max() <= 1 / 5, name


def test_an_item_keeps_its_vector_by_index() -> None:
    model = make("sr_gnn", width=9)
    some = torch.tensor([29, 0, 0, 7])
    torch.testing.assert_close(model.item_vectors(some), model.item_vectors()[some])


def test_dropout_is_drawn_once_for_an_item_and_in_training_alone() -> None:
    model = make("sr_gnn", width=9, dropout=0.5)
    twice = padded([[4, 4, 4, 4]])
    torch.testing.assert_close(model.user_vectors(twice), model.user_vectors(twice))
    model.train()
    assert not torch.allclose(model.user_vectors(twice), model.user_vectors(twice))
    seen = []
    model.readout.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.user_vectors(twice)
    torch.testing.assert_close(seen[0], seen[0][:, :1].expand_as(seen[0]))
