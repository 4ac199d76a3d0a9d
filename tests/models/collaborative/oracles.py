"""MMGCN, MGAT and BM3 in loops over nodes and edges, in float64, from their papers and public code.

Nodes are the users and then the items: item `i` is node `n_users + i`. Edges are pairs of a user
and an item, each counted once. Features are `[I, F]`; `weights` are tensors by name, listed at each
function. All of it is differentiable, so that gradients can be compared, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

SLOPE = 0.01
"""Of LeakyReLU below zero."""
Edges = Sequence[tuple[int, int]]
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Bipartite:
    """The neighbours of each node, users first."""

    n_users: int
    n_items: int
    edges: Edges

    @cached_property
    def neighbours(self) -> list[list[int]]:
        there: list[list[int]] = [[] for _ in range(self.n_users + self.n_items)]
        for user, item in set(self.edges):
            there[user].append(self.n_users + item)
            there[self.n_users + item].append(user)
        return there

    def split(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return torch.stack(list(rows[: self.n_users])), torch.stack(list(rows[self.n_users :]))


def leaky(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, SLOPE * x)


def unit(x: Tensor) -> Tensor:
    """A vector of length one; the zero vector stays."""
    length = (x * x).sum().sqrt()
    return x / length if length > 0 else x


def affine(weights: Weights, name: str, x: Tensor) -> Tensor:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


# MMGCN


def mmgcn(
    graph: Bipartite,
    features: Mapping[str, Tensor],
    weights: Weights,
    layers: int,
    combination: str,
) -> tuple[Tensor, Tensor]:
    """User and item vectors: the mean of the modalities' last layers (eq. 1-6 of Wei et al.).

    `ids` `[N, D]`; per modality `m.map` (an affine map of the features), `m.preferences` `[U, L]`,
    and per layer `m.k.message` (square, no bias), `m.k.own` and `m.k.combine` (affine).
    """
    channels = []
    for name, rows in features.items():
        x = [unit(row) for row in weights[f"{name}.preferences"]]
        x += [unit(affine(weights, f"{name}.map", row)) for row in rows]
        for layer in range(layers):
            x = _mmgcn_layer(graph, x, weights, f"{name}.{layer}", combination)
        channels.append(x)
    return graph.split([torch.stack(at).mean(0) for at in zip(*channels, strict=True)])


def _mmgcn_layer(
    graph: Bipartite, x: list[Tensor], weights: Weights, at: str, combination: str
) -> list[Tensor]:
    after = []
    for node, neighbours in enumerate(graph.neighbours):
        message = torch.zeros_like(x[node])
        for neighbour in neighbours:  # eq. (1)
            message = message + weights[f"{at}.message"] @ x[neighbour] / len(neighbours)
        message = leaky(message)
        own = leaky(affine(weights, f"{at}.own", x[node])) + weights["ids"][node]  # eq. (5)
        if combination == "concat":  # eq. (3)
            after.append(leaky(affine(weights, f"{at}.combine", torch.cat([message, own]))))
        else:  # eq. (4)
            after.append(leaky(affine(weights, f"{at}.combine", message) + own))
    return after


# MGAT


def mgat(
    graph: Bipartite,
    features: Mapping[str, Tensor],
    weights: Weights,
    layers: int,
    degree_of: str,
    outputs: str = "last",
) -> tuple[Tensor, Tensor]:
    """User and item vectors: the mean of the modalities.

    The names of MMGCN's weights, and `m.k.bias` of the messages. `degree_of` says which end of an
    edge gives the gate its number of neighbours: the `centre`, as in the paper, or the `neighbour`,
    as in the authors' code. `outputs` are the `last` layer's, or `all`: the layers' side by side.
    """
    channels = []
    for name, rows in features.items():
        x = [unit(row) for row in weights[f"{name}.preferences"]]
        x += [unit(torch.tanh(affine(weights, f"{name}.map", row))) for row in rows]
        kept = []
        for layer in range(layers):
            x = _mgat_layer(graph, x, weights, f"{name}.{layer}", degree_of)
            kept.append(x)
        channels.append(
            x if outputs == "last" else [torch.cat(at) for at in zip(*kept, strict=True)]
        )
    return graph.split([torch.stack(at).mean(0) for at in zip(*channels, strict=True)])


def _mgat_layer(
    graph: Bipartite, x: list[Tensor], weights: Weights, at: str, degree_of: str
) -> list[Tensor]:
    z = [weights[f"{at}.message"] @ row for row in x]
    after = []
    for node, neighbours in enumerate(graph.neighbours):
        scores = []
        for neighbour in neighbours:
            inner = z[node] @ leaky(z[neighbour])
            counted = node if degree_of == "centre" else neighbour
            gate = 1 / (1 + torch.exp(-inner / math.sqrt(len(graph.neighbours[counted]))))
            scores.append(torch.exp(inner * gate))
        message = torch.zeros_like(z[node])
        for neighbour, score in zip(neighbours, scores, strict=True):
            message = message + z[neighbour] * score / sum(scores)
        message = leaky(unit(message + weights[f"{at}.bias"]))
        own = leaky(affine(weights, f"{at}.own", x[node])) + weights["ids"][node]
        after.append(leaky(affine(weights, f"{at}.combine", message) + own))
    return after


# BM3


def bm3(graph: Bipartite, weights: Weights, layers: int) -> tuple[Tensor, Tensor]:
    """User and item representations before the predictor: `users` `[U, D]` and `items` `[I, D]`.

    The mean of what the layers of LightGCN give, and an item's own embedding once more.
    """
    x = [*weights["users"], *weights["items"]]
    total = list(x)
    neighbours = graph.neighbours
    for _ in range(layers):
        after = []
        for node, around in enumerate(neighbours):
            row = torch.zeros_like(x[node])
            for other in around:
                row = row + x[other] / math.sqrt(len(around) * len(neighbours[other]))
            after.append(row)
        x = after
        total = [a + b for a, b in zip(total, x, strict=True)]
    users, items = graph.split([row / (layers + 1) for row in total])
    return users, items + weights["items"]


def bm3_scored(graph: Bipartite, weights: Weights, layers: int) -> tuple[Tensor, Tensor]:
    """User and item vectors whose inner products rank: both after the `predictor`."""
    users, items = bm3(graph, weights, layers)
    return _predicted(weights, users), _predicted(weights, items)


def bm3_losses(
    graph: Bipartite,
    features: Mapping[str, Tensor],
    present: Mapping[str, Sequence[bool]],
    weights: Weights,
    layers: int,
    batch: Edges,
) -> dict[str, Tensor]:
    """The parts of the loss without dropout.

    `reconstruction` is of users to items and back, a mean over the batch's pairs; `alignment` is of
    a modality with the item's representation and with itself, a sum over modalities of means over
    those pairs whose item has the modality; `lengths` are those of all users' representations as
    one vector and of all items' as another, divided by the number of items. Per modality `m.map`,
    an affine map. Targets pass no gradient.
    """
    users, items = bm3(graph, weights, layers)
    ui, iu = [], []
    for user, item in batch:
        ui.append(1 - _cosine(_predict(weights, users[user]), items[item].detach()))
        iu.append(1 - _cosine(_predict(weights, items[item]), users[user].detach()))
    alignment = torch.zeros((), dtype=users.dtype)
    for name, rows in features.items():
        with_it = [item for _, item in batch if present[name][item]]
        for item in with_it:
            mapped = affine(weights, f"{name}.map", rows[item])
            online = _predict(weights, mapped)
            for target in (items[item], mapped):
                alignment = alignment + (1 - _cosine(online, target.detach())) / len(with_it)
    return {
        "reconstruction": torch.stack(ui).mean() + torch.stack(iu).mean(),
        "alignment": alignment,
        "lengths": ((users * users).sum().sqrt() + (items * items).sum().sqrt()) / len(items),
    }


def _predict(weights: Weights, row: Tensor) -> Tensor:
    return affine(weights, "predictor", row)


def _predicted(weights: Weights, rows: Tensor) -> Tensor:
    return torch.stack([_predict(weights, row) for row in rows])


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / ((a @ a).sqrt() * (b @ b).sqrt())
