"""What codes are fitted on: items of the training part alone, unless a config says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from mmsr.config import GraphConfig
from mmsr.data import Dataset, FeatureTable, ImportSettings, Sources, prepare
from mmsr.data.storage import features_hash
from mmsr.errors import UserError
from mmsr.graph import reduction
from mmsr.graph.checks import check_graph_config, fitted_rows
from mmsr.graph.clustering import CLUSTERINGS
from mmsr.graph.codes import compute_codes, modality_codes
from mmsr.graph.reduction import REDUCTIONS


def vectors_of(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)


@dataclass
class StubData:
    """A data set whose last ten items occur in validation or test alone."""

    name: str = "stub"
    modalities: tuple[str, ...] = ("image",)
    n_items: int = 40
    table: FeatureTable = field(
        default_factory=lambda: FeatureTable(np.arange(5, 40), vectors_of(35))
    )
    in_training: np.ndarray = field(default_factory=lambda: np.arange(40) < 30)

    def features(self, modality: str) -> FeatureTable:
        return self.table

    def features_hash(self, modality: str) -> str:
        return features_hash(self.table.items, self.table.vectors)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_items_outside_training_are_linked_and_move_no_centre(
    home, monkeypatch, clustering, reduce
):
    monkeypatch.setattr(reduction, "_STEPS", 20)
    config = GraphConfig(n_codes=4, clustering=clustering, reduction=reduce, levels=2)
    data = StubData()
    before = modality_codes(data, config)["image"]
    alone = modality_codes(
        StubData(table=FeatureTable(np.arange(5, 30), vectors_of(35)[:25])), config
    )["image"]
    np.testing.assert_allclose(before.centres, alone.centres, atol=1e-4)
    np.testing.assert_array_equal(before.links[:30], alone.links[:30])
    assert (before.links[30:] >= 0).all()
    data.table.vectors[25:] += 7
    after = modality_codes(data, config)["image"]
    np.testing.assert_array_equal(after.centres, before.centres)
    np.testing.assert_array_equal(after.links[:30], before.links[:30])
    every = modality_codes(data, config.model_copy(update={"fitted_on": "all"}))["image"]
    assert (every.centres.shape != before.centres.shape) or (every.centres != before.centres).any()


@pytest.mark.parametrize("clustering", ["kmeans", "gmm"])
def test_where_all_items_occur_in_training_codes_are_as_they_were(home, clustering):
    data = StubData(in_training=np.ones(40, dtype=bool))
    config = GraphConfig(n_codes=4, links_per_item=2, clustering=clustering)
    codes = modality_codes(data, config)["image"]
    plain = compute_codes(data.table, 40, config, 4)
    np.testing.assert_array_equal(codes.links, plain.links)
    np.testing.assert_array_equal(codes.centres, plain.centres)


def test_items_of_training_that_lack_the_modality_do_not_count():
    data = StubData(in_training=np.arange(40) < 9)
    assert fitted_rows(data, "image", GraphConfig()).sum() == 4
    check_graph_config(data, GraphConfig(n_codes=4))
    with pytest.raises(UserError) as caught:
        check_graph_config(data, GraphConfig(n_codes=5))
    assert str(caught.value) == (
        "graph.n_codes=5 is more than the 4 items of 'stub' that have image features and occur in "
        "training (graph.fitted_on=train): choose at most 4"
    )
    check_graph_config(data, GraphConfig(n_codes=35, fitted_on="all"))


@pytest.mark.parametrize("protocol", ["ratio", "leave-one-out"])
def test_the_items_in_training_are_those_of_its_interactions(home, tmp_path, protocol):
    rows = [f"u{u},i{(7 * u * u + 3 * t) % 90},{t}" for u in range(20) for t in range(2 + u % 6)]
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    settings = ImportSettings(protocol=protocol, core=1)
    data = prepare("small", Sources(interactions=table), settings).dataset
    expected = np.zeros(data.n_items, dtype=bool)
    for _, item in zip(*data.interactions("train"), strict=True):
        expected[item] = True
    assert 0 < expected.sum() < data.n_items
    np.testing.assert_array_equal(data.in_training, expected)


def test_a_data_set_is_read_as_a_stub_is(shop: Dataset):
    assert shop.in_training.shape == (shop.n_items,)
    for modality in shop.modalities:
        rows = fitted_rows(shop, modality, GraphConfig())
        np.testing.assert_array_equal(rows, shop.in_training[shop.features(modality).items])
