"""The sequence module: node input, aggregator layers and readout over one batch graph."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from mmsr.config import MmsrConfig
from mmsr.graph.batch import BatchGraph
from mmsr.models.dropout import dropout
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.embedding import NodeInput
from mmsr.models.mmsr.registry import make_aggregator, make_readout


class SequenceModule(nn.Module):
    """The sequence model f of eq. (2), M of eqs. (4) and (5): every fusion runs it.

    Parameters
    ----------
    config : config of the model.
    n_types : number of node types of its graphs.
    max_history : most positions of a history.
    """

    def __init__(self, config: MmsrConfig, n_types: int, max_history: int) -> None:
        super().__init__()
        self.dropout, self.input_dropout = config.dropout, config.input_dropout
        self.input = NodeInput(
            n_types,
            config.width,
            max_history,
            position_embedding=config.position_embedding,
            type_embedding=config.type_embedding,
        )
        self.layers = nn.ModuleList(
            make_aggregator(config.aggregator, n_types, config.width) for _ in range(config.layers)
        )
        self.readout = make_readout(config)

    def forward(self, graph: BatchGraph, mapped: list[Tensor]) -> Tensor:
        """Compute user vectors.

        Parameters
        ----------
        graph : the batch graph.
        mapped : mapped embeddings of each type block, `[B, n, D]` each (`NodeInput.look_up`).

        Returns
        -------
        `[B, D]`.
        """
        h = dropout(self.input(graph, mapped), self.input_dropout, self.training)
        for depth, layer in enumerate(self.layers, start=1):
            queries = self.readout.queries(graph) if depth == len(self.layers) else None
            h = dropout(layer(graph, h, queries), self.dropout, self.training)
        vectors: Tensor = self.readout(graph, h)
        return vectors

    def shares(self, graph: BatchGraph, mapped: list[Tensor]) -> Tensor | None:
        """Share of each node in what the readout reads, through all layers, in evaluation mode.

        The shares of several layers are multiplied (attention rollout: Abnar & Zuidema, 2020).

        Parameters
        ----------
        graph, mapped : as for `forward`.

        Returns
        -------
        `[B, N]`, rows sum to one; None where a layer cannot tell.
        """
        h = self.input(graph, mapped)
        shares_BQN = None
        for depth, layer in enumerate(self.layers, start=1):
            aggregator = cast(Aggregator, layer)
            queries = self.readout.queries(graph) if depth == len(self.layers) else None
            own_BQN = aggregator.shares(graph, h, queries)
            if own_BQN is None:
                return None
            shares_BQN = own_BQN if shares_BQN is None else own_BQN @ shares_BQN
            h = aggregator(graph, h, queries)
        return None if shares_BQN is None else _mixed(self.readout.shares(graph, h), shares_BQN)


def _mixed(shares_BQ: Tensor, shares_BQN: Tensor) -> Tensor:
    return (shares_BQ[:, None] @ shares_BQN)[:, 0]
