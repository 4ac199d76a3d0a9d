"""The benchmark of recommending compares the same users on both sides."""

from __future__ import annotations

import pandas as pd
import torch

from mmsr.data.openings import openings


def test_both_sides_rank_for_the_same_users(load, shop, tmp_path, monkeypatch):
    benchmark = load("recommend")
    monkeypatch.setattr(benchmark, "run_command", lambda model, users, output: None)
    figures = benchmark.measure(shop, tmp_path, n_users=20, repeats=1, commands=1)
    assert figures["histories"] == 20
    assert figures["ratio"] > 0
    found = pd.read_parquet(tmp_path / "top.parquet")
    assert found.user_id.unique().tolist() == shop.user_ids[:20]
    table = pd.read_csv(tmp_path / "users.csv")
    assert table.user_id.tolist() == shop.user_ids[:20]
    prefixes = benchmark.last_prefixes(shop, 20)
    assert prefixes.users.tolist() == list(range(20))
    lengths = table.history.str.split().map(len)
    assert (prefixes.lengths(99) + 1).tolist() == lengths.tolist(), "the target is left out"
    assert openings(shop) == (), "test stays closed"
    assert torch.get_num_threads() == 1
