"""Fusions: where modalities meet (eqs. 3-6, or the graph).

All of them run the same sequence module, so comparing them compares the fusion alone.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.config import MmsrConfig
from mmsr.graph.batch import at_all
from mmsr.graph.build import build_batch_graph
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
        graph = build_batch_graph(
            histories_BL,
            [tables.links(m) for m in tables.modalities],
            lost=[tables.lost(m, histories_BL) for m in tables.modalities],
        )
        look_up = self.sequence.input.look_up
        mapped = [look_up(tables.table(t), ids) for t, ids in enumerate(graph.ids)]
        vectors: Tensor = self.sequence(graph, mapped)
        return vectors


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
        graph = build_batch_graph(histories_BL, [])
        (ids,) = graph.ids
        channels = [F.embedding(ids, tables.item)]
        for modality in tables.modalities:
            lost = tables.lost(modality, histories_BL)
            if lost is not None:
                lost = at_all(graph, lost.expand_as(histories_BL))
            channels.append(tables.mean_of_codes(modality, ids, lost))
        fused = torch.tanh(self.join(torch.cat(channels, dim=2)))  # eq. (3)
        vectors: Tensor = self.sequence(graph, [self.sequence.input.map(fused)])  # eq. (4)
        return vectors


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
        channels = []
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
            channels.append(sequence(graph, [mapped]))  # eq. (5)
        return torch.tanh(self.join(torch.cat(channels, dim=1)))  # eq. (6)
