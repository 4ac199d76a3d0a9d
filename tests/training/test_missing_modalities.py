"""Training where modalities are missing, or dropped, and what the end says of robustness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.evaluation.robustness import AUC_RATES, rank_without, relative_area
from mmsr.graph.codes import modality_codes
from mmsr.training import load_best_model, read_checkpoint_state, train
from mmsr.training.modality_dropout import modality_dropout
from mmsr.training.step import new_model

SMALL = Config(dataset="shop").replace(
    {
        "graph.n_codes": 5,
        "graph.links_per_item": 2,
        "model.width": 16,
        "model.scoring": "item_and_codes",
        "training.epochs": 3,
        "training.batch_size": 32,
        "training.learning_rate": 0.01,
        "training.threads": 1,
    }
)
PER = ["item", "history"]


def dropping(per: str, rate: float = 0.5) -> Config:
    keys = {"training.modality_dropout.rate": rate, "training.modality_dropout.per": per}
    return SMALL.replace(keys)


def losses(config: Config, shop: Dataset, resume: Path | None = None) -> list[float]:
    return [result.metrics["train/loss"] for result in train(config, shop, resume=resume)]


@pytest.mark.parametrize("fusion", ["adaptive", "early", "late"])
@pytest.mark.parametrize("per", PER)
def test_dropout_of_modalities_trains_and_resumes_to_the_bit(
    shop: Dataset, tmp_path: Path, per: str, fusion: str
) -> None:
    config = dropping(per).replace({"model.fusion": fusion})
    whole = losses(config, shop)
    assert whole != losses(SMALL.replace({"model.fusion": fusion}), shop)
    assert whole[-1] < whole[0]
    first = next(train(config, shop))
    first.save_checkpoint(tmp_path / "run")
    torch.rand(3)
    assert [first.metrics["train/loss"], *losses(config, shop, tmp_path / "run")] == whole


def test_at_rate_0_nothing_is_drawn(shop: Dataset) -> None:
    model = new_model(SMALL, shop)
    before = torch.get_rng_state()
    with modality_dropout(model.tables, SMALL.training.modality_dropout):
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_an_item_is_dropped_in_graphs_and_scores_and_comes_back(shop: Dataset) -> None:
    model = new_model(SMALL, shop).eval()
    clean, links = model.item_vectors(), model.tables.links("image").clone()
    with modality_dropout(model.tables, dropping("item").training.modality_dropout):
        dropped = {m: (model.tables.links(m) < 0).all(dim=1) for m in ("image", "text")}
        changed = (model.item_vectors() != clean).any(dim=1)
    assert 0.2 < dropped["image"].float().mean() < 0.8
    had = {m: ~(model.tables.links(m) < 0).all(dim=1) for m in ("image", "text")}
    expected = (dropped["image"] & had["image"]) | (dropped["text"] & had["text"])
    assert torch.equal(changed, expected)
    assert torch.equal(model.tables.links("image"), links)


@pytest.mark.parametrize("fusion", ["adaptive", "early", "late"])
def test_a_history_drops_a_modality_as_a_whole(shop: Dataset, fusion: str) -> None:
    model = new_model(SMALL.replace({"model.fusion": fusion}), shop).eval()
    histories = torch.randint(0, shop.n_items, (40, 6))
    tables = model.tables
    with torch.inference_mode():
        clean = model.user_vectors(histories)
        blind = {}
        for lost in ((), ("image",), ("text",), ("image", "text")):
            with tables.relinked({m: torch.full_like(tables.links(m), -1) for m in lost}):
                blind[lost] = model.user_vectors(histories)
        with modality_dropout(tables, dropping("history").training.modality_dropout):
            found = model.user_vectors(histories)
    kinds = [
        [
            lost
            for lost, vectors in blind.items()
            if torch.allclose(vectors[row], found[row], atol=1e-5)
        ]
        for row in range(len(histories))
    ]
    assert all(kinds), "every history is one that lost nothing, one modality, or both"
    assert {lost for several in kinds for lost in several} == set(blind)
    assert torch.equal(clean, blind[()])


def test_trained_missing_is_trained_on_data_that_lack_it(shop: Dataset) -> None:
    config = SMALL.replace({"graph.missing.rate": 0.5, "graph.missing.modalities": ["image"]})
    full, less = modality_codes(shop, SMALL.graph), modality_codes(shop, config.graph)
    assert np.array_equal(full["text"].links, less["text"].links)
    assert np.array_equal(full["image"].centres, less["image"].centres)
    lost = (less["image"].links < 0).all(axis=1)
    assert lost.sum() == 2 + 19, "two of 40 items have none, and half of the others lose it"
    assert losses(config, shop) == losses(config, shop) != losses(SMALL, shop)


def test_a_missing_modality_that_is_not_there_is_refused(shop: Dataset) -> None:
    with pytest.raises(UserError, match=r"graph.missing.modalities.*'imag'.*image"):
        new_model(SMALL.replace({"graph.missing.modalities": ["imag"]}), shop)
    other = SMALL.replace({"graph.missing.modalities": ["text"], "graph.modalities": ["image"]})
    with pytest.raises(UserError, match="'text'"):
        new_model(other, shop)
    with pytest.raises(UserError, match=r"missing\.rate"):
        SMALL.replace({"graph.missing.rate": 1.5})


def test_robust_auc_is_that_of_the_best_epochs_model(shop: Dataset, tmp_path: Path) -> None:
    keys = {"training.robust_auc": True, "training.patience": 1, "training.epochs": 50}
    config = SMALL.replace(keys)
    for result in train(config, shop):
        assert ("valid/robust_auc" in result.best_metrics) == result.finished
        newest = ranking_metrics(evaluate(result.model, shop.valid(), max_history=50))
        assert newest["mrr@20"] == result.metrics["valid/mrr@20"], "the newest model is still live"
        result.save_checkpoint(tmp_path / "run")
    state = read_checkpoint_state(tmp_path / "run")
    assert state.best_epoch < state.epoch, "or the test shows nothing"
    model = load_best_model(tmp_path / "run", config, shop)
    curve = [
        ranking_metrics(rank_without(model, shop.valid(), config, ("image", "text"), rate, 0))
        for rate in AUC_RATES
    ]
    values = [point["mrr@20"] for point in curve]
    assert state.best_metrics["valid/robust_auc"] == pytest.approx(relative_area(AUC_RATES, values))
    assert values[0] == state.best_metrics["valid/mrr@20"]
    without = {k: v for k, v in state.best_metrics.items() if k != "valid/robust_auc"}
    plain = list(train(config.replace({"training.robust_auc": False}), shop))[-1].best_metrics
    assert {k: v for k, v in plain.items() if "time/" not in k} == {
        k: v for k, v in without.items() if "time/" not in k
    }
