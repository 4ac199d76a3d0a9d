"""`evaluate` against scoring the full user × item matrix at once."""

from __future__ import annotations

from typing import Self

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr.config import Config
from mmsr.data import Prefixes
from mmsr.data.splits import prefixes_between
from mmsr.evaluation import evaluate
from mmsr.models.base import SequentialRecommender
from mmsr.models.inputs import ModelInputs

N_ITEMS = 23


class SumOfHistory(SequentialRecommender):
    """Scores with integer vectors, so that ties are frequent and sums are exact."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.vectors = torch.randint(-2, 3, (N_ITEMS, 4), generator=generator).float()
        self.widest, self.n_items = 0, N_ITEMS

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        self.widest = max(self.widest, len(histories_BL))
        real = (histories_BL >= 0)[:, :, None]
        return (self.vectors[histories_BL.clamp(min=0)] * real).sum(dim=1)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        return self.vectors if items is None else self.vectors[items]

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        raise NotImplementedError  # nobody builds this double from a config


@pytest.fixture
def prefixes() -> Prefixes:
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 20, 60)
    offsets = np.concatenate(([0], lengths.cumsum()))
    items = rng.integers(0, N_ITEMS, offsets[-1]).astype(np.int32)
    return prefixes_between(items, offsets, np.ones(60, dtype=np.int64), lengths)


def slow_ranks(prefixes: Prefixes, max_history: int, seen: str) -> list[int]:
    vectors = SumOfHistory().vectors.numpy()
    ranks = []
    for start, at in zip(prefixes.starts, prefixes.targets, strict=True):
        history = prefixes.items[max(start, at - max_history) : at]
        target = prefixes.items[at]
        scores = vectors @ vectors[history].sum(axis=0)
        masked = {"kept": [], "masked": prefixes.items[start:at], "read_masked": history}[seen]
        rivals = set(range(N_ITEMS)) - {target} - set(masked)
        ranks.append(1 + sum(bool(scores[r] >= scores[target]) for r in rivals))
    return ranks


@pytest.mark.parametrize("seen", ["kept", "masked", "read_masked"])
@pytest.mark.parametrize("max_history", [50, 4])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_ranks_equal_the_full_matrix(
    prefixes: Prefixes, max_history: int, batch_size: int, seen: str
) -> None:
    model = SumOfHistory()
    ranks = evaluate(model, prefixes, max_history=max_history, batch_size=batch_size, seen=seen)
    assert ranks.tolist() == slow_ranks(prefixes, max_history, seen)
    assert model.widest <= batch_size


@pytest.mark.parametrize(("most_scores", "widest"), [(4 * N_ITEMS, 4), (N_ITEMS - 1, 1)])
def test_a_large_catalogue_is_ranked_by_fewer_prefixes_at_a_time(
    prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch, most_scores: int, widest: int
) -> None:
    monkeypatch.setattr("mmsr.evaluation.ranking.CHUNK_SCORES", most_scores)
    model = SumOfHistory()
    ranks = evaluate(model, prefixes, max_history=50)
    assert ranks.tolist() == slow_ranks(prefixes, 50, seen="kept")
    assert model.widest == widest


def test_mode_is_put_back_and_progress_adds_up(prefixes: Prefixes) -> None:
    model, done = SumOfHistory(), []
    for mode in (True, False):
        model.train(mode)
        evaluate(model, prefixes, max_history=50, batch_size=50, progress=done.append)
        assert model.training is mode
    assert sum(done) == 2 * len(prefixes)
