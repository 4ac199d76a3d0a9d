"""Metrics against independent implementations, ties included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from mmsr.config import TOP_K
from mmsr.errors import UserError
from mmsr.evaluation import exclude_seen, ranking_metrics, ranks_of

SEEDS = range(8)


def random_case(seed, levels=None, users=23, items=57):
    """Scores [users, items] and targets; `levels` integer levels make ties frequent."""
    rng = np.random.default_rng(seed)
    if levels is None:
        scores = rng.normal(size=(users, items))
    else:
        scores = rng.integers(levels, size=(users, items)).astype(float)
    return torch.tensor(scores), torch.tensor(rng.integers(items, size=users))


def slow_rank(scores, target):
    """Put the target behind all its ties in a plain sorted list and look where it stands."""
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item == target))
    return order.index(target) + 1


def against_the_model(scores, targets):
    """Move integer-valued target scores half a step down, so that no tie is left with them."""
    scores = scores.clone()
    scores[torch.arange(len(targets)), targets] -= 0.5
    return scores


def relevance(scores, targets):
    return torch.zeros(scores.shape, dtype=torch.bool).scatter_(1, targets[:, None], True)


def assert_agrees_with_torchmetrics(scores, targets, metrics):
    relevant = relevance(scores, targets)
    for name, oracle in [
        ("hr", retrieval_hit_rate),
        ("mrr", retrieval_reciprocal_rank),
        ("ndcg", retrieval_normalized_dcg),
    ]:
        for k in TOP_K:
            rows = zip(scores, relevant, strict=True)
            mean = np.mean([oracle(row, hit, top_k=k).item() for row, hit in rows])
            assert metrics[f"{name}@{k}"] == pytest.approx(mean, abs=1e-6), f"{name}@{k}"


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_torchmetrics_without_ties(seed):
    scores, targets = random_case(seed)
    assert_agrees_with_torchmetrics(scores, targets, ranking_metrics(ranks_of(scores, targets)))


@pytest.mark.parametrize("levels", [2, 5, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_torchmetrics_on_ties_broken_against_the_model(seed, levels):
    scores, targets = random_case(seed, levels)
    metrics = ranking_metrics(ranks_of(scores, targets))
    assert_agrees_with_torchmetrics(against_the_model(scores, targets), targets, metrics)


@pytest.mark.parametrize("levels", [None, 5, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_ndcg_agrees_with_scikit_learn(seed, levels):
    scores, targets = random_case(seed, levels)
    metrics = ranking_metrics(ranks_of(scores, targets))
    # scikit-learn averages over ties; with the target behind its ties none matters.
    untied = against_the_model(scores, targets) if levels else scores
    for k in TOP_K:
        oracle = ndcg_score(relevance(scores, targets).numpy(), untied.numpy(), k=k)
        assert metrics[f"ndcg@{k}"] == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 1, 2, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_agree_with_a_sorted_list(seed, levels):
    scores, targets = random_case(seed, levels)
    expected = [slow_rank(row.tolist(), t) for row, t in zip(scores, targets.tolist(), strict=True)]
    ranks = ranks_of(scores, targets)
    assert ranks.dtype == np.int64
    assert ranks.tolist() == expected


def test_metrics_by_hand():
    metrics = ranking_metrics(np.array([1, 3, 5, 6]))
    assert metrics["hr@5"] == pytest.approx(3 / 4)
    assert metrics["mrr@5"] == pytest.approx((1 + 1 / 3 + 1 / 5) / 4)
    assert metrics["ndcg@5"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(6)) / 4)
    assert metrics["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 5 + 1 / 6) / 4)


def test_a_model_that_scores_all_items_alike_comes_last():
    assert ranks_of(torch.zeros(3, 40), torch.tensor([0, 20, 39])).tolist() == [40, 40, 40]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), chunk=st.integers(1, 30))
def test_chunks_and_item_order_change_nothing(seed, chunk):
    scores, targets = random_case(seed, levels=4)
    whole = ranks_of(scores, targets)
    parts = zip(scores.split(chunk), targets.split(chunk), strict=True)
    np.testing.assert_array_equal(np.concatenate([ranks_of(s, t) for s, t in parts]), whole)
    order = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(seed % 1000))
    np.testing.assert_array_equal(ranks_of(scores[:, order], order.argsort()[targets]), whole)


@given(ranks=st.lists(st.integers(1, 100), min_size=1, max_size=50))
def test_metrics_are_ordered_and_in_range(ranks):
    metrics = ranking_metrics(np.array(ranks))
    for k in TOP_K:
        hr, mrr, ndcg = (metrics[f"{name}@{k}"] for name in ("hr", "mrr", "ndcg"))
        assert 0 <= mrr <= ndcg + 1e-12 <= hr + 2e-12 <= 1 + 3e-12
    assert metrics["hr@5"] <= metrics["hr@10"] <= metrics["hr@20"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_ties_count_against_the_model(dtype):
    scores = torch.tensor([[1.0, 1.0 + 1e-4, 0.5]], dtype=dtype)
    assert ranks_of(scores, torch.tensor([1])).tolist() == [1 if dtype == torch.float32 else 2]


def test_nan_of_a_target_is_an_error():
    scores = torch.tensor([[0.1, float("nan"), 0.3]])
    with pytest.raises(FloatingPointError, match="NaN"):
        ranks_of(scores, torch.tensor([1]))


def test_nan_of_another_item_worsens_the_rank():
    scores = torch.tensor([[0.1, float("nan"), 0.3]])
    assert ranks_of(scores, torch.tensor([2])).tolist() == [2]


def test_no_targets_is_a_user_error():
    with pytest.raises(UserError, match="leave-one-out"):
        ranking_metrics(np.array([], dtype=np.int64))


def test_impossible_ranks_and_cutoffs_are_refused():
    with pytest.raises(ValueError, match="start at 1"):
        ranking_metrics(np.array([0]))
    with pytest.raises(ValueError, match="start at 1"):
        ranking_metrics(np.array([3]), top_k=(0,))


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_seen_items_leave_the_ranking_and_the_target_never_does(seed, levels):
    scores, targets = random_case(seed, levels, users=12, items=30)
    rng = np.random.default_rng(seed)
    histories = torch.tensor(rng.integers(-1, 30, size=(12, 9)))
    histories[::3, 0] = targets[::3]  # repeats
    rows, places = torch.nonzero(histories >= 0, as_tuple=True)
    masked = exclude_seen(scores.clone(), rows, histories[rows, places], targets)
    ranks = ranks_of(masked, targets)
    for row, target, history, rank in zip(
        scores.tolist(), targets.tolist(), histories.tolist(), ranks, strict=True
    ):
        ranked = [item for item in range(30) if item == target or item not in history]
        assert rank == slow_rank([row[item] for item in ranked], ranked.index(target))
