"""Node input: embedding, type embedding and mean position embedding through one linear map.

Shapes: B batch, N nodes, n nodes of one type, D width, C codes, L history.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.graph.batch import BatchGraph
from mmsr.graph.codes import ModalityCodes
from mmsr.models.modalities import ItemModalities
from mmsr.models.products import product


def uniform_(tensor: Tensor, width: int) -> Tensor:
    """Fill a vector or embedding in place from the uniform distribution on ±1/√width.

    Parameters
    ----------
    tensor : floats of any shape.
    width : sets the range.

    Returns
    -------
    `tensor`.
    """
    bound = 1 / math.sqrt(width)
    return nn.init.uniform_(tensor, -bound, bound)


def preserving_(tensor: Tensor, width: int) -> Tensor:
    """Fill a weight matrix in place from the uniform distribution on ±√(3/width).

    Such a map keeps the variance of its input. With ±1/√width, every map would shrink it to a
    third, and the first epochs would be spent on growing the weights.

    Parameters
    ----------
    tensor : weights of a linear map.
    width : number of its inputs.

    Returns
    -------
    `tensor`.
    """
    bound = math.sqrt(3 / width)
    return nn.init.uniform_(tensor, -bound, bound)


def code_embeddings(codes: ModalityCodes, width: int, seed: int) -> Tensor:
    """First embeddings of codes: their cluster centres, scaled to the range of item embeddings.

    Centres of another width are mapped to `width` by a seeded random orthonormal matrix, which
    keeps their distances as well as a linear map of that rank can.

    Parameters
    ----------
    codes : codes of one modality; C is their number.
    width : width of the embeddings.
    seed : seed of the random matrix.

    Returns
    -------
    float32 `[C, width]`, within ±1/√width.
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


class NodeTables(ItemModalities):
    """Embedding tables of items and codes, and the codes that items are linked to."""

    def __init__(
        self, n_items: int, codes: Mapping[str, ModalityCodes], width: int, seed: int
    ) -> None:
        super().__init__({name: c.links for name, c in codes.items()})
        self.item = nn.Parameter(uniform_(torch.empty(n_items, width), width))
        self.codes = nn.ParameterDict(
            {name: nn.Parameter(code_embeddings(c, width, seed)) for name, c in codes.items()}
        )

    def leave_out(self, items: Tensor) -> None:
        """Take the item embedding from some items: it is zero, and training leaves it so.

        Parameters
        ----------
        items : int64 `[n]`, their indices.
        """
        with torch.no_grad():
            self.item[items] = 0

        def without(grad: Tensor) -> Tensor:
            return grad.index_fill(0, items.to(grad.device), 0)

        self.item.register_hook(without)  # type: ignore[no-untyped-call]  # torch has no types

    def table(self, type_: int) -> Tensor:
        """Embedding table of node type `type_`: 0 is items, 1 is the first modality's codes."""
        table: Tensor = self.item if type_ == 0 else self.codes[self.modalities[type_ - 1]]
        return table

    def mean_of_codes(self, modality: str, ids: Tensor, lost: Tensor | None = None) -> Tensor:
        """Mean embedding of each item's codes in one modality.

        Parameters
        ----------
        modality : name of the modality.
        ids : int64 item indices of any shape.
        lost : bool of the same shape, True for items that lose their codes; None stands for no
            item.

        Returns
        -------
        `[..., D]`, zeros for items without codes.
        """
        links, table = self.links(modality)[ids], self.codes[modality]
        if lost is not None:
            links = links.masked_fill(lost[..., None], -1)
        linked = (links >= 0).to(table.dtype)[..., None]
        total = (F.embedding(links.clamp(min=0), table) * linked).sum(dim=-2)
        return total / linked.sum(dim=-2).clamp(min=1)

    def code_shares(self, modality: str) -> Tensor:
        """Share of each code in each item's mean of codes.

        Dense, because a product with it takes a fraction of the time of gathering rows.

        Parameters
        ----------
        modality : name of the modality.

        Returns
        -------
        `[I, C]`, rows sum to one; zeros for items without codes.
        """
        links, table = self.links(modality), self.codes[modality]
        linked = (links >= 0).to(table.dtype)
        share = linked / linked.sum(dim=1, keepdim=True).clamp(min=1)
        shares_IC = torch.zeros(len(links), len(table), dtype=table.dtype, device=table.device)
        return shares_IC.scatter_add_(1, links.clamp(min=0), share)


class NodeInput(nn.Module):
    """h = W [e ; e^ty ; mean e^po], computed part by part.

    The map is applied to the small tables (codes, types, positions) before rows are gathered, so
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
        """Apply the embedding's part of W to `embedded`, `[..., D]` to `[..., D]`."""
        return product(embedded, self.weight)

    def look_up(self, table: Tensor, ids: Tensor) -> Tensor:
        """Look up rows of an embedding table and `map` them.

        The table or the rows are mapped, whichever is smaller.

        Parameters
        ----------
        table : `[rows, D]`.
        ids : int64 row indices of any shape.

        Returns
        -------
        `[..., D]`.
        """
        if not torch.compiler.is_exporting() and len(table) <= ids.numel():
            return F.embedding(ids, self.map(table))
        return self.map(F.embedding(ids, table))

    def forward(self, graph: BatchGraph, mapped: list[Tensor]) -> Tensor:
        """Compute node vectors.

        Parameters
        ----------
        graph : the batch graph.
        mapped : mapped embeddings (see `map`) of each type block, `[B, n, D]` each.

        Returns
        -------
        `[B, N, D]`.
        """
        h_BND = torch.cat(mapped, dim=1)
        shares, tables = [], []  # weights per node, and the rows that they weight
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
