"""Dropout that draws 16 bits per element: what it shares with torch's."""

from __future__ import annotations

import math

import pytest
import torch

from mmsr.models.dropout import dropout

N = 200_000
every_probability = pytest.mark.parametrize("probability", [0.001, 0.2, 0.4, 0.5, 0.9])


def kept_share(probability: float, seed: int) -> float:
    torch.manual_seed(seed)
    return dropout(torch.ones(N), probability, training=True).ne(0).double().mean().item()


@every_probability
def test_keeps_its_share(probability):
    """Within five standard deviations of the binomial distribution."""
    bound = 5 * math.sqrt(probability * (1 - probability) / N) + 2**-16
    assert abs(kept_share(probability, seed=0) - (1 - probability)) < bound


@every_probability
def test_every_place_of_a_draw_is_dropped_alike(probability):
    """Four elements share a random number: each must have its own chance, and no other's."""
    torch.manual_seed(1)
    dropped = dropout(torch.ones(N // 4, 4), probability, training=True).eq(0).double()
    deviation = math.sqrt(probability * (1 - probability) / len(dropped))
    assert (dropped.mean(dim=0) - probability).abs().max() < 5 * deviation + 2**-16
    centred = dropped - probability
    covariance = centred.T @ centred / len(dropped)
    covariance.fill_diagonal_(0)
    assert covariance.abs().max() < 5 * probability * (1 - probability) / math.sqrt(len(dropped))


@every_probability
def test_kept_elements_are_scaled_so_that_the_mean_stays(probability):
    torch.manual_seed(0)
    x = torch.full((N,), 3.0)
    once = dropout(x, probability, training=True)
    values = once[once != 0].unique()
    torch.testing.assert_close(values, torch.tensor([3 / (1 - probability)]), rtol=2e-4, atol=0)
    spread = 3 * math.sqrt(probability / (1 - probability) / N)
    assert abs(once.mean().item() - 3) < 5 * spread


def test_the_same_seed_gives_the_same_mask():
    assert kept_share(0.4, seed=3) == kept_share(0.4, seed=3)
    torch.manual_seed(3)
    first, second = (dropout(torch.ones(999), 0.4, training=True) for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(999), 0.4, training=True), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("probability", "training"), [(0.4, False), (0.0, True), (0.0, False)])
def test_is_the_identity_when_nothing_is_to_be_dropped(probability, training):
    x = torch.randn(5, 3)
    assert torch.equal(dropout(x, probability, training), x)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 3, 5), (0, 4), (2, 2)])
def test_any_number_of_elements(shape):
    torch.manual_seed(0)
    x = torch.full(shape, 2.0)
    result = dropout(x, 0.5, training=True)
    assert result.shape == x.shape
    assert set(result.flatten().tolist()) <= {0.0, 4.0}


def test_gradient_is_the_scaled_mask():
    torch.manual_seed(0)
    x = torch.randn(6, 7).mT.requires_grad_()  # not contiguous
    result = dropout(x, 0.5, training=True)
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert 0 < gradient.count_nonzero() < x.numel()
    torch.testing.assert_close(result, x * gradient)


def test_bfloat16_stays_bfloat16():
    assert dropout(torch.ones(9, dtype=torch.bfloat16), 0.4, training=True).dtype == torch.bfloat16


def test_a_probability_next_to_one_leaves_finite_values():
    torch.manual_seed(0)
    assert dropout(torch.ones(N), 1 - 1e-7, training=True).isfinite().all()
