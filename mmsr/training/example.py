"""One batch to try a model on: from a data set, or made up where none is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmsr.config import Config, GraphConfig
from mmsr.data import Dataset
from mmsr.graph.codes import ModalityCodes
from mmsr.models.base import CausalRecommender, CollaborativeRecommender, Recommender
from mmsr.models.inputs import Interactions, ItemFeatures
from mmsr.models.make import make_model
from mmsr.training.batching import examples_for
from mmsr.training.step import new_model

MODALITIES = ("image", "text")
"""Modalities of a made-up catalogue where the config names none."""
FEATURE_WIDTH = 512
"""Width of its feature vectors, that of CLIP's and of many others."""


@dataclass(frozen=True)
class Example:
    """A model and a batch for it."""

    origin: str
    """Where the histories come from, in words."""
    model: Recommender
    given: Tensor
    targets: Tensor
    """Both as `train_step` takes them."""

    @property
    def history(self) -> float | None:
        """Mean length of the histories; None for a model that reads none."""
        if self.given.ndim == 1:
            return None
        return float((self.given >= 0).sum(dim=1).float().mean())


def example_of(dataset: Dataset, config: Config, history: int | None) -> Example:
    """Make a batch of the training examples whose history lengths are nearest to a given length.

    Parameters
    ----------
    dataset : where the examples come from.
    config : what the model is made from; `training.batch_size` examples are taken.
    history : wanted items per history; None stands for the median of all training examples.
    """
    model, most = new_model(config, dataset), config.graph.max_history
    examples = examples_for(model, dataset, "train", most)
    lengths = examples.lengths(most)
    wanted = np.median(lengths) if history is None else history
    rows = np.argsort(np.abs(lengths - wanted), kind="stable")[: config.training.batch_size]
    what = "interactions" if isinstance(model, CollaborativeRecommender) else "histories"
    return Example(
        f"training {what} of {dataset.name}",
        model,
        *map(torch.from_numpy, examples.batch(rows, most)),
    )


def made_up_example(
    config: Config, n_items: int, history: int, n_users: int | None = None
) -> Example:
    """Make a batch of random histories of one length, over items with random codes.

    A model that reads no histories gets users who have as many items each.

    Parameters
    ----------
    config : what the model is made from; `training.batch_size` examples are drawn.
    n_items : size of the made-up catalogue.
    history : items per history.
    n_users : number of made-up users; None stands for as many as items.
    """
    rng = np.random.default_rng(config.seed)
    inputs = _MadeUp(config.graph, n_items, rng, n_users or n_items, history)
    model = make_model(config, inputs)
    if isinstance(model, CollaborativeRecommender):
        rows = rng.integers(len(inputs.interactions.items), size=config.training.batch_size)
        pairs = (inputs.interactions.users[rows], inputs.interactions.items[rows])
        return Example("made-up interactions", model, *map(torch.from_numpy, pairs))
    shape = (config.training.batch_size, history)
    return Example(
        "made-up histories",
        model,
        torch.from_numpy(rng.integers(n_items, size=shape)),
        torch.from_numpy(
            rng.integers(n_items, size=shape if isinstance(model, CausalRecommender) else shape[:1])
        ),
    )


class _MadeUp:
    """Inputs of a made-up catalogue, in which every item has every modality."""

    def __init__(
        self,
        graph: GraphConfig,
        n_items: int,
        rng: np.random.Generator,
        n_users: int,
        history: int,
    ) -> None:
        self._graph, self.n_items, self._rng = graph, n_items, rng
        self._n_users, self._history = n_users, history

    @cached_property
    def interactions(self) -> Interactions:
        users = np.repeat(np.arange(self._n_users), self._history)
        return Interactions(self._n_users, users, self._rng.integers(self.n_items, size=len(users)))

    @property
    def codes(self) -> dict[str, ModalityCodes]:
        names = _modalities(self._graph)
        return {name: _codes(self._graph, name, self.n_items, self._rng) for name in names}

    @cached_property
    def features(self) -> dict[str, ItemFeatures]:
        rows = np.arange(self.n_items)[:, None]
        shape = (self.n_items, FEATURE_WIDTH)
        return {
            name: ItemFeatures(self._rng.standard_normal(shape, dtype=np.float32), rows)
            for name in _modalities(self._graph)
        }


def _modalities(graph: GraphConfig) -> tuple[str, ...]:
    if graph.modalities is not None:
        return graph.modalities
    return tuple(graph.n_codes) if isinstance(graph.n_codes, dict) else MODALITIES


def _codes(
    graph: GraphConfig, modality: str, n_items: int, rng: np.random.Generator
) -> ModalityCodes:
    n_codes, n_links = graph.codes_of(modality), graph.links_per_item
    levels = np.arange(graph.n_levels)[:, None]
    nearest = rng.integers(n_codes, size=(n_items, graph.n_levels, 1))
    links = (nearest + np.arange(n_links)) % n_codes + levels * n_codes
    centres = rng.standard_normal((graph.n_levels * n_codes, graph.reduced_width))
    return ModalityCodes(links.reshape(n_items, -1), centres.astype(np.float32))
