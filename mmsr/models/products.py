"""The number type of large matrix products.

Large are the scores of all items in training, and products of many nodes with a weight matrix: the
embeddings' part of node input, the projections of dual attention and (of all nodes) GAT and HGAT,
the weights of GCN, GraphSAGE, HGNN and RGAT, Graphormer's output. These alone run in bfloat16 where
that is wanted. Everything else is float32 always: products inside a graph, attention scores, update
gate, joins of fusions and orders, readouts, Graphormer's heads. Most of that is small, and takes
less time than casting what goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_DTYPE: ContextVar[torch.dtype] = ContextVar("dtype of large products", default=torch.float32)
_MANY = 1024
"""Rows from which on a product with a weight matrix is a large one."""


@contextmanager
def products_in(dtype: torch.dtype) -> Iterator[None]:
    """Let large products take operands of this type while this lasts."""
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def product_dtype() -> torch.dtype:
    """The type of the operands of large products."""
    return _DTYPE.get()


def product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight` as float32, its operands cast where the product is large.

    Parameters
    ----------
    x : float32 `[..., D]`.
    weight : float32 `[D, X]`.
    """
    dtype = product_dtype()
    if dtype == torch.float32 or x.numel() < _MANY * x.shape[-1]:
        return x @ weight
    return (x.to(dtype) @ weight.to(dtype)).float()
