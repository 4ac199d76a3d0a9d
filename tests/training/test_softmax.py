"""The loss over one score matrix against torch's own, which holds several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmsr.models.products import products_in
from mmsr.training.losses.softmax import _exponentiate_, softmax_cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
ONE_CHUNK = (7, 50, 5)
SEVERAL_CHUNKS = (64, 8192, 6)
UNEVEN_CHUNKS = (33, 30_011, 3)
MORE_ITEMS_THAN_A_CHUNK = (3, 150_000, 2)
SEVERAL_BLOCKS = (300, 9000, 6)
SIZES = (
    ONE_CHUNK,
    SEVERAL_CHUNKS,
    UNEVEN_CHUNKS,
    MORE_ITEMS_THAN_A_CHUNK,
    SEVERAL_BLOCKS,
    (1, 1, 4),
)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1])


def torchs_loss(users: Tensor, items: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(users @ items.T, targets, label_smoothing=smoothing)


def torchs_loss_in_float64(
    users: Tensor, items: Tensor, targets: Tensor, smoothing: float
) -> Tensor:
    return torchs_loss(users.double(), items.double(), targets, smoothing)


def example(size: tuple[int, int, int], scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Users, items and targets; every second target is the same item."""
    B, I, D = size  # noqa: E741
    generator = torch.Generator().manual_seed(B * I)
    users = (scale * torch.randn(B, D, generator=generator)).requires_grad_()
    items = torch.randn(I, D, generator=generator).requires_grad_()
    targets = torch.randint(0, I, (B,), generator=generator)
    targets[::2] = targets[0].clone()
    return users, items, targets


def value_and_gradients(
    loss: Loss, size: tuple[int, int, int], smoothing: float, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    users, items, targets = example(size, scale)
    value = loss(users, items, targets, smoothing)
    return (value.detach(), *torch.autograd.grad(value, (users, items)))


def assert_equals_torchs(size: tuple[int, int, int], smoothing: float, scale: float = 1.0) -> None:
    """Float32 against float64: torch's own float32 is off by 1e-3 over 150,000 items.

    A user's gradient is a sum over all items that cancel each other, an item's one over few users.
    """
    actual = value_and_gradients(softmax_cross_entropy, size, smoothing, scale)
    expected = value_and_gradients(torchs_loss_in_float64, size, smoothing, scale)
    for ours, theirs, tolerance in zip(actual, expected, (1e-6, 1e-5, 1e-7), strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=tolerance)


@every_smoothing
@every_size
def test_equals_torchs_cross_entropy(size, smoothing):
    assert_equals_torchs(size, smoothing)


@every_smoothing
def test_equals_torchs_float32_on_a_small_catalogue(smoothing):
    actual = value_and_gradients(softmax_cross_entropy, ONE_CHUNK, smoothing)
    expected = value_and_gradients(torchs_loss, ONE_CHUNK, smoothing)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@every_smoothing
def test_large_scores_do_not_overflow(smoothing):
    users, items, _ = example(ONE_CHUNK, scale=1e3)
    assert (users @ items.T).exp().isinf().any()
    assert_equals_torchs(ONE_CHUNK, smoothing, scale=1e3)


@every_smoothing
@pytest.mark.parametrize("size", [ONE_CHUNK, SEVERAL_CHUNKS], ids=str)
def test_bfloat16_is_near_the_float32_result(size, smoothing):
    """bfloat16 keeps 8 bits: scores are off by 2⁻⁹ of their size at most, gradients by a few."""
    expected = value_and_gradients(torchs_loss, size, smoothing)
    with products_in(torch.bfloat16):
        actual = value_and_gradients(softmax_cross_entropy, size, smoothing)
    assert not torch.equal(actual[0], expected[0])
    torch.testing.assert_close(actual[0], expected[0], rtol=5e-3, atol=0)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_gradients_scale_with_what_the_loss_is_multiplied_by():
    once = value_and_gradients(softmax_cross_entropy, ONE_CHUNK, 0.1)
    scaled = value_and_gradients(lambda *a: -2.5 * softmax_cross_entropy(*a), ONE_CHUNK, 0.1)
    for gradient, base in zip(scaled, once, strict=True):
        torch.testing.assert_close(gradient, -2.5 * base)


class Storages(TorchDispatchMode):
    """Keeps every storage of at least `nbytes` that an operation returns."""

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        self.nbytes = nbytes
        self.found: dict[int, torch.UntypedStorage] = {}
        """By address; being kept, none is freed and its address used again."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.untyped_storage().nbytes() >= self.nbytes:
                storage = value.untyped_storage()
                self.found[storage.data_ptr()] = storage
        return result


def score_matrices(
    loss: Loss, bytes_per_score: int, size: tuple[int, int, int] = SEVERAL_CHUNKS
) -> int:
    """Matrices of B × I scores that loss and backward pass allocate, one after the other."""
    B, I, _ = size  # noqa: E741
    users, items, targets = example(size)
    with Storages(B * I * bytes_per_score) as storages:
        torch.autograd.backward(loss(users, items, targets, 0.1))
    assert items.grad is not None
    return len(storages.found)


def test_there_is_one_score_matrix():
    assert score_matrices(torchs_loss, bytes_per_score=4) > 1
    assert score_matrices(softmax_cross_entropy, bytes_per_score=4) == 1


def test_float32_scores_of_several_blocks_are_never_in_memory_together():
    assert score_matrices(torchs_loss, bytes_per_score=4, size=SEVERAL_BLOCKS) > 1
    assert score_matrices(softmax_cross_entropy, bytes_per_score=4, size=SEVERAL_BLOCKS) == 0


def test_there_is_one_score_matrix_in_bfloat16():
    with products_in(torch.bfloat16):
        assert score_matrices(softmax_cross_entropy, bytes_per_score=2) == 1


def test_other_devices_never_hold_a_float32_copy_of_all_bfloat16_scores():
    scores = torch.empty(1024, 2**16, dtype=torch.bfloat16, device="meta")
    with Storages(scores.untyped_storage().nbytes() + 1) as storages:
        log_sums, sums = _exponentiate_(scores)
    assert not storages.found
    assert log_sums.shape == sums.shape == (1024,)
