"""The demo shop: repeatable, and its modalities carry what its description says."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mmsr.cli.data.demo import demo as demo_command
from mmsr.data import DemoShop, ImportSettings, prepare, write_tables
from mmsr.data.demo import generate
from mmsr.data.demo_words import TOPICS
from mmsr.errors import UserError


def following(shop_histories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every item and the one bought after it."""
    before, after = shop_histories[:, :-1].ravel(), shop_histories[:, 1:].ravel()
    return before[after >= 0], after[after >= 0]


def shares(truth: DemoShop) -> tuple[float, float, float]:
    """How often the look fits, the topic fits, and the follow-up comes."""
    shop = generate(truth)
    before, after = following(shop.histories)
    look = (shop.looks[after] == (shop.looks[before] + 1) % truth.looks).mean()
    topic = (shop.topics[after] == (shop.topics[before] + 1) % len(TOPICS)).mean()
    return float(look), float(topic), float((after == shop.follow_ups[before]).mean())


def test_every_part_carries_signal_and_none_at_weight_zero() -> None:
    look, topic, order = shares(DemoShop())
    assert min(look, topic) > 0.4
    assert 0.1 < order < 0.3
    look, topic, order = shares(DemoShop(image=0, text=0, order=0))
    assert max(look, topic) < 0.15
    assert order < 0.01


def test_same_seed_same_shop_another_seed_another() -> None:
    small = DemoShop(users=60, items=150)
    first, again = generate(small), generate(small)
    np.testing.assert_array_equal(first.histories, again.histories)
    other = generate(DemoShop(users=60, items=150, seed=8))
    assert not np.array_equal(first.histories, other.histories)


def test_nobody_buys_twice_and_histories_have_five_items_or_more() -> None:
    for history in generate(DemoShop(users=80, items=200)).histories:
        bought = history[history >= 0]
        assert len(set(bought)) == len(bought) >= 5
        assert (history[len(bought) :] == -1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"users": 3}, "users is 3"),
        ({"items": 60}, "bestsellers is 100 of 60"),
        ({"order": 1.5}, "order is 1.5"),
        ({"image": -1}, "image is -1 .* they are strengths"),
        ({"text": float("nan")}, "text is nan: they are strengths"),
        ({"mean_history": 500}, "mean_history is 500"),
    ],
)
def test_impossible_shops_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DemoShop(**settings)


def test_the_command_makes_the_shop_that_is_described() -> None:
    offered = inspect.signature(demo_command).parameters
    for field in fields(DemoShop):
        if field.name in offered:
            assert offered[field.name].default == field.default, field.name


def test_generating_twice_is_up_to_date(home: Path, tmp_path: Path) -> None:
    small, settings = DemoShop(users=60, items=150, noise=True), ImportSettings(core=2)
    first = prepare("demo", write_tables(small, tmp_path / "a"), settings)
    again = prepare("demo", write_tables(small, tmp_path / "b"), settings)
    assert first.fresh
    assert not again.fresh
    assert first.dataset.modalities == ("image", "noise", "text")
