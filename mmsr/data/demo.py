"""A synthetic shop whose truth is known: purchases follow images, texts and the order of items."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.data.demo_words import ADJECTIVES, TOPICS
from mmsr.data.folders import cannot
from mmsr.data.importers.sources import Sources
from mmsr.errors import UserError

_DAY = 86_400
_OPENED = 1_700_000_000
"""Unix time of the shop's first day."""
_WIDTH = 64
_SPREAD = 0.7
"""Standard deviation of items' vectors around their cluster's centre; that of the centres is 1."""


@dataclass(frozen=True)
class DemoShop:
    """The truth behind a synthetic shop.

    Every item has a look (a cluster in image space) and a topic (the words of its title and
    description), independent of each other, and one follow-up item. Every look goes with one
    other look, every topic with one other topic. The next item of a history is, with probability
    `order`, the follow-up of the last one; otherwise it is drawn from all items not bought yet,
    by popularity times exp(`image` if its look goes with the last look + `text` if its topic goes
    with the last topic). So each modality, and the order, carries a part of the signal that the
    others do not have, and with a weight of 0 it carries none. Look and topic together narrow the
    choice to a few items; one of them alone leaves a hundred or more. Most items are too rare for a
    model to learn from purchases alone what goes with them; it needs their looks and topics.

    Attributes
    ----------
    users, items : size before the import's k-core filter.
    mean_history : mean interactions per user; no user has fewer than 5.
    image, text : how strongly a look or topic that goes with the last one attracts, as log odds.
    order : probability that the next item is the follow-up of the last.
    looks : number of clusters in image space.
    bestsellers, bestseller_share : this many items share this part of the popularity; all others
        share the rest.
    without_image, without_text : share of items that lack the modality.
    noise : also make a modality `noise`, whose clusters have nothing to do with what users buy.
    seed : the same seed and numbers give the same shop.
    """

    users: int = 1200
    items: int = 1600
    mean_history: float = 9.0
    image: float = 6.0
    text: float = 6.0
    order: float = 0.1
    looks: int = 16
    bestsellers: int = 100
    bestseller_share: float = 0.1
    without_image: float = 0.05
    without_text: float = 0.02
    noise: bool = False
    seed: int = 7

    def __post_init__(self) -> None:
        for name, least in (("users", 50), ("items", 50), ("mean_history", 5), ("looks", 2)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: the demo needs {least} or more")
        if self.mean_history > self.items / 4:
            raise UserError(
                f"mean_history is {self.mean_history} with {self.items} items: nobody buys an item "
                "twice in the demo, so use at least four times as many items"
            )
        for name in ("order", "without_image", "without_text"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}: it is a share, from 0 to 1")
        if not 0 < self.bestseller_share < 1 or not 0 < self.bestsellers < self.items:
            raise UserError(
                f"bestsellers is {self.bestsellers} of {self.items} items with a share of "
                f"{self.bestseller_share}: use more items than bestsellers and a share in (0, 1)"
            )
        if not (0 <= self.image < np.inf and 0 <= self.text < np.inf):
            raise UserError(
                f"image is {self.image} and text is {self.text}: they are strengths, use finite "
                "numbers of at least 0"
            )


@dataclass(frozen=True)
class Shop:
    """A generated shop: histories and what they came from.

    Attributes
    ----------
    histories : int64 [n_users, longest], item indices in the order of time, -1 behind the end.
    looks, topics : int64 [n_items], cluster of each item.
    follow_ups : int64 [n_items], the item that tends to come next.
    """

    histories: NDArray[np.int64]
    looks: NDArray[np.int64]
    topics: NDArray[np.int64]
    follow_ups: NDArray[np.int64]


def generate(truth: DemoShop) -> Shop:
    """Draw items, users and histories.

    Parameters
    ----------
    truth : sizes, strengths and seed; the same truth gives the same shop.
    """
    random = np.random.default_rng(truth.seed)
    cells = np.arange(truth.items) % (truth.looks * len(TOPICS))
    looks, topics = cells % truth.looks, cells // truth.looks
    cycle = random.permutation(truth.items)
    follow_ups = np.empty_like(cycle)
    follow_ups[cycle] = np.roll(cycle, -1)
    popularity = np.log(_popularity(truth))
    lengths = 5 + random.geometric(1 / (truth.mean_history - 4), truth.users) - 1
    lengths = np.minimum(lengths, truth.items // 4)
    histories = np.full((truth.users, lengths.max()), -1)
    seen = np.zeros((truth.users, truth.items), dtype=bool)
    users = np.arange(truth.users)
    look = random.integers(0, truth.looks, truth.users)
    topic = random.integers(0, len(TOPICS), truth.users)
    for position in range(histories.shape[1]):
        utility = popularity + random.gumbel(size=seen.shape)
        utility += truth.image * (look[:, None] == looks) + truth.text * (topic[:, None] == topics)
        utility[seen] = -np.inf
        chosen = utility.argmax(axis=1)
        if position:
            following = follow_ups[histories[:, position - 1]]
            ordered = ~seen[users, following] & (random.random(truth.users) < truth.order)
            chosen = np.where(ordered, following, chosen)
        histories[:, position] = chosen
        seen[users, chosen] = True
        look = (looks[chosen] + 1) % truth.looks
        topic = (topics[chosen] + 1) % len(TOPICS)
    histories[np.arange(histories.shape[1]) >= lengths[:, None]] = -1
    return Shop(histories, looks, topics, follow_ups)


def write_tables(truth: DemoShop, folder: Path) -> Sources:
    """Generate a shop and write it as the neutral tables that a user would bring.

    Parameters
    ----------
    truth : what to generate.
    folder : where to write `interactions.csv`, `items.jsonl` and `<modality>.jsonl`.

    Raises
    ------
    UserError : the folder cannot be written to.
    """
    shop = generate(truth)
    random = np.random.default_rng([truth.seed, 1])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        interactions = _write_interactions(folder / "interactions.csv", shop, random)
        items = _write_items(folder / "items.jsonl", truth, shop, random)
        has_image = random.random(truth.items) >= truth.without_image
        features = {"image": _write_vectors(folder / "image.jsonl", shop.looks, has_image, random)}
        if truth.noise:
            clusters, all_items = random.permutation(shop.looks), np.ones(truth.items, dtype=bool)
            features["noise"] = _write_vectors(folder / "noise.jsonl", clusters, all_items, random)
    except OSError as error:
        raise cannot("write to", folder, error) from None
    return Sources(interactions, items, features, generator=f"mmsr data demo ({truth})")


def _popularity(truth: DemoShop) -> NDArray[np.float64]:
    """Popularity of each item: the first `bestsellers` share their part, the others the rest."""
    tail = truth.items - truth.bestsellers
    return np.repeat(
        [truth.bestseller_share / truth.bestsellers, (1 - truth.bestseller_share) / tail],
        [truth.bestsellers, tail],
    )


def _write_interactions(path: Path, shop: Shop, random: np.random.Generator) -> Path:
    """Users first come on random days; each interaction is hours or days after the last."""
    users, positions = np.nonzero(shop.histories >= 0)
    gaps = random.integers(3_600, 10 * _DAY, shop.histories.shape)
    first = _OPENED + random.integers(0, 300 * _DAY, len(shop.histories))
    times = (first[:, None] + gaps.cumsum(axis=1))[users, positions]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user_id", "item_id", "timestamp"])
        for row in times.argsort(kind="stable"):
            item = shop.histories[users[row], positions[row]]
            rows.writerow([f"user-{users[row]:05d}", _item_id(item), times[row]])
    return path


def _write_items(path: Path, truth: DemoShop, shop: Shop, random: np.random.Generator) -> Path:
    topics = list(TOPICS)
    with path.open("w", encoding="utf-8") as file:
        for item, topic in enumerate(shop.topics):
            row = {"item_id": _item_id(item)}
            if random.random() >= truth.without_text:
                things = random.choice(TOPICS[topics[topic]], 7, replace=False)
                adjectives = random.choice(ADJECTIVES, 4, replace=False)
                row["title"] = f"{adjectives[0]} {things[0]}".capitalize()
                row["description"] = (
                    f"A {adjectives[1]} and {adjectives[2]} {things[0]}. Goes well with a "
                    f"{adjectives[3]} {things[1]}, {things[2]} or {things[3]}. Also for your "
                    f"{things[4]}, {things[5]} and {things[6]}."
                )
            file.write(json.dumps(row) + "\n")
    return path


def _write_vectors(
    path: Path, clusters: NDArray[np.int64], present: NDArray[np.bool_], random: np.random.Generator
) -> Path:
    """Vectors around one random centre per cluster."""
    centres = random.normal(size=(clusters.max() + 1, _WIDTH))
    vectors = centres[clusters] + random.normal(0, _SPREAD, (len(clusters), _WIDTH))
    with path.open("w", encoding="utf-8") as file:
        for item in np.flatnonzero(present):
            row = {"item_id": _item_id(item), "vector": vectors[item].round(4).tolist()}
            file.write(json.dumps(row) + "\n")
    return path


def _item_id(item: np.integer[Any] | int) -> str:
    return f"item-{item:04d}"
