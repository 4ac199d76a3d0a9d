"""The number type of large matrix products.

Large products are the scores of all items in training, and products of many nodes with a weight
matrix: the embeddings' part of node input, the projections of dual attention and (for all nodes)
GAT, HGAT and `typed_gat`, the weights of GCN, GraphSAGE, HGNN and RGAT, Graphormer's output, and
all maps of nodes in models of users. Only these run in bfloat16 where the config asks for it.
Everything else is always float32: products inside a graph, attention scores, update gate, joins of
fusions and orders, readouts, Graphormer's heads. Most of these are small, and would take less time
than the casts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_DTYPE: ContextVar[torch.dtype] = ContextVar("dtype of large products", default=torch.float32)
_MANY = 1024
"""Fewest rows of a large product with a weight matrix."""


@contextmanager
def products_in(dtype: torch.dtype) -> Iterator[None]:
    """Context in which large products cast their operands to a number type.

    Parameters
    ----------
    dtype : e.g. `torch.bfloat16`.
    """
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def product_dtype() -> torch.dtype:
    """The type of the operands of large products."""
    return _DTYPE.get()


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Compute `x @ weight` as float32; the operands are cast where the product is large.

    Parameters
    ----------
    x : float32 `[..., D]`.
    weight : float32 `[D, X]`.

    Returns
    -------
    float32 `[..., X]`.
    """
    dtype = product_dtype()
    if dtype == torch.float32 or x.numel() < _MANY * x.shape[-1]:
        return x @ weight
    return (x.to(dtype) @ weight.to(dtype)).float()
