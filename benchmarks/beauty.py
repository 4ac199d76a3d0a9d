"""What benchmarks on Beauty share: its graphs at the paper's two settings, codes and batches.

Beauty's tables hold no images; seeded random vectors stand in for them, so that the graphs have the
paper's two modalities.
"""

from __future__ import annotations

import numpy as np

from mmsr.config import GraphConfig
from mmsr.data import Dataset, FeatureTable, Prefixes
from mmsr.graph.codes import ModalityCodes, compute_codes
from mmsr.training.batching import bucketed_batches

SEED = 2023
GRAPHS = {
    "20x1": GraphConfig(n_codes=20, links_per_item=1),
    "30x3": GraphConfig(n_codes=30, links_per_item=3),
}
"""Codes and links per item, as the paper has them for small and large data sets."""
IMAGE_WIDTH = 128
BATCH = 128
Codes = dict[str, ModalityCodes]


def make_codes(dataset: Dataset, graph: GraphConfig) -> Codes:
    """Codes of text and of the vectors that stand in for images."""
    rng = np.random.default_rng(SEED)
    images = FeatureTable(
        items=np.arange(dataset.n_items),
        vectors=rng.standard_normal((dataset.n_items, IMAGE_WIDTH)).astype(np.float32),
    )
    tables = {"image": images, "text": dataset.features("text")}
    seeded = graph.model_copy(update={"seed": SEED})
    return {
        name: compute_codes(table, dataset.n_items, seeded, graph.codes_of(name))
        for name, table in tables.items()
    }


def make_batches(examples: Prefixes, graph: GraphConfig) -> list[np.ndarray]:
    """One epoch's batches, as training would see them."""
    lengths = examples.lengths(graph.max_history)
    return bucketed_batches(lengths, BATCH, np.random.default_rng(SEED))
