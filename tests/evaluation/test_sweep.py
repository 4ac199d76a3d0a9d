"""Curves with bands, and knock-outs, on ranks that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.evaluation import contributions, ranking_metrics
from mmsr.evaluation.knockouts import Knockout, knock_out, knockouts_of
from mmsr.evaluation.sweep import CLEAN, Mask, Sweep, run_sweep, summarise

SWEEP = Sweep((("image",), ("image", "text")), (0.0, 0.5, 1.0), (0, 1, 2), "mrr@20")
USERS = np.repeat(np.arange(80), np.arange(80) % 3 + 1)


def ranks_of(mask: Mask) -> np.ndarray:
    """Worse the more is missing."""
    rng = np.random.default_rng([len(mask.modalities), mask.seed])
    return 1 + rng.poisson(1 + 20 * mask.rate, len(USERS))


def test_no_point_is_ranked_twice():
    asked = []
    run_sweep(SWEEP, lambda mask: [asked.append(mask) or ranks_of(mask)][0:1], USERS)
    assert len(asked) == len(set(asked)) == 1 + 2 * (3 + 1)
    assert asked[0] == CLEAN


def test_curves_hold_the_means_and_their_bands():
    curves = run_sweep(SWEEP, lambda mask: [ranks_of(mask)], USERS)
    assert curves.clean == ranking_metrics(ranks_of(CLEAN))
    assert (curves.n_users, curves.n_targets) == (80, len(USERS))
    for curve, subset in zip(curves.curves, SWEEP.subsets, strict=True):
        values = [point.value for point in curve.points]
        assert values == sorted(values, reverse=True)
        assert curve.points[0].metrics == curves.clean, "rate 0 is the clean score to the bit"
        by_seed = [ranking_metrics(ranks_of(Mask(subset, 0.5, s)))["mrr@20"] for s in (0, 1, 2)]
        assert curve.points[1].by_seed == tuple(by_seed)
        assert values[1] == pytest.approx(np.mean(by_seed))
        assert all(point.low < point.value < point.high for point in curve.points)
        assert curve.area_low < curve.area < curve.area_high
        assert curve.area == pytest.approx(
            (values[0] / 4 + values[1] / 2 + values[2] / 4) / values[0]
        )
    assert curves == run_sweep(SWEEP, lambda mask: [ranks_of(mask)], USERS), "it repeats"


def test_the_band_is_as_wide_as_the_spread_over_users():
    sweep = Sweep((("image",),), (0.0, 1.0), (0,), "mrr@20")
    users = np.arange(3000)
    rng = np.random.default_rng(1)
    ranks = {mask: [1 + rng.poisson(3, 3000)] for mask in sweep.masks()}
    point = summarise(sweep, ranks, users).curves[0].points[0]
    values = contributions(ranks[CLEAN][0])["mrr@20"]
    expected = 1.96 * values.std() / np.sqrt(len(values))
    assert point.high - point.value == pytest.approx(expected, rel=0.15)
    assert point.value - point.low == pytest.approx(expected, rel=0.15)


def test_a_model_loses_nothing_of_what_it_has_not():
    both = Mask(("image", "text"), 0.5, 3, "access")
    assert both.within(("noise", "text")) == Mask(("text",), 0.5, 3, "access")
    assert both.within(()) == CLEAN


def test_several_models_are_averaged():
    one = run_sweep(SWEEP, lambda mask: [ranks_of(mask)], USERS)
    both = run_sweep(SWEEP, lambda mask: [ranks_of(mask), np.full(len(USERS), 1)], USERS)
    for a, b in zip(one.curves[0].points, both.curves[0].points, strict=True):
        assert b.value == pytest.approx((a.value + 1) / 2)


LINKS = {
    "image": np.array([[0, 1], [1, 2], [-1, -1], [2, 0], [3, 1], [1, 2]]),
    "text": np.array([[0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [-1, -1]]),
}


def test_what_each_knock_out_does_to_links():
    def rows(links):
        return sorted(map(tuple, links))

    for knockout in knockouts_of(tuple(LINKS)):
        found = knockout.links(LINKS)
        own = [knockout.modality] if knockout.modality else list(LINKS)
        for modality, links in LINKS.items():
            has = (links >= 0).any(axis=1)
            still = (found[modality] >= 0).any(axis=1)
            if knockout.kind in ("shuffled", "constant"):
                assert (still == has).all(), "who has some keeps some"
                if modality not in own:
                    assert (found[modality] == links).all()
                elif knockout.kind == "shuffled":
                    assert rows(found[modality]) == rows(links)
                else:
                    assert len({tuple(row) for row in found[modality][has]}) == 1
            else:
                stays = knockout.kind == "alone" and modality in own
                assert (found[modality] == (links if stays else -1)).all()
    labels = [knockout.label for knockout in knockouts_of(tuple(LINKS))]
    assert len(set(labels)) == len(labels)
    assert {"image alone", "text alone", "all shuffled", "no modality"} <= set(labels)
    assert list(knockouts_of(())) == []
    assert Knockout("without", "text") in list(knockouts_of(("image", "noise", "text")))


def test_a_modality_that_matters_is_told_from_one_that_does_not():
    users = np.repeat(np.arange(201), np.arange(201) % 3 + 1)[:400]
    rng = np.random.default_rng(0)
    good, bad = 1 + rng.poisson(1, 400), 1 + rng.poisson(8, 400)

    def rank(links):
        return good if (links["image"] == LINKS["image"]).all() else bad

    found = knock_out(LINKS, rank, users, "mrr@20")
    image, text = found.of("shuffled", "image"), found.of("shuffled", "text")
    means = [ranking_metrics(ranks)["mrr@20"] for ranks in (good, bad)]
    assert image.cost == pytest.approx(1 - means[1] / means[0])
    assert 0 < image.low < image.cost < image.high < 1
    assert (text.cost, text.low, text.high) == (0, 0, 0)
    first, second = found.verdicts()
    assert first.startswith("image: ")
    assert "depends on it" in first
    assert second.startswith("text: no loss of mrr@20 is shown")


def test_nothing_can_be_lost_of_nothing():
    found = knock_out(LINKS, lambda links: np.full(9, 99), np.arange(9), "mrr@20")
    assert {result.cost for result in found.results} == {0}
