"""The number type of large matrix products.

A model's large products are those of all nodes with a weight matrix, and the scores of all items.
They alone run in bfloat16 where that is wanted. The products inside a graph are small: in float32
they take less time than casting what goes into them, and results are nearer to exact ones.
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
    """`x @ weight` in float32, its operands cast where the product is large.

    Parameters
    ----------
    x : float32 `[..., D]`.
    weight : float32 `[D, X]`.
    """
    dtype = product_dtype()
    if dtype == torch.float32 or x.numel() < _MANY * x.shape[-1]:
        return x @ weight
    return (x.to(dtype) @ weight.to(dtype)).float()
