"""The graph of users and items: sums over neighbours, and scores of edges, both sparse.

Legend: U users, I items, N = U + I nodes (users first), E directed edges, D width.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from mmsr.models.inputs import Interactions


class UserItemGraph(nn.Module):
    """Edges between users and the items they interacted with, each in both directions, once.

    Parameters
    ----------
    interactions : who interacted with what.
    n_items : size of the catalogue.
    """

    ends_2E: Tensor
    """int64: the node that reads, and the neighbour that is read; sorted."""
    backwards_E: Tensor
    """int64: the place of each edge's opposite."""
    degrees_N: Tensor
    """float32, neighbours of each node."""

    def __init__(self, interactions: Interactions, n_items: int) -> None:
        super().__init__()
        self.n_users, self.n_items = interactions.n_users, n_items
        self.n_nodes = self.n_users + n_items
        pairs = np.unique(interactions.users * n_items + interactions.items)
        users, items = pairs // n_items, pairs % n_items + self.n_users
        ends = np.stack([np.concatenate([users, items]), np.concatenate([items, users])])
        ends = np.ascontiguousarray(ends[:, np.lexsort((ends[1], ends[0]))])
        self.register_buffer("ends_2E", torch.from_numpy(ends), persistent=False)
        backwards = torch.from_numpy(np.lexsort((ends[0], ends[1])))
        self.register_buffer("backwards_E", backwards, persistent=False)
        degrees = np.bincount(ends[0], minlength=self.n_nodes).astype(np.float32)
        self.register_buffer("degrees_N", torch.from_numpy(degrees), persistent=False)
        self._edges: EdgeIndex | None = None

    @property
    def edges(self) -> EdgeIndex:
        """`ends_2E`, as torch-geometric's sparse products take it; on the same device."""
        if self._edges is None or self._edges.device != self.ends_2E.device:
            # What is made in inference mode cannot be used in training. torch warns once of
            # sparse matrices, which are in beta and not checked.
            with torch.inference_mode(False), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sparse ")
                self._edges = EdgeIndex(
                    self.ends_2E,
                    sparse_size=(self.n_nodes, self.n_nodes),
                    sort_order="row",
                    is_undirected=True,
                ).fill_cache_()
                self._edges.matmul(self.degrees_N[:, None])
        return self._edges

    def sums(self, x_ND: Tensor, weights_E: Tensor | None = None) -> Tensor:
        """The sum of each node's neighbours' vectors.

        Parameters
        ----------
        x_ND : vectors of all nodes.
        weights_E : of the edges; None weighs all alike.

        Returns
        -------
        `[N, D]`, zeros for nodes without neighbours.
        """
        summed: Tensor = _Sums.apply(weights_E, x_ND, self)  # type: ignore[no-untyped-call]  # torch's apply
        return summed

    def means(self, x_ND: Tensor) -> Tensor:
        """The mean of each node's neighbours' vectors, `[N, D]`; zeros where there are none."""
        return self.sums(x_ND) / self.degrees_N.clamp(min=1)[:, None]

    def smoothed(self, x_ND: Tensor) -> Tensor:
        """The sum of neighbours' vectors, each divided by the root of both degrees, `[N, D]`."""
        roots_N1 = self.degrees_N.clamp(min=1).sqrt()[:, None]
        return self.sums(x_ND / roots_N1) / roots_N1

    def products(self, readers_ND: Tensor, read_ND: Tensor) -> Tensor:
        """The dot products of the vectors at both ends of each edge; no `[E, D]` is made.

        Parameters
        ----------
        readers_ND, read_ND : vectors of all nodes, as those that read and as those that are read.

        Returns
        -------
        `[E]`.
        """
        found: Tensor = _Products.apply(readers_ND, read_ND, self)  # type: ignore[no-untyped-call]  # torch's apply
        return found


def _sums(graph: UserItemGraph, weights_E: Tensor | None, x_ND: Tensor) -> Tensor:
    return cast("Tensor", graph.edges.matmul(x_ND, input_value=weights_E))


def _products(graph: UserItemGraph, a_ND: Tensor, b_ND: Tensor) -> Tensor:
    (rows, columns), _ = graph.edges.get_csr()
    zeros = torch.sparse_csr_tensor(
        rows, columns, a_ND.new_zeros(len(columns)), (graph.n_nodes, graph.n_nodes)
    )
    products = torch.sparse.sampled_addmm(zeros, a_ND.contiguous(), b_ND.T)
    return cast("Tensor", products.values())


class _Sums(torch.autograd.Function):
    """y_i = Σ_j w_ij x_j. torch's own gradient of w would be that of a dense matrix."""

    @staticmethod
    def forward(ctx: Any, weights_E: Tensor | None, x_ND: Tensor, graph: UserItemGraph) -> Tensor:
        ctx.graph = graph
        if weights_E is not None:
            ctx.save_for_backward(weights_E, x_ND)
        return _sums(graph, weights_E, x_ND)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (d_y_ND,), graph = gradients, ctx.graph
        if not ctx.saved_tensors:
            return None, _sums(graph, None, d_y_ND), None
        weights_E, x_ND = ctx.saved_tensors
        d_x_ND = _sums(graph, weights_E[graph.backwards_E], d_y_ND)
        return _products(graph, d_y_ND, x_ND), d_x_ND, None


class _Products(torch.autograd.Function):
    """p_ij = ⟨a_i, b_j⟩."""

    @staticmethod
    def forward(ctx: Any, a_ND: Tensor, b_ND: Tensor, graph: UserItemGraph) -> Tensor:
        ctx.save_for_backward(a_ND, b_ND)
        ctx.graph = graph
        return _products(graph, a_ND, b_ND)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        a_ND, b_ND = ctx.saved_tensors
        (d_p_E,), graph = gradients, ctx.graph
        return _sums(graph, d_p_E, b_ND), _sums(graph, d_p_E[graph.backwards_E], a_ND), None
