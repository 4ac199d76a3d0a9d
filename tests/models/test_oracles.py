"""All that the registry holds against slow loops in float64, one history at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr import registry
from mmsr.models.mmsr.model import FUSIONS, MMSR
from mmsr.models.mmsr.registry import make_aggregator

from . import oracles
from .variants import (
    CONFIGS,
    LAYERS,
    N_ITEMS,
    WIDTH,
    Layer,
    every_variant,
    histories,
    make,
    model_config,
    name_of,
    padded,
    shaken,
    some_codes,
)

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def test_everything_registered_has_an_oracle() -> None:
    assert oracles.AGGREGATORS.keys() == registry.AGGREGATORS.keys()
    assert oracles.READOUTS.keys() == registry.READOUTS.keys()
    assert oracles.FUSIONS.keys() == FUSIONS.keys()


@every_variant
def test_user_vectors_equal_the_oracles(
    layer: Layer, fusion: str, readout: str, depth: int
) -> None:
    model = shaken(make(layer, fusion, readout, depth)).eval()
    config = model_config(layer, fusion, readout, depth)
    rows = histories()
    with torch.no_grad():
        vectors = model.user_vectors(padded(rows)).numpy()
    for row, vector in zip(rows, vectors, strict=True):
        expected = oracles.FUSIONS[fusion](model, config, row)
        np.testing.assert_allclose(vector, expected, **TOLERANCE)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("readout", registry.READOUTS)
@pytest.mark.parametrize("without", ["position_embedding", "type_embedding", "image", "codes"])
def test_what_is_left_out_is_left_out_of_the_oracle_too(
    without: str, readout: str, fusion: str
) -> None:
    config = model_config(LAYERS[0], fusion, readout, 2)
    codes = some_codes()
    if without in codes:
        del codes[without]
    elif without == "codes":  # no item has any: late fusion gets graphs without nodes
        for c in codes.values():
            c.links[:] = -1
    else:
        config = config.model_copy(update={without: False})
    model = shaken(MMSR(Config(dataset="x", model=config), N_ITEMS, codes)).eval()
    with torch.no_grad():
        vectors = model.user_vectors(padded(histories())).numpy()
    for row, vector in zip(histories(), vectors, strict=True):
        expected = oracles.FUSIONS[fusion](model, config, row)
        np.testing.assert_allclose(vector, expected, **TOLERANCE)


@pytest.mark.parametrize("n_modalities", [0, 1, 2])
@pytest.mark.parametrize("layer", LAYERS, ids=name_of)
def test_every_row_of_a_layer_equals_the_oracles(layer: Layer, n_modalities: int) -> None:
    torch.manual_seed(1)
    links = [torch.from_numpy(codes.links) for codes in some_codes().values()][:n_modalities]
    graph = build_batch_graph(padded(histories()), links)
    config = CONFIGS[layer["name"]].model_validate(layer)
    aggregator = shaken(make_aggregator(config, 1 + n_modalities, WIDTH)).eval()
    h = torch.randn(len(graph.real_BN), graph.real_BN.shape[1], WIDTH)
    queries = graph.last_BK
    with torch.no_grad():
        everywhere = aggregator(graph, h, None).numpy()
        queried = aggregator(graph, h, queries).numpy()
    for row in range(len(h)):
        one, places = oracles.of_batch(graph, row)
        expected = oracles.AGGREGATORS[layer["name"]](
            aggregator, one, h[row, places].double().numpy()
        )
        np.testing.assert_allclose(everywhere[row, places], expected, **TOLERANCE)
        for query, vector in zip(queries[row].tolist(), queried[row], strict=True):
            np.testing.assert_allclose(vector, expected[places.index(query)], **TOLERANCE)
