"""The interface of aggregators: how nodes read their neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph, take_rows
from mmsr.models.dropout import dropout
from mmsr.models.softmax import softmax


class Aggregator(nn.Module, ABC):
    """One layer of message passing over a batch graph.

    Subclasses take `(config, n_types, width)` and implement `forward`. Padded nodes, which are
    related to nothing but themselves, must not affect other nodes.
    """

    @abstractmethod
    def forward(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor:
        """Compute new node vectors.

        Parameters
        ----------
        graph : the batch graph.
        h_BND : node vectors `[B, N, D]`.
        queries_BQ : nodes of type 0 whose new vectors are wanted, int64 `[B, Q]` indices on the
            node axis; None stands for all nodes. A layer need not compute other rows.

        Returns
        -------
        `[B, Q, D]`, or `[B, N, D]` where `queries_BQ` is None.
        """

    def shares(self, graph: BatchGraph, h_BND: Tensor, queries_BQ: Tensor | None) -> Tensor | None:
        """How each new node vector is shared out over the nodes that it is read from.

        Parameters
        ----------
        graph, h_BND, queries_BQ : as for `forward`.

        Returns
        -------
        `[B, Q, N]`, rows sum to one; None where the new vectors are no weighted means.
        """
        return None


def rows_of(values_BNX: Tensor, queries_BQ: Tensor | None) -> Tensor:
    """Select the queries' rows.

    Parameters
    ----------
    values_BNX : `[B, N, ...]`.
    queries_BQ : int64 indices on the node axis; None stands for all nodes.

    Returns
    -------
    `[B, Q, ...]`, or `values_BNX` itself.
    """
    return values_BNX if queries_BQ is None else take_rows(values_BNX, queries_BQ)


def attention_weights(scores: Tensor, probability: float, training: bool) -> Tensor:
    """Softmax over the last axis, with dropout on the weights.

    Parameters
    ----------
    scores : `[..., n]`, -inf where attention must not look.
    probability : dropout probability, in [0, 1).
    training : False turns dropout off.
    """
    return dropout(softmax(scores), probability, training)
