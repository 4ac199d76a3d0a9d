"""Losses that compare each target with a few drawn items, so no scores of the catalogue exist.

Legend: B prefixes of a batch, K negatives, D width, I items. A negative that is the target itself
does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr.models.base import Recommender
from mmsr.models.products import product


@dataclass(frozen=True)
class Scores:
    """Scores of a batch's targets and of the negatives that they are compared with."""

    targets_B: Tensor
    negatives_BK: Tensor
    same_BK: Tensor
    """True where the negative is the target."""


def draw(
    shape: tuple[int, ...], n_items: int, cumulated: Tensor | None, device: torch.device
) -> Tensor:
    """Draw items with replacement, from torch's own generator.

    Parameters
    ----------
    shape : of the result.
    n_items : size of the catalogue.
    cumulated : `[I]` float64, running sum of the items' frequencies; None draws all items alike.
    device : where the result is made.

    Returns
    -------
    int64 of that shape.
    """
    if cumulated is None:
        return torch.randint(n_items, shape, device=device)
    points = torch.rand(shape, device=device, dtype=torch.float64) * cumulated[-1]
    return torch.searchsorted(cumulated, points, right=True).clamp_(max=n_items - 1)


def score(model: Recommender, users_BD: Tensor, targets_B: Tensor, negatives: Tensor) -> Scores:
    """Score targets and negatives.

    Parameters
    ----------
    model : gives the items' vectors.
    users_BD : float32.
    targets_B : int64, item index of each target.
    negatives : int64 item indices: `[K]` for the whole batch, or `[B, K]`.
    """
    targets = (users_BD * model.item_vectors(targets_B)).sum(dim=1)
    if negatives.dim() == 1:
        scores_BK = product(users_BD, model.item_vectors(negatives).T)
    else:
        vectors_BKD = model.item_vectors(negatives.flatten()).view(*negatives.shape, -1)
        scores_BK = (vectors_BKD @ users_BD[:, :, None])[..., 0]
    return Scores(targets, scores_BK, negatives == targets_B[:, None])


def sampled_softmax(scores: Scores) -> Tensor:
    """Mean cross-entropy of the softmax over each target and its negatives.

    Parameters
    ----------
    scores : with logQ subtracted where items are not drawn alike (`corrected`).
    """
    negatives_BK = scores.negatives_BK.masked_fill(scores.same_BK, -torch.inf)
    log_sums_B = torch.cat([scores.targets_B[:, None], negatives_BK], dim=1).logsumexp(dim=1)
    return (log_sums_B - scores.targets_B).mean()


def corrected(
    scores: Scores, targets_B: Tensor, negatives: Tensor, popularity: Tensor | None
) -> Scores:
    """Subtract from each score the logarithm of how often its item is drawn.

    Parameters
    ----------
    scores, targets_B, negatives : as in `score`.
    popularity : `[I]`, how often an item is drawn; None, all alike, changes nothing.
    """
    if popularity is None:
        return scores
    log_q_I = popularity.to(scores.targets_B.device, torch.float32).clamp(min=1e-12).log()
    return Scores(
        scores.targets_B - log_q_I[targets_B],
        scores.negatives_BK - log_q_I[negatives],
        scores.same_BK,
    )


def binary_cross_entropy(scores: Scores, power: float = 1.0) -> Tensor:
    """Mean binary cross-entropy over targets and negatives.

    Parameters
    ----------
    scores : of the batch.
    power : exponent of the target's probability (`gbce_power`).
    """
    positive_B = power * F.softplus(-scores.targets_B)
    negative_BK = F.softplus(scores.negatives_BK).masked_fill(scores.same_BK, 0)
    return ((positive_B + negative_BK.sum(dim=1)) / (1 + scores.same_BK.shape[1])).mean()


def gbce_power(negatives: int, n_items: int, calibration: float) -> float:
    """The exponent β of the probabilities of targets in gBCE (Petrov and Macdonald, 2023).

    Parameters
    ----------
    negatives : number of negatives of each target.
    n_items : size of the catalogue.
    calibration : the paper's t.
    """
    rate = min(negatives / max(n_items - 1, 1), 1.0)
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def bpr(scores: Scores) -> Tensor:
    """Mean of -log σ(target - negative) over all pairs.

    Parameters
    ----------
    scores : of the batch.
    """
    lacking_BK = F.softplus(scores.negatives_BK - scores.targets_B[:, None])
    counted_B = (~scores.same_BK).sum(dim=1).clamp(min=1)
    return (lacking_BK.masked_fill(scores.same_BK, 0).sum(dim=1) / counted_B).mean()
