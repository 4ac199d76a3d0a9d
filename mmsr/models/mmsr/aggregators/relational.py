"""What aggregators with parameters per relation or per node type share.

Shapes: B batch, N nodes, n nodes of one type block, Q query nodes, D width, T node types,
R relations from `SELF` on, X any width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.graph.relations import NONE, SELF, SEQUENTIAL, cross_relation, n_relations
from mmsr.models.mmsr.embedding import preserving_
from mmsr.models.products import product

WITHIN = (SELF, *SEQUENTIAL)
"""Relations within a type, in the order of their ids."""


class RelationalSum(nn.Module):
    """sum_j w_ij W_r h_j, where r is the relation from i to j.

    Neighbours are summed per relation before they are projected. A node has three relations to
    other nodes of its type, one to itself and one to each other type, so these sums are
    concatenated and projected by one product.
    """

    def __init__(self, n_types: int, width: int) -> None:
        super().__init__()
        n_real = n_relations(n_types) - SELF
        self.weight = nn.Parameter(preserving_(torch.empty(n_real, width, width), width))
        """W_r by relation id, from `SELF` on."""

    def forward(
        self,
        graph: BatchGraph,
        relation_BQN: Tensor,
        weights_BQN: Tensor,
        h_BND: Tensor,
        queries_BQ: Tensor | None,
    ) -> Tensor:
        """Compute the sums.

        Parameters
        ----------
        graph : the batch graph.
        relation_BQN : relation ids, the queries' rows of `BatchGraph.relation_BNN`.
        weights_BQN : w_ij; 0 where nodes are unrelated.
        h_BND : node vectors.
        queries_BQ : nodes of type 0; None stands for all nodes, and Q is N.

        Returns
        -------
        `[B, Q, D]`.
        """
        blocks = graph.by_type(h_BND)
        if queries_BQ is not None:
            own_BQD = take_rows(h_BND, queries_BQ)
            return self._sums(graph, 0, relation_BQN, weights_BQN, own_BQD, blocks)
        rows = zip(graph.by_type(relation_BQN), graph.by_type(weights_BQN), blocks, strict=True)
        return torch.cat([self._sums(graph, t, *r, blocks) for t, r in enumerate(rows)], dim=1)

    def _sums(
        self,
        graph: BatchGraph,
        type_: int,
        relation_BQN: Tensor,
        weights_BQN: Tensor,
        own_BQD: Tensor,
        blocks: tuple[Tensor, ...],
    ) -> Tensor:
        """The sums of nodes of one type."""
        relation_BQn = graph.by_type(relation_BQN, dim=2)[type_]
        weights = graph.by_type(weights_BQN, dim=2)
        B, Q, n = relation_BQn.shape
        by_step = [weights[type_] * (relation_BQn == r) for r in SEQUENTIAL]
        steps_BQX = (torch.stack(by_step, dim=2).view(B, Q * 3, n) @ blocks[type_]).view(B, Q, -1)
        own_weight_BQ1 = (weights[type_] * (relation_BQn == SELF)).sum(dim=2, keepdim=True)
        within_BQX = torch.cat((own_weight_BQ1 * own_BQD, steps_BQX), dim=2)
        sums_BQD = product(within_BQX, self.weight[: len(WITHIN)].flatten(0, 1))
        others = [t for t in range(len(blocks)) if t != type_]
        if not others:
            return sums_BQD
        across_BQX = torch.cat([weights[t] @ blocks[t] for t in others], dim=2)
        # The ids of a type's relations to the others follow each other.
        first = cross_relation(type_, others[0], len(blocks)) - SELF
        weight = self.weight[first : first + len(others)].flatten(0, 1)
        return sums_BQD + product(across_BQX, weight)


def typed_products(
    graph: BatchGraph, weight_TDX: Tensor, h_BND: Tensor, queries_BQ: Tensor | None
) -> Tensor:
    """Each node's vector times the matrix of its type.

    Parameters
    ----------
    graph : the batch graph.
    weight_TDX : a matrix for each node type.
    h_BND : node vectors.
    queries_BQ : nodes of type 0; None stands for all nodes, and Q is N.

    Returns
    -------
    `[B, Q, X]`.
    """
    if queries_BQ is not None:
        return take_rows(h_BND, queries_BQ) @ weight_TDX[0]
    pairs = zip(graph.by_type(h_BND), weight_TDX, strict=True)
    return torch.cat([h @ w for h, w in pairs], dim=1)


def typed_sum(
    graph: BatchGraph,
    weights_BQN: Tensor,
    weight_TDD: Tensor,
    h_BND: Tensor,
    queries_BQ: Tensor | None,
) -> Tensor:
    """sum_j w_ij W_t h_j, where t is the type of j.

    Parameters
    ----------
    graph : the batch graph.
    weights_BQN : w_ij.
    weight_TDD : W_t for each node type.
    h_BND : node vectors.
    queries_BQ : nodes of type 0; None stands for all nodes, and Q is N.

    Returns
    -------
    `[B, Q, D]`.
    """
    blocks = graph.by_type(h_BND)
    if queries_BQ is None:
        values = [product(h, w) for h, w in zip(blocks, weight_TDD, strict=True)]
        return weights_BQN @ torch.cat(values, dim=1)
    # Summed per type first: few rows are left to project.
    pairs = zip(graph.by_type(weights_BQN, dim=2), blocks, strict=True)
    return torch.cat([w @ h for w, h in pairs], dim=2) @ weight_TDD.flatten(0, 1)


def relation_scores(
    relation_BQN: Tensor, own_BQR: Tensor, other_BNR: Tensor, negative_slope: float
) -> Tensor:
    """LeakyReLU(own[i, r] + other[j, r]), where r is the relation from i to j.

    Parameters
    ----------
    relation_BQN : relation ids, the queries' rows of `BatchGraph.relation_BNN`.
    own_BQR, other_BNR : parts of the score per relation, of the node that reads and the one read.
    negative_slope : slope of LeakyReLU below zero.

    Returns
    -------
    `[B, Q, N]`, -inf where nodes are unrelated.
    """
    place_BQN = (relation_BQN.long() - SELF).clamp_(min=0)
    scores_BQN = own_BQR.gather(2, place_BQN) + other_BNR.mT.gather(1, place_BQN)
    scores_BQN = F.leaky_relu(scores_BQN, negative_slope)
    return scores_BQN.masked_fill(relation_BQN == NONE, -torch.inf)
