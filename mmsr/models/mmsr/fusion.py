"""Fusions: where modalities meet (eqs. 3-6, or the graph).

All of them run the same sequence module, so comparing them compares the fusion alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config import MmsrConfig
from mmsr.graph.batch import BatchGraph, at_all
from mmsr.graph.build import build_batch_graph
from mmsr.models.base import Attention
from mmsr.models.mmsr.embedding import NodeTables
from mmsr.models.mmsr.sequence import SequenceModule


class AdaptiveFusion(nn.Module):
    """One graph of items and codes; the aggregator decides what is fused when.

    Parameters
    ----------
    config : config of the model.
    tables : which modalities there are; not kept.
    max_history : most positions of a history.
    """

    def __init__(self, config: MmsrConfig, tables: NodeTables, max_history: int) -> None:
        super().__init__()
        self.sequence = SequenceModule(config, 1 + len(tables.modalities), max_history)

    def forward(self, tables: NodeTables, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors.

        Parameters
        ----------
        tables : embeddings and links.
        histories_BL : int64, oldest first, -1 behind the end.

        Returns
        -------
        `[B, D]`.
        """
        vectors: Tensor = self.sequence(*self._nodes(tables, histories_BL))
        return vectors

    def attention(self, tables: NodeTables, history_1L: Tensor) -> Attention | None:
        """What the attention reads of one history; see `Recommender.attention`."""
        graph, mapped = self._nodes(tables, history_1L)
        shares_1N = self.sequence.shares(graph, mapped)
        if shares_1N is None:
            return None
        items, *codes = (_by_id(graph, shares_1N, t) for t in range(len(graph.sizes)))
        return Attention(items, dict(zip(tables.modalities, codes, strict=True)))

    def _nodes(self, tables: NodeTables, histories_BL: Tensor) -> tuple[BatchGraph, list[Tensor]]:
        """The batch graph, and its nodes' mapped embeddings by type."""
        graph = build_batch_graph(
            histories_BL,
            [tables.links(m) for m in tables.modalities],
            lost=[tables.lost(m, histories_BL) for m in tables.modalities],
        )
        look_up = self.sequence.input.look_up
        return graph, [look_up(tables.table(t), ids) for t, ids in enumerate(graph.ids)]


class EarlyFusion(nn.Module):
    """Item and code embeddings meet before the sequence module (eqs. 3, 4; σ = tanh).

    E_i = σ(W [e_item ; mean e_code of each modality]), and the user vector is M(E_1, ..., E_m).

    Parameters
    ----------
    config, tables, max_history : as for `AdaptiveFusion`.
    """

    def __init__(self, config: MmsrConfig, tables: NodeTables, max_history: int) -> None:
        super().__init__()
        self.join = nn.Linear((1 + len(tables.modalities)) * config.width, config.width)
        self.sequence = SequenceModule(config, 1, max_history)

    def forward(self, tables: NodeTables, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors, `[B, L]` to `[B, D]`; see `AdaptiveFusion.forward`."""
        vectors: Tensor = self.sequence(*self._nodes(tables, histories_BL))  # eq. (4)
        return vectors

    def attention(self, tables: NodeTables, history_1L: Tensor) -> Attention | None:
        """What the attention reads of one history: items alone, as codes are parts of them."""
        graph, mapped = self._nodes(tables, history_1L)
        shares_1N = self.sequence.shares(graph, mapped)
        return None if shares_1N is None else Attention(_by_id(graph, shares_1N, 0), {})

    def _nodes(self, tables: NodeTables, histories_BL: Tensor) -> tuple[BatchGraph, list[Tensor]]:
        """The graph of items, and their mapped fused embeddings."""
        graph = build_batch_graph(histories_BL, [])
        (ids,) = graph.ids
        channels = [F.embedding(ids, tables.item)]
        for modality in tables.modalities:
            lost = tables.lost(modality, histories_BL)
            if lost is not None:
                lost = at_all(graph, lost.expand_as(histories_BL))
            channels.append(tables.mean_of_codes(modality, ids, lost))
        fused = torch.tanh(self.join(torch.cat(channels, dim=2)))  # eq. (3)
        return graph, [self.sequence.input.map(fused)]


class LateFusion(nn.Module):
    """A sequence module per channel, whose user vectors meet at the end (eqs. 5, 6; σ = tanh).

    The channels are items and each modality's codes: P = σ(W [M(items) ; M(codes) of each
    modality]).

    Parameters
    ----------
    config, tables, max_history : as for `AdaptiveFusion`.
    """

    def __init__(self, config: MmsrConfig, tables: NodeTables, max_history: int) -> None:
        super().__init__()
        n_channels = 1 + len(tables.modalities)
        self.sequences = nn.ModuleList(
            SequenceModule(config, 1, max_history) for _ in range(n_channels)
        )
        self.join = nn.Linear(n_channels * config.width, config.width)

    def forward(self, tables: NodeTables, histories_BL: Tensor) -> Tensor:
        """Encode histories as user vectors, `[B, L]` to `[B, D]`; see `AdaptiveFusion.forward`."""
        channels = [module(*nodes) for module, *nodes in self._channels(tables, histories_BL)]
        return torch.tanh(self.join(torch.cat(channels, dim=1)))  # eq. (6)

    def attention(self, tables: NodeTables, history_1L: Tensor) -> Attention | None:
        """What the attention reads of one history.

        The channels are joined by a map that has no shares, so all channels count alike.
        """
        found: list[dict[int, float]] = []
        for module, graph, mapped in self._channels(tables, history_1L):
            shares_1N = module.shares(graph, mapped)
            if shares_1N is None:
                return None
            found.append(_by_id(graph, shares_1N / len(self.sequences), 0))
        return Attention(found[0], dict(zip(tables.modalities, found[1:], strict=True)))

    def _channels(
        self, tables: NodeTables, histories_BL: Tensor
    ) -> Iterator[tuple[SequenceModule, BatchGraph, list[Tensor]]]:
        """Each channel's sequence module, graph and mapped embeddings (eq. 5)."""
        for channel, module in enumerate(self.sequences):
            sequence = cast(SequenceModule, module)
            names = tables.modalities[channel - 1 : channel]  # none for the items' channel
            graph = build_batch_graph(
                histories_BL,
                [tables.links(name) for name in names],
                with_items=channel == 0,
                lost=[tables.lost(name, histories_BL) for name in names],
            )
            mapped = sequence.input.look_up(tables.table(channel), graph.ids[0])
            yield sequence, graph, [mapped]


def _by_id(graph: BatchGraph, shares_1N: Tensor, type_: int) -> dict[int, float]:
    """Shares of the nodes of one type in a graph of one history, by their ids."""
    block = graph.block(type_)
    rows = zip(
        graph.ids[type_][0].tolist(),
        shares_1N[0, block].tolist(),
        graph.real_BN[0, block].tolist(),
        strict=True,
    )
    return {node: share for node, share, is_real in rows if is_real}
