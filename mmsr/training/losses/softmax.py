"""Full softmax cross-entropy over all items, with one matrix of scores in memory, never two.

Legend: B prefixes of a batch, R of them in a block, I items, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmsr.models.products import product_dtype

_CACHED = 2**17
"""Scores that a CPU turns into weights at a time; this many stay in a core's cache."""
_BLOCK_ROWS, _BLOCK = 128, 2**20
"""Prefixes, and scores, that a CPU works on at a time in float32, so that scores are still in its
cache when they are used: at least this many of both."""
_AT_ONCE = 2**24
"""Scores that other devices turn into weights at a time: enough to keep them busy, in float32
copies of at most 64 MB."""


def softmax_cross_entropy(
    users_BD: Tensor, items_ID: Tensor, targets_B: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of the softmax over ⟨user, item⟩ (eq. 7) for all items.

    Equal to `torch.nn.functional.cross_entropy(users_BD @ items_ID.T, targets_B)`. The gradients
    are computed together with the loss, while the scores are in memory: the softmax weights
    overwrite the scores, so no second matrix of that size exists. In float32, a CPU does all this
    for one block of prefixes after the other, whose scores stay in its cache. The three matrix
    products use the number type of large products (`mmsr.models.products`); sums, exponentials and
    the targets' part are float32.

    Parameters
    ----------
    users_BD, items_ID : float32.
    targets_B : int64, item index of each target.
    label_smoothing : share of the target distribution that is spread evenly over all items.

    Returns
    -------
    The loss, a scalar. It can be differentiated once, with respect to users and items.
    """
    loss: Tensor = _SoftmaxCrossEntropy.apply(  # type: ignore[no-untyped-call]  # torch's apply
        users_BD, items_ID, targets_B, label_smoothing, product_dtype()
    )
    return loss


class _SoftmaxCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        targets: Tensor,
        smoothing: float,
        dtype: torch.dtype,
    ) -> Tensor:
        return _forward(ctx, users, items, targets, smoothing, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        d_users, d_items = ctx.saved_tensors
        if scale.device.type != "cpu" or scale.item() != 1:
            d_users, d_items = d_users * scale, d_items * scale
        return d_users, d_items, None, None, None


def _forward(
    ctx: Any, users: Tensor, items: Tensor, targets: Tensor, smoothing: float, dtype: torch.dtype
) -> Tensor:
    B, I = len(users), len(items)  # noqa: E741
    users_cast, items_cast = users.to(dtype), items.to(dtype)
    own_BD = items[targets]
    # d loss / d score = softmax - (1 - smoothing) · one-hot - smoothing / I, all divided by B. The
    # softmax's sums are divided out where there are fewer numbers.
    d_users, log_sums = torch.empty_like(users), []
    rows = _block_rows(users_cast, I)
    memory_RI = users_cast.new_empty(rows, I)
    for block in (slice(start, start + rows) for start in range(0, B, rows)):
        users_RD = users_cast[block]
        scores_RI = torch.mm(users_RD, items_cast.T, out=memory_RI[: len(users_RD)])
        log_sum_R, sum_R = _exponentiate_(scores_RI)
        log_sums.append(log_sum_R)
        share_R1 = (1 / (B * sum_R))[:, None]
        d_users[block] = (scores_RI @ items_cast).float() * share_R1
        shared_RD = (users[block] * share_R1).to(dtype)
        if block.start == 0:
            d_items = (scores_RI.T @ shared_RD).float()
        else:
            torch.addmm(d_items, scores_RI.T, shared_RD, out=d_items)
    loss = torch.cat(log_sums) - (1 - smoothing) * (users * own_BD).sum(dim=1)
    d_users -= own_BD * ((1 - smoothing) / B)
    d_items.index_add_(0, targets, users, alpha=-(1 - smoothing) / B)
    if smoothing > 0:
        mean_item = items.mean(dim=0)
        loss = loss - smoothing * (users @ mean_item)
        d_users -= mean_item * (smoothing / B)
        d_items -= users.sum(dim=0) * (smoothing / (B * I))
    ctx.save_for_backward(d_users, d_items)
    return loss.mean()


def _block_rows(users_BD: Tensor, n_items: int) -> int:
    """How many prefixes' scores are in memory at a time.

    All of them on other devices than a CPU, and in bfloat16: its products gain more by being large.
    """
    B = len(users_BD)
    if users_BD.device.type != "cpu" or users_BD.dtype != torch.float32:
        return B
    return min(max(_BLOCK_ROWS, _BLOCK // n_items), B)


def _exponentiate_(scores_BI: Tensor) -> tuple[Tensor, Tensor]:
    """Replace scores in place by exp(score - largest of the row).

    Returns
    -------
    float32 `[B]` each: the logarithm of the sum of exp(score), and the sum of the new values.
    """
    most = _CACHED if scores_BI.device.type == "cpu" else _AT_ONCE
    rows = max(most // scores_BI.shape[1], 1)
    log_sums, sums = [], []
    for part in torch.split(scores_BI, rows):
        wide = part.float()  # `part` itself, where that is float32 already
        largest = wide.amax(dim=1, keepdim=True)
        wide.sub_(largest).exp_()
        total = wide.sum(dim=1)
        if wide.dtype != part.dtype:
            part.copy_(wide)
        log_sums.append(total.log() + largest[:, 0])
        sums.append(total)
    return torch.cat(log_sums), torch.cat(sums)
