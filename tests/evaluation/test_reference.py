"""What the reference models reach on a data set, against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.evaluation import reference
from mmsr.evaluation.metrics import ranking_metrics
from mmsr.evaluation.reference import estimated_seconds, measure, too_large
from mmsr.models.reference.ease import Ease
from mmsr.models.reference.item_knn import ItemKnn
from mmsr.models.reference.popularity import Popularity
from mmsr.models.reference.settings import LINES

FITS = {"popularity": Popularity.fit, "item-kNN": ItemKnn.fit, "EASE": Ease.fit}


@pytest.mark.parametrize("seen", ["kept", "masked"])
@pytest.mark.parametrize("label", LINES)
def test_whole_histories_are_ranked_by_what_training_holds(shop, label, seen):
    train, valid = shop.train(), shop.valid()
    model = FITS[label](train, shop.n_items)
    ranks = []
    for start, at in zip(valid.starts, valid.targets, strict=True):
        history = valid.items[start:at].astype(np.int64)
        target = int(valid.items[at])
        scores = model.scores(torch.from_numpy(history)[None])[0].numpy()
        rivals = (
            set(range(shop.n_items))
            - {target}
            - (set(history.tolist()) if seen == "masked" else set())
        )
        ranks.append(1 + sum(bool(scores[rival] >= scores[target]) for rival in rivals))
    found = measure(label, train, valid, shop.n_items, seen=seen)
    assert found == pytest.approx(ranking_metrics(np.array(ranks)), abs=1e-12)
    assert found["mrr@20"] > 0


def test_masking_makes_a_difference(shop):
    masked, unmasked = (
        measure("EASE", shop.train(), shop.valid(), shop.n_items, seen=seen)
        for seen in ("masked", "kept")
    )
    assert masked["mrr@20"] > unmasked["mrr@20"]


def test_ease_is_too_large_where_three_matrices_take_four_gigabytes():
    assert too_large("EASE", 18_257) is None
    assert too_large("EASE", 18_258) == "18,258 items take 4.0 GB, more than 4 GB"
    assert too_large("EASE", 50_000) == "50,000 items take 30.0 GB, more than 4 GB"
    assert too_large("popularity", 10**7) is too_large("item-kNN", 10**7) is None


def test_estimates_grow_with_the_work(shop, monkeypatch):
    monkeypatch.setattr(reference.os, "cpu_count", lambda: 2)
    train, valid = shop.train(), shop.valid()
    popularity, knn, ease = (estimated_seconds(label, train, valid, 12_000) for label in LINES)
    assert popularity == pytest.approx(3e-9 * len(valid) * 12_000)
    lengths = [train.targets[train.starts == start].max() + 1 - start for start in {*train.starts}]
    pairs = sum(int(length) * (int(length) - 1) for length in lengths)
    assert knn - popularity == pytest.approx(2e-8 * pairs)
    assert ease - knn == pytest.approx(12_000**3 / 1e11)
