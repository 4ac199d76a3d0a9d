"""Ranking where modalities are missing: exact at both ends, repeatable, and never for good."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation import evaluate
from mmsr.evaluation.robustness import (
    links_of,
    rank_by_access,
    rank_linked,
    rank_without,
    relative_area,
    robust_auc,
)
from mmsr.graph.codes import modality_codes
from mmsr.models.mmsr.model import MMSR

FUSIONS = ("adaptive", "early", "late")
SCORINGS = ("item", "item_and_codes")


def config_of(fusion: str, scoring: str = "item_and_codes", **more: object) -> Config:
    settings = {"graph.n_codes": 5, "graph.links_per_item": 2, "model.width": 16}
    settings["model.aggregator.scaled"] = True  # or self-attention drowns codes of random weights
    keys = {"model.fusion": fusion, "model.scoring": scoring, **more}
    return Config(dataset="shop").replace({**settings, **keys})


def made(config: Config, shop: Dataset) -> MMSR:
    """A model whose numbers are not those of its seed alone."""
    torch.manual_seed(3)
    model = MMSR(config, shop.n_items, modality_codes(shop, config.graph))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_rate_0_is_the_clean_ranking_and_nothing_stays_changed(shop, fusion, scoring):
    config = config_of(fusion, scoring)
    model = made(config, shop)
    clean = evaluate(model, shop.valid(), max_history=50)
    before = links_of(model)
    for rank in (rank_without, rank_by_access):
        assert np.array_equal(rank(model, shop.valid(), config, ("image",), 0.0, 1), clean)
        assert (rank(model, shop.valid(), config, ("image",), 0.7, 1) != clean).any()
    assert all(np.array_equal(before[m], link) for m, link in links_of(model).items())
    assert np.array_equal(evaluate(model, shop.valid(), max_history=50), clean)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("absent", ["image", "text"])
def test_rate_1_is_a_model_that_never_knew_of_the_modality(shop, fusion, scoring, absent):
    """The same weights in a model built without it: what is left of each is picked by position."""
    config = config_of(fusion, scoring)
    model = made(config, shop)
    kept = [m for m in ("image", "text") if m != absent]
    smaller = config.replace({"graph.modalities": kept})
    other = MMSR(smaller, shop.n_items, modality_codes(shop, smaller.graph))
    channels = [0, 1 + ("image", "text").index(kept[0])]
    state = {}
    for name, wanted in other.state_dict().items():
        source = name
        if fusion == "late" and name.startswith("fusion.sequences.1."):
            source = name.replace("sequences.1.", f"sequences.{channels[1]}.")
        have = model.state_dict()[source]
        for dim, (now, then) in enumerate(zip(wanted.shape, have.shape, strict=True)):
            if now == then:
                continue
            size = now // 2  # of a channel: a row of types, or a block of columns
            assert (now, then) == (2 * size, 3 * size), name
            index = torch.cat([torch.arange(c * size, (c + 1) * size) for c in channels])
            have = have.index_select(dim, index)
        state[name] = have
    other.load_state_dict(state)
    lost = {m: torch.full_like(model.tables.links(m), -1) for m in (absent,)}
    histories, _ = shop.valid().batch(np.arange(30), 50)
    with torch.inference_mode(), model.eval().tables.relinked(lost):
        found = model.user_vectors(torch.from_numpy(histories)) @ model.item_vectors().T
    with torch.inference_mode():
        other.eval()
        expected = other.user_vectors(torch.from_numpy(histories)) @ other.item_vectors().T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    ranks = rank_without(model, shop.valid(), config, (absent,), 1.0, 0)
    alike = ranks == evaluate(other, shop.valid(), max_history=50)
    assert alike.mean() > 0.98, "but for ties that the last digit breaks"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_rate_1_equals_to_the_bit_a_data_set_in_which_no_item_has_it(shop, fusion):
    config = config_of(fusion)
    model = made(config, shop)
    absent = {**modality_codes(shop, config.replace({"graph.missing.rate": 1.0}).graph)}
    other = MMSR(config, shop.n_items, absent)
    state = {k: v for k, v in model.state_dict().items() if ".links_" not in k}
    other.load_state_dict(state, strict=False)
    masked = rank_without(model, shop.valid(), config, ("image", "text"), 1.0, 0)
    assert np.array_equal(masked, evaluate(other, shop.valid(), max_history=50))


def test_real_gaps_and_masked_ones_are_one(shop):
    """Items 0 and 5 have no image: an image for them, masked away, changes nothing."""
    config = config_of("adaptive")
    model = made(config, shop)
    gaps = (links_of(model)["image"] < 0).all(axis=1)
    assert gaps.sum() == 2
    filled = {"image": np.where(gaps[:, None], 1, links_of(model)["image"])}
    masked = {"image": np.where(gaps[:, None], -1, filled["image"])}
    clean = evaluate(model, shop.valid(), max_history=50)
    assert (rank_linked(model, shop.valid(), config, filled) != clean).any()
    assert np.array_equal(rank_linked(model, shop.valid(), config, masked), clean)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_way_of_the_authors_loses_all_at_rate_1_and_repeats(shop, fusion):
    config = config_of(fusion, "item")
    model, both = made(config, shop), ("image", "text")
    first, again = (rank_by_access(model, shop.valid(), config, both, 0.5, seed) for seed in (1, 1))
    assert np.array_equal(first, again)
    assert (first != rank_by_access(model, shop.valid(), config, both, 0.5, 2)).any()
    all_ = rank_by_access(model, shop.valid(), config, both, 1.0, 1)
    assert np.array_equal(all_, rank_without(model, shop.valid(), config, both, 1.0, 1))


def test_the_area_is_that_of_trapezoids():
    rates, values = (0.0, 0.1, 0.4, 1.0), (0.5, 0.45, 0.2, 0.1)
    assert relative_area(rates, values) == pytest.approx(trapezoid(values, rates) / 0.5)
    assert relative_area((0.0, 0.5), (0.3, 0.3)) == 1.0
    assert relative_area((0.0, 0.5), (0.0, 0.0)) == 0.0
    for bad in ((0.1, 1.0), (0.0, 0.5, 0.5), (0.0,)):
        with pytest.raises(ValueError, match="ascend from 0"):
            relative_area(bad, (1.0,) * len(bad))


def test_a_model_without_modalities_loses_nothing(shop):
    config = config_of("adaptive", **{"graph.modalities": []})
    assert robust_auc(made(config, shop), shop.valid(), config, 0.1) == 1.0
