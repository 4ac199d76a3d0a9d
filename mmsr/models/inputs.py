"""What a model is built from: the catalogue's size, and what is known of its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsr.config import GraphConfig
from mmsr.data import Dataset, Part
from mmsr.graph.checks import modalities_of
from mmsr.graph.codes import ModalityCodes, modality_codes
from mmsr.graph.masks import without


@dataclass(frozen=True)
class ItemFeatures:
    """Feature vectors of one modality."""

    vectors: NDArray[np.float32]
    """`[n, F]`, the vectors that there are."""
    links: NDArray[np.int64]
    """`[I, 1]`, each item's row in `vectors`; -1 for items without this modality."""


@dataclass(frozen=True)
class Interactions:
    """Who interacted with what in the part that a model is trained on, n pairs in any order."""

    n_users: int
    """Number of users, U, whether or not they are in a pair."""
    users: NDArray[np.int64]
    """`[n]`, indices of users."""
    items: NDArray[np.int64]
    """`[n]`, indices of items."""


class ModelInputs(Protocol):
    """What a model may know of a data set. Nothing is computed before a model asks for it."""

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""

    @property
    def codes(self) -> Mapping[str, ModalityCodes]:
        """Codes by modality (`graph.n_codes` and so on), of the modalities that the config uses."""

    @property
    def features(self) -> Mapping[str, ItemFeatures]:
        """Feature vectors by modality, of the modalities that the config uses."""

    @property
    def interactions(self) -> Interactions:
        """Interactions of the part that the model is trained on, and nothing after it."""


class DatasetInputs:
    """Inputs from a prepared data set.

    Parameters
    ----------
    dataset : the data set.
    graph : which modalities are used, how codes are made of them, and which items lack them.
    part : what the model is trained on.
    """

    def __init__(self, dataset: Dataset, graph: GraphConfig, part: Part = "train") -> None:
        self._dataset, self._graph, self._part = dataset, graph, part

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self._dataset.n_items

    @cached_property
    def codes(self) -> Mapping[str, ModalityCodes]:
        """Codes by modality, from the cache where they are known; see `modality_codes`."""
        return modality_codes(self._dataset, self._graph)

    @cached_property
    def features(self) -> Mapping[str, ItemFeatures]:
        """Feature vectors by modality; items that `graph.missing` chooses have none.

        Raises
        ------
        UserError : the config names a modality that the data set lacks.
        """
        vectors, links = {}, {}
        for name in modalities_of(self._dataset, self._graph):
            table = self._dataset.features(name)
            vectors[name] = table.vectors
            links[name] = np.full((self.n_items, 1), -1, dtype=np.int64)
            links[name][table.items, 0] = np.arange(len(table.items))
        missing = self._graph.missing
        if missing.rate:
            which = links if missing.modalities is None else missing.modalities
            links = without(links, which, missing.rate, missing.seed)
        return {name: ItemFeatures(vectors[name], links[name]) for name in vectors}

    @property
    def interactions(self) -> Interactions:
        """Interactions of the part that the model is trained on."""
        users, items = self._dataset.interactions(self._part)
        return Interactions(self._dataset.n_users, users, items)
