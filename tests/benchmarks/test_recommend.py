"""The benchmark of recommending compares the same users on both sides."""

from __future__ import annotations

import pandas as pd

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


def test_turns_change_their_order_and_the_first_is_not_counted(load, shop, tmp_path, monkeypatch):
    benchmark, order = load("recommend"), []
    monkeypatch.setattr(benchmark, "run_command", lambda model, users, output: None)

    def timed(call):
        order.append(call.func)
        return 100.0 if len(order) <= 3 else 1.0

    monkeypatch.setattr(benchmark, "seconds_of", timed)
    figures = benchmark.measure(shop, tmp_path, n_users=20, repeats=2, commands=1)
    assert figures["evaluate_seconds"] == figures["users_seconds"] == figures["ratio"] == 1.0
    first, second, third = (order[start : start + 3] for start in (0, 3, 6))
    assert first == third == second[::-1]
    assert second[0] is benchmark.evaluate
