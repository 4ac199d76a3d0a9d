"""What codes hold: how many items are linked to each, and which are nearest to its centre."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmsr.config import GraphConfig
from mmsr.data import Dataset
from mmsr.graph.checks import check_graph_config, fitted_rows, modalities_of
from mmsr.graph.clustering import Level
from mmsr.graph.codes import compute_levels


@dataclass(frozen=True)
class LevelContents:
    """What the codes of one level of a modality hold."""

    modality: str
    level: int
    """Counted from 1; there is one level unless codes are residual."""
    fitted: int
    """Items that reduction and clustering were fitted on."""
    items: int
    """Items that have the modality; all of them are linked."""
    sizes: NDArray[np.int64]
    """`[n_codes]`, the items that are linked to each code."""
    examples: tuple[tuple[int, ...], ...]
    """By code, a few items of which it is the nearest code, those nearest to its centre first;
    with `gmm`, those of the highest density."""


def contents_of(dataset: Dataset, config: GraphConfig, n_examples: int) -> list[LevelContents]:
    """Compute the codes of every modality that the config uses, and what they hold.

    Parameters
    ----------
    dataset : a prepared data set.
    config : graph settings for it; `missing` does not count.
    n_examples : most examples of each code.

    Returns
    -------
    An entry for each level, by modality.

    Raises
    ------
    UserError : see `check_graph_config`.
    """
    check_graph_config(dataset, config)
    found = []
    for modality in modalities_of(dataset, config):
        table, n_codes = dataset.features(modality), config.codes_of(modality)
        fitted = fitted_rows(dataset, modality, config)
        for at, level in enumerate(compute_levels(table, config, n_codes, fitted), start=1):
            found.append(
                LevelContents(
                    modality=modality,
                    level=at,
                    fitted=int(fitted.sum()),
                    items=len(table.items),
                    sizes=np.bincount(level.nearest.ravel(), minlength=n_codes),
                    examples=_examples(level, table.items, n_codes, n_examples),
                )
            )
    return found


def _examples(
    level: Level, items: NDArray[np.int64], n_codes: int, most: int
) -> tuple[tuple[int, ...], ...]:
    nearest = level.nearest[:, 0]
    order = np.lexsort((level.distances, nearest))  # code by code, nearest items first
    starts = np.searchsorted(nearest[order], np.arange(n_codes + 1))
    return tuple(tuple(items[order[a:b][:most]].tolist()) for a, b in pairwise(starts))
