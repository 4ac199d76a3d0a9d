"""What a model was built from, as arrays in its folder.

Shapes: I items, K links of an item, C codes, F width of features, n vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.graph.codes import ModalityCodes
from mmsr.models.inputs import Interactions, ItemFeatures, ModelInputs

Arrays = Mapping[str, NDArray[Any]]
COUNTS = "interactions"
"""Name of the array `[I]` with the number of each item's interactions in what was trained on."""
_CODES, _FEATURES = "codes", "features"


class RecordingInputs:
    """Inputs that note which of them a model asks for; see `ModelInputs`.

    Parameters
    ----------
    inputs : where they come from.
    """

    def __init__(self, inputs: ModelInputs) -> None:
        self._inputs = inputs
        self._arrays: dict[str, NDArray[Any]] = {}

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self._inputs.n_items

    @property
    def codes(self) -> Mapping[str, ModalityCodes]:
        """Codes by modality."""
        for place, (name, codes) in enumerate(self._inputs.codes.items()):
            self._note(_CODES, place, name, links=codes.links, centres=codes.centres)
        return self._inputs.codes

    @property
    def features(self) -> Mapping[str, ItemFeatures]:
        """Feature vectors by modality."""
        for place, (name, features) in enumerate(self._inputs.features.items()):
            self._note(_FEATURES, place, name, links=features.links, vectors=features.vectors)
        return self._inputs.features

    @property
    def interactions(self) -> Interactions:
        """Interactions of the part that the model is trained on."""
        return self._inputs.interactions

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was asked for, by name, and how often each item was interacted with.

        Who interacted with it is not kept: a model's folder says nothing of single users.
        """
        items = self._inputs.interactions.items
        return {COUNTS: np.bincount(items, minlength=self.n_items), **self._arrays}

    def _note(self, kind: str, place: int, modality: str, **arrays: NDArray[Any]) -> None:
        for name, array in arrays.items():  # the place keeps the order of the modalities
            self._arrays[f"{kind}.{name}.{place:02d}.{modality}"] = np.ascontiguousarray(array)


class StoredInputs:
    """Inputs from the arrays of a folder; see `ModelInputs`.

    Parameters
    ----------
    arrays : what `RecordingInputs.arrays` returned.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.n_items = len(arrays[COUNTS])

    @cached_property
    def codes(self) -> Mapping[str, ModalityCodes]:
        """Codes by modality."""
        links, centres = self._by_modality(_CODES, "links"), self._by_modality(_CODES, "centres")
        return {name: ModalityCodes(links[name], centres[name]) for name in links}

    @cached_property
    def features(self) -> Mapping[str, ItemFeatures]:
        """Feature vectors by modality."""
        links = self._by_modality(_FEATURES, "links")
        vectors = self._by_modality(_FEATURES, "vectors")
        return {name: ItemFeatures(vectors[name], links[name]) for name in links}

    @property
    def interactions(self) -> Interactions:
        """As many interactions with each item as there were, all of one user."""
        items = np.repeat(np.arange(self.n_items), self.counts)
        return Interactions(1, np.zeros_like(items), items)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Interactions of each item in what the model was trained on, int64 `[I]`."""
        return self._arrays[COUNTS]

    def _by_modality(self, kind: str, name: str) -> dict[str, Any]:
        start = f"{kind}.{name}."
        names = sorted(key for key in self._arrays if key.startswith(start))
        return {key.removeprefix(start).partition(".")[2]: self._arrays[key] for key in names}
