"""What aggregators with parameters per relation share.

Shapes: B batch, N nodes, n nodes of one type block, Q query nodes, D width, R relations from
`SELF` on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import SELF, SEQUENTIAL, cross_relation, n_relations
from mmsr.models.aggregators.base import rows_of
from mmsr.models.embedding import preserving_


class RelationalSum(nn.Module):
    """sum_j w_ij W_r h_j, where r is the relation from i to j.

    Neighbours are summed per relation before they are projected. A node of one type has three
    relations within its type, one to itself and one to each other type; so the sums of a type's
    nodes lie side by side and are projected by one product.
    """

    def __init__(self, n_types: int, width: int) -> None:
        super().__init__()
        n_real = n_relations(n_types) - SELF
        self.weight = nn.Parameter(preserving_(torch.empty(n_real, width, width), width))
        """W_r by relation id, from `SELF` on."""

    def forward(
        self, graph: BatchGraph, weights_BQN: Tensor, h_BND: Tensor, queries_BQ: Tensor | None
    ) -> Tensor:
        """Sums `[B, Q, D]` for the queries; for all nodes where there are none.

        `weights_BQN` holds w_ij, 0 where i and j are not related.
        """
        if queries_BQ is not None:
            return self._sums(graph, 0, weights_BQN, h_BND, queries_BQ)
        rows = [weights_BQN[:, graph.block(t)] for t in range(len(graph.sizes))]
        sums = [self._sums(graph, t, weights, h_BND, None) for t, weights in enumerate(rows)]
        return torch.cat(sums, dim=1)

    def _sums(
        self,
        graph: BatchGraph,
        type_: int,
        weights_BQN: Tensor,
        h_BND: Tensor,
        queries_BQ: Tensor | None,
    ) -> Tensor:
        """The sums of nodes of one type."""
        B, Q, _ = weights_BQN.shape
        blocks = [graph.block(t) for t in range(len(graph.sizes))]
        own = blocks[type_]
        within_BQn = weights_BQN[:, :, own]
        if queries_BQ is None:
            own_weight_BQ1 = within_BQn.diagonal(dim1=1, dim2=2)[:, :, None]
        else:
            own_weight_BQ1 = within_BQn.gather(2, queries_BQ[:, :, None])
        steps_BQ3n = rows_of(graph.sequential[type_], queries_BQ) * within_BQn[:, :, None]
        relations = [SELF, *SEQUENTIAL]
        parts = [
            own_weight_BQ1 * rows_of(h_BND[:, own], queries_BQ),
            (steps_BQ3n.reshape(B, Q * 3, -1) @ h_BND[:, own]).view(B, Q, -1),
        ]
        for other, block in enumerate(blocks):
            if other != type_:
                relations.append(cross_relation(type_, other, len(blocks)))
                parts.append(weights_BQN[:, :, block] @ h_BND[:, block])
        chosen = self.weight[[r - SELF for r in relations]]
        return torch.cat(parts, dim=2) @ chosen.flatten(0, 1)


def relation_scores(
    graph: BatchGraph,
    own_BQR: Tensor,
    other_BNR: Tensor,
    queries_BQ: Tensor | None,
    negative_slope: float,
) -> Tensor:
    """LeakyReLU(own[i, r] + other[j, r]), r from i to j, `[B, Q, N]`; -inf where unrelated."""
    relation_BQN = rows_of(graph.relation_BNN, queries_BQ).long()
    place_BQN = (relation_BQN - SELF).clamp_(min=0)
    scores_BQN = own_BQR.gather(2, place_BQN) + other_BNR.mT.gather(1, place_BQN)
    scores_BQN = F.leaky_relu(scores_BQN, negative_slope)
    return scores_BQN.masked_fill(relation_BQN < SELF, -torch.inf)
