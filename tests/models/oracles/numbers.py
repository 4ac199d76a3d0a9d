"""Small float64 functions that the oracles share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor


def exact(tensor: Tensor) -> np.ndarray:
    """A parameter in float64."""
    return tensor.detach().double().numpy()


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.0)


def leaky(x: float, slope: float) -> float:
    return x if x > 0 else slope * x


def softmax(scores: Mapping[int, float]) -> dict[int, float]:
    """Weights by node from scores by node."""
    raised = {j: np.exp(score) for j, score in scores.items()}
    total = sum(raised.values())
    return {j: value / total for j, value in raised.items()}


def weighted(weights: Mapping[int, float], values: np.ndarray) -> np.ndarray:
    """Sum of rows of `values` by weight; zeros where there are none."""
    total = np.zeros(values.shape[1:])
    for j, weight in weights.items():
        total = total + weight * values[j]
    return total


def mean(values: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Mean of some rows; zeros where there are none."""
    return weighted({j: 1 / len(chosen) for j in chosen}, values)
