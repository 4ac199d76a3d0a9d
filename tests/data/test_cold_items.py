"""Cold items: who is a target, against sets; and what training and the tables make of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.held_out import open_test
from mmsr.errors import UserError
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.tables import leaderboard
from mmsr.training import train
from mmsr.training.step import new_model

USERS, DAYS = 60, 100


def purchases() -> list[tuple[int, int, int]]:
    """User, item and day; items appear all along, and are bought again when they are known."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        days = np.sort(rng.choice(DAYS, 12, replace=False))
        rows += [(user, int(rng.integers(0, 10 + day // 4)), int(day)) for day in days]
    return rows


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home with the same purchases split in both ways that compare moments."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("cold")
    users, items, days = zip(*purchases(), strict=True)
    rows = {"user_id": [f"u{u}" for u in users], "item_id": [f"i{i:02}" for i in items]}
    pq.write_table(pa.table({**rows, "timestamp": list(days)}), folder / "rows.parquet")
    rng = np.random.default_rng(1)
    ids = sorted(set(rows["item_id"]))
    vectors = pa.table({"item_id": ids, "vector": list(rng.normal(size=(len(ids), 6)))})
    pq.write_table(vectors, folder / "image.parquet")
    sources = Sources(folder / "rows.parquet", features={"image": folder / "image.parquet"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        for protocol in ("temporal", "cold-items"):
            prepare(protocol, sources, ImportSettings(protocol=protocol, core=2))
    return folder / "home"


@pytest.fixture
def datasets(place, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place))
    return Dataset.open("temporal"), Dataset.open("cold-items")


def test_targets_are_items_that_do_not_occur_before_their_part(datasets):
    temporal, cold = datasets
    trained = set(cold.interactions("train")[1].tolist())
    developed = set(cold.interactions("development")[1].tolist())
    every = [temporal.valid(), open_test(temporal, who="test", why="test")]
    new = [cold.valid(), open_test(cold, who="test", why="test")]
    for known, whole, part in zip((trained, developed), every, new, strict=True):
        pairs = zip(whole.targets, whole.target_items(), strict=True)
        expected = [target for target, item in pairs if item not in known]
        assert 0 < len(expected) < len(whole)
        assert part.targets.tolist() == expected
        assert len(part.items) == len(whole.items)  # histories keep all that precedes the target
    counts = cold.manifest.counts
    assert (counts.valid_targets, counts.test_targets) == tuple(map(len, new))
    assert len(cold.train()) == counts.train_targets == len(temporal.train())


def test_nothing_new_is_refused(tmp_path, monkeypatch, write_table):
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "home"))
    days = [*range(0, 40, 4), *range(1, 41, 4)]
    rows = {"user_id": ["a"] * 10 + ["b"] * 10, "item_id": ["x", "y"] * 10, "timestamp": days}
    table = write_table("rows.csv", rows)
    with pytest.raises(UserError, match="'cold-items' leaves no validation target"):
        prepare("d", Sources(table), ImportSettings(protocol="cold-items", core=1))


def config_for(dataset: Dataset, **settings: object) -> Config:
    return Config(dataset=dataset.name).replace(
        {
            "graph.n_codes": 4,
            "model.width": 8,
            "training.epochs": 2,
            "training.batch_size": 32,
            "training.threads": 1,
            **settings,
        }
    )


def test_warm_and_cold_targets_are_ranked_apart(datasets):
    temporal, cold = datasets
    config = config_for(temporal)
    result = next(iter(train(config, temporal)))
    ranks = evaluate(result.model, temporal.valid(), max_history=config.graph.max_history)
    is_new = ~np.isin(temporal.valid().target_items(), temporal.interactions("train")[1])
    for kind, chosen in (("cold", is_new), ("warm", ~is_new)):
        expected = ranking_metrics(ranks[chosen])["mrr@20"]
        assert result.metrics[f"valid/{kind}/mrr@20"] == expected
    assert "valid/cold/mrr@20" not in next(iter(train(config_for(cold), cold))).metrics


def test_the_leaderboard_shows_them_apart():
    def row(metrics):
        return TrialRow(0, "finished", 0.1, 1, 1, 1.0, {}, metrics, None, None, None, {})

    apart = {"valid/mrr@20": 0.1, "valid/warm/mrr@20": 0.125, "valid/cold/mrr@20": 0.03}
    table = leaderboard([row(apart)], "valid/mrr@20", "t", 5)
    shown = {c.header: list(c.cells) for c in table.columns}
    assert shown["warm/mrr@20"] == ["12.50"]
    assert shown["cold/mrr@20"] == ["3.00"]
    plain = leaderboard([row({"valid/mrr@20": 0.1})], "valid/mrr@20", "t", 5)
    assert not any("cold" in str(c.header) for c in plain.columns)


@pytest.mark.parametrize("part", ["train", "development"])
def test_cold_items_are_their_codes(datasets, tmp_path, part):
    _, cold = datasets
    settings = {"model.scoring": "item_and_codes", "model.cold_items": "codes"}
    missing = {"graph.missing.rate": 0.4, "training.averaging": 0.9}
    config = config_for(cold, **settings, **missing)
    tables = new_model(config, cold, part).tables
    unknown = np.setdiff1d(np.arange(cold.n_items), cold.interactions(part)[1])
    linked = (tables.links("image") >= 0).any(dim=1).numpy()
    bare, alone = unknown[linked[unknown]], unknown[~linked[unknown]]
    assert len(bare) or part == "development"
    before = tables.item.detach().clone()
    *_, last = train(config, cold, part=part)
    after = last.model.tables.item.detach()
    assert not after[bare].any()
    assert after[alone].any(dim=1).all()  # nothing else is known of them
    moved = (after != before).any(dim=1)
    moved[torch.from_numpy(bare)] = True
    assert moved.all()
    codes = last.model.tables.mean_of_codes("image", torch.from_numpy(bare))
    assert torch.allclose(last.model.item_vectors()[bare], codes)


def test_cold_items_stay_their_codes_when_a_run_is_resumed(datasets, tmp_path):
    _, cold = datasets
    settings = {"model.scoring": "item_and_codes", "model.cold_items": "codes"}
    config = config_for(cold, **settings)
    *_, whole = train(config, cold)
    next(iter(train(config, cold))).save_checkpoint(tmp_path / "first")
    *_, resumed = train(config, cold, resume=tmp_path / "first")
    assert torch.equal(whole.model.tables.item, resumed.model.tables.item)


def test_codes_alone_need_scores_of_codes():
    with pytest.raises(UserError, match="use scoring='item_and_codes'"):
        Config(dataset="d").replace({"model.cold_items": "codes", "model.scoring": "item"})
