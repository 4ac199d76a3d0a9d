"""Codes at several levels wherever codes are used: graphs, scores, masks, knock-outs, sizing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.config import AGGREGATOR_NAMES, Config
from mmsr.data import Dataset
from mmsr.evaluation.knockouts import knockouts_of
from mmsr.graph.build import build_batch_graph
from mmsr.graph.codes import modality_codes
from mmsr.models.mmsr.scoring import item_and_codes
from mmsr.study import Choice, Int
from mmsr.study.sizing.worst_case import most_demanding
from mmsr.training.example import example_of, made_up_example
from mmsr.training.step import new_model, new_optimizer, train_step

LEVELS, CODES, LINKS = 3, 4, 2
CONFIG = Config(dataset="shop").replace(
    {
        "graph.clustering": "residual",
        "graph.levels": LEVELS,
        "graph.n_codes": CODES,
        "graph.links_per_item": LINKS,
        "graph.reduced_width": 5,
        "model.width": 8,
        "training.batch_size": 6,
        "training.threads": 1,
    }
)


@pytest.mark.parametrize(
    "settings",
    [
        *({"model.aggregator.name": name} for name in AGGREGATOR_NAMES),
        {"model.fusion": "early"},
        {"model.fusion": "late"},
        {"model.scoring": "item_and_codes"},
        {"graph.missing.rate": 0.5},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_models_learn_from_codes_of_all_levels(shop: Dataset, settings):
    config = CONFIG.replace(settings)
    example = example_of(shop, config, history=6)
    model = example.model.train()
    optimizer = new_optimizer(config, model)
    before = {name: table.detach().clone() for name, table in model.tables.codes.items()}
    assert {len(table) for table in before.values()} == {LEVELS * CODES}
    assert torch.isfinite(train_step(model, optimizer, example.given, example.targets, config))
    for name, table in model.tables.codes.items():
        moved = (table.detach() != before[name]).any(dim=1).view(LEVELS, CODES)
        assert moved.any(dim=1).all(), "codes of every level are read"


def test_a_graph_has_the_codes_of_all_levels_as_nodes(shop: Dataset):
    codes = modality_codes(shop, CONFIG.graph)
    links = [torch.from_numpy(one.links) for one in codes.values()]
    history = [7, 3, 7, 12]
    graph = build_batch_graph(torch.tensor([history]), links)
    for type_, one in enumerate(codes.values(), start=1):
        real = graph.real_BN[0, graph.block(type_)]
        expected = {int(code) for item in history for code in one.links[item]} - {-1}
        assert set(graph.ids[type_][0][real].tolist()) == expected
        assert {code // CODES for code in expected} == set(range(LEVELS))


def test_an_item_is_scored_by_the_mean_of_its_codes_of_all_levels(shop: Dataset):
    tables = new_model(CONFIG, shop).tables
    codes = modality_codes(shop, CONFIG.graph)
    found = item_and_codes(tables).detach()
    for item in range(shop.n_items):
        vector = tables.item[item].detach().clone()
        for name, one in codes.items():
            own = [code for code in one.links[item].tolist() if code >= 0]
            assert len(own) in (0, LEVELS * LINKS)
            if own:
                vector += torch.stack([tables.codes[name][code].detach() for code in own]).mean(0)
        torch.testing.assert_close(found[item], vector)


def test_knocked_out_items_lose_the_codes_of_all_levels_together(shop: Dataset):
    links = {name: one.links for name, one in modality_codes(shop, CONFIG.graph).items()}
    for knockout in knockouts_of(tuple(links)):
        for name, changed in knockout.links(links).items():
            assert changed.shape == links[name].shape
            lost = changed < 0
            assert (lost.all(axis=1) == lost.any(axis=1)).all()
            at = np.where(lost, -1, changed // CODES)
            held = at[~lost.any(axis=1)]
            np.testing.assert_array_equal(held, np.repeat(held[:1], len(held), axis=0))


def test_a_made_up_catalogue_has_as_many_codes_and_links(shop: Dataset):
    real = example_of(shop, CONFIG, history=6).model.tables
    made = made_up_example(CONFIG, shop.n_items, history=6).model.tables
    for name in shop.modalities:
        assert made.codes[name].shape == real.codes[name].shape
        links = made.links(name)
        assert links.shape == real.links(name).shape
        levels = (links // CODES).view(len(links), LEVELS, LINKS)
        assert (levels == torch.arange(LEVELS)[:, None]).all()


def test_the_most_levels_are_the_worst_case(shop: Dataset):
    space = {
        "graph.clustering": Choice("kmeans", "residual", "balanced"),
        "graph.levels": Int(2, 6, when={"graph.clustering": "residual"}),
    }
    base = CONFIG.replace({"graph.clustering": "kmeans"})
    worst = most_demanding(space, base, shop)
    assert (worst.graph.clustering, worst.graph.levels) == ("residual", 6)
