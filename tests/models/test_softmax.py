"""Softmax over short rows is torch's."""

from __future__ import annotations

import pytest
import torch

from mmsr.models.softmax import softmax


@pytest.mark.parametrize("columns", [1, 2, 9, 15, 16, 17, 40])
def test_softmax_and_gradient_are_torchs(columns: int) -> None:
    torch.manual_seed(columns)
    x = 30 * torch.randn(60, 200, columns)
    x[:, :, 1:].masked_fill_(torch.rand(60, 200, columns - 1) < 0.3, -torch.inf)
    gradient = torch.randn_like(x)
    given = [x.clone().requires_grad_() for _ in range(2)]
    weights, expected = softmax(given[0]), torch.softmax(given[1], dim=-1)
    weights.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(given[0].grad, given[1].grad)
