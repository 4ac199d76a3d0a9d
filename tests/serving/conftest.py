"""Recommenders of the small shop, without training: their weights are as drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.serving.catalogue import Catalogue, Users
from mmsr.serving.facts import Facts
from mmsr.serving.recommender import Recommender
from mmsr.training.step import new_model

MakeRecommender = Callable[..., Recommender]


@pytest.fixture
def make_recommender(shop: Dataset) -> MakeRecommender:
    """Makes the recommender of a model of the shop, by name, with other settings."""

    def make(name: str = "mmsr", **settings: Any) -> Recommender:
        own = {"model.name": name, "graph.n_codes": 5, "graph.links_per_item": 2}
        own |= {"model.width": 8} if name == "mmsr" else {}
        config = Config(dataset="shop").replace(own)
        config = config.replace({key.replace("__", "."): value for key, value in settings.items()})
        model = new_model(config, shop)
        _, items = shop.interactions("train")
        counts = np.bincount(items, minlength=shop.n_items)
        size = shop.manifest.counts
        facts = Facts(
            dataset="shop",
            dataset_hash=shop.content_hash,
            protocol=shop.protocol,
            users=size.users,
            items=size.items,
            interactions=size.interactions,
            part="train",
            epoch=1,
            seed=config.seed,
            validation={"valid/mrr@20": 0.125},
        )
        return Recommender(
            model,
            config,
            Catalogue.of(shop, counts),
            origin="a test",
            users=Users.of(shop),
            facts=facts,
            device="cpu",
        )

    return make
