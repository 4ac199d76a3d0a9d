"""Node input: embedding, type embedding and mean position embedding through one linear map.

Shapes: B batch, N nodes, n nodes of one type, D width, C codes, L history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.codes import ModalityCodes
from mmsr.models.products import product


def uniform_(tensor: Tensor, width: int) -> Tensor:
    """Fill in place from the uniform distribution on ±1/√width: vectors and embeddings."""
    bound = 1 / math.sqrt(width)
    return nn.init.uniform_(tensor, -bound, bound)


def preserving_(tensor: Tensor, width: int) -> Tensor:
    """Fill in place from the uniform distribution on ±√(3/width): maps of `width` inputs.

    Such a map keeps the variance of what it maps. With ±1/√width every map shrinks it to a third,
    and the first epochs pass in growing the weights.
    """
    bound = math.sqrt(3 / width)
    return nn.init.uniform_(tensor, -bound, bound)


def code_embeddings(codes: ModalityCodes, width: int, seed: int) -> Tensor:
    """Cluster centres `[C, width]`, scaled to the range of the item embeddings, ±1/√width.

    Centres of another width are rotated into place by a seeded random orthonormal map, which
    keeps their distances as well as a linear map of that rank can.
    """
    centres = torch.from_numpy(codes.centres)
    if centres.shape[1] != width:
        generator = torch.Generator().manual_seed(seed)
        rows, columns = sorted((centres.shape[1], width), reverse=True)
        basis, _ = torch.linalg.qr(torch.randn(rows, columns, generator=generator))
        centres = centres @ (basis if centres.shape[1] == rows else basis.T)
    low, high = centres.min(), centres.max()
    scaled = (centres - low) / (high - low).clamp(min=1e-12)
    return (2 * scaled - 1) / math.sqrt(width)


Loss = Callable[[str, Tensor], Tensor]
"""Of a modality and histories `[B, L]`: bool `[B, L]` or `[B, 1]`, where it is lost."""


class NodeTables(nn.Module):
    """Embedding tables of items and codes, and the codes that items are linked to."""

    def __init__(
        self, n_items: int, codes: Mapping[str, ModalityCodes], width: int, seed: int
    ) -> None:
        super().__init__()
        self.modalities = tuple(codes)
        self.item = nn.Parameter(uniform_(torch.empty(n_items, width), width))
        self.codes = nn.ParameterDict(
            {name: nn.Parameter(code_embeddings(c, width, seed)) for name, c in codes.items()}
        )
        for name, c in codes.items():
            self.register_buffer(_buffer(name), torch.from_numpy(c.links))
        self._loss: Loss | None = None

    def links(self, modality: str) -> Tensor:
        """Codes of every item `[I, K]`, -1 where it has none."""
        return self.get_buffer(_buffer(modality))

    def table(self, type_: int) -> Tensor:
        """Embedding table of one node type; type 0 are the items."""
        table: Tensor = self.item if type_ == 0 else self.codes[self.modalities[type_ - 1]]
        return table

    @contextmanager
    def relinked(self, links: Mapping[str, Tensor]) -> Iterator[None]:
        """Other links `[I, K]` of some modalities, in graphs and in scores, while this lasts."""
        before = {modality: self.links(modality) for modality in links}
        try:
            self.relink(links)
            yield
        finally:
            self.relink(before)

    def relink(self, links: Mapping[str, Tensor]) -> None:
        """Give items other links `[I, K]` in some modalities, for good."""
        for modality, link in links.items():
            setattr(self, _buffer(modality), link.to(self.links(modality).device))

    @contextmanager
    def losing(self, loss: Loss) -> Iterator[None]:
        """Codes lost at some places of the histories, in graphs alone, while this lasts.

        `loss` is asked once for every modality and batch.
        """
        self._loss = loss
        try:
            yield
        finally:
            self._loss = None

    def lost(self, modality: str, histories_BL: Tensor) -> Tensor | None:
        """Where codes are lost: bool `[B, L]` or `[B, 1]`; None where they are nowhere."""
        return None if self._loss is None else self._loss(modality, histories_BL)

    def mean_of_codes(self, modality: str, ids: Tensor, lost: Tensor | None = None) -> Tensor:
        """Mean embedding `[..., D]` of the codes of the items `ids`; zeros where there are none.

        `lost`: bool like `ids`, which of them are to have none.
        """
        links, table = self.links(modality)[ids], self.codes[modality]
        if lost is not None:
            links = links.masked_fill(lost[..., None], -1)
        linked = (links >= 0).to(table.dtype)[..., None]
        total = (F.embedding(links.clamp(min=0), table) * linked).sum(dim=-2)
        return total / linked.sum(dim=-2).clamp(min=1)

    def code_shares(self, modality: str) -> Tensor:
        """Share of each code in each item's mean: `[I, C]`, rows sum to one, or zero without codes.

        Dense, because a product with it takes a fraction of the time of gathering rows.
        """
        links, table = self.links(modality), self.codes[modality]
        linked = (links >= 0).to(table.dtype)
        share = linked / linked.sum(dim=1, keepdim=True).clamp(min=1)
        shares_IC = torch.zeros(len(links), len(table), dtype=table.dtype, device=table.device)
        return shares_IC.scatter_add_(1, links.clamp(min=0), share)


def _buffer(modality: str) -> str:
    return f"links_{modality.replace('.', '_')}"


class NodeInput(nn.Module):
    """h = W [e ; e^ty ; mean e^po], computed part by part.

    The map is applied to the small tables (codes, types, positions) before they are gathered, so
    that only item embeddings cost a product per node; the result is the same.
    """

    def __init__(
        self,
        n_types: int,
        width: int,
        max_history: int,
        *,
        position_embedding: bool,
        type_embedding: bool,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(preserving_(torch.empty(width, width), width))
        self.types: nn.Parameter | None = None
        self.positions: nn.Parameter | None = None
        if type_embedding:
            self.types = nn.Parameter(uniform_(torch.empty(n_types, width), width))
            self.type_weight = nn.Parameter(preserving_(torch.empty(width, width), width))
        if position_embedding:
            self.positions = nn.Parameter(uniform_(torch.empty(max_history, width), width))
            self.position_weight = nn.Parameter(preserving_(torch.empty(width, width), width))

    def map(self, embedded: Tensor) -> Tensor:
        """The embedding's part of W: `[..., D]` to `[..., D]`."""
        return product(embedded, self.weight)

    def look_up(self, table: Tensor, ids: Tensor) -> Tensor:
        """Mapped rows of an embedding table; whichever of the two is smaller is mapped."""
        if len(table) <= ids.numel():
            return F.embedding(ids, self.map(table))
        return self.map(F.embedding(ids, table))

    def forward(self, graph: BatchGraph, mapped: list[Tensor]) -> Tensor:
        """Node vectors `[B, N, D]` from the mapped embeddings `[B, n, D]` of each type block."""
        h_BND = torch.cat(mapped, dim=1)
        shares, tables = [], []  # of each node, and what they are shares of
        if self.types is not None:
            shares.append(graph.is_type_BNT)
            tables.append(self.types @ self.type_weight)
        if self.positions is not None:
            shares.append(graph.mean_occurrence_BNL)
            tables.append(self.positions[: shares[-1].shape[2]] @ self.position_weight)
        if not shares:
            return h_BND
        share_BNX = torch.cat(shares, dim=2)
        return torch.addmm(h_BND.flatten(0, 1), share_BNX.flatten(0, 1), torch.cat(tables)).view(
            h_BND.shape
        )
