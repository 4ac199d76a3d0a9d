"""Oracles are in float64, and so are the models that are compared with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    """Make it torch's default, which the graph's sparse matrices of ones have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
