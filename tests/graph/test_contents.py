"""What codes hold, beside the codes that models get."""

from __future__ import annotations

import numpy as np
import pytest

from mmsr.config import GraphConfig
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.graph.clustering import CLUSTERINGS
from mmsr.graph.codes import modality_codes
from mmsr.graph.contents import contents_of


@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_the_contents_are_those_of_the_links(shop: Dataset, tmp_path, monkeypatch, clustering):
    config = GraphConfig(
        n_codes=6, links_per_item=2, clustering=clustering, levels=2, reduced_width=3
    )
    found = contents_of(shop, config, n_examples=3)
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    codes = modality_codes(shop, config)
    assert [(one.modality, one.level) for one in found] == [
        (modality, level + 1) for modality in shop.modalities for level in range(config.n_levels)
    ]
    for one in found:
        links = codes[one.modality].links[:, 2 * one.level - 2 : 2 * one.level] - 6 * (
            one.level - 1
        )
        assert one.items == len(shop.features(one.modality).items)
        assert one.sizes.tolist() == [int((links == code).sum()) for code in range(6)]
        for code, examples in enumerate(one.examples):
            assert len(examples) == min(3, (links[:, 0] == code).sum())
            assert all(links[item, 0] == code for item in examples)


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
def test_examples_are_nearest_to_the_centre(shop: Dataset, tmp_path, monkeypatch, clustering):
    config = GraphConfig(n_codes=4, clustering=clustering, reduction="none", modalities=("image",))
    (found,) = contents_of(shop, config, n_examples=2)
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    codes, table = modality_codes(shop, config)["image"], shop.features("image")
    apart = np.linalg.norm(table.vectors[:, None] - codes.centres, axis=2)
    for code in range(4):
        own = np.flatnonzero(codes.links[table.items, 0] == code)
        nearest = own[np.argsort(apart[own, code])][:2]
        assert found.examples[code] == tuple(table.items[nearest].tolist())


def test_what_the_data_cannot_fill_is_refused(shop: Dataset):
    with pytest.raises(UserError, match="n_codes=39 is more than the 38 items"):
        contents_of(shop, GraphConfig(n_codes=39), n_examples=1)
