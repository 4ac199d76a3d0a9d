"""Which settings of a search space need the most memory.

Numbers are taken at their largest. For other dimensions (aggregator, fusion, readout, …) every
option is tried, one dimension after the other, and the one with the largest demand is kept. The
demand is the memory of the weights with everything that training holds beside them, plus what a
training step keeps for its backward pass: that is measured on a few made-up histories of full
length and scaled to the batch size, or on a made-up graph of the data set's size. Only memory that
follows from the config is seen here; the settings found are then run and measured for real
(`mmsr.study.sizing.probe`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from mmsr.config import Config
from mmsr.config.models import model_class
from mmsr.data import Dataset
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice
from mmsr.errors import UserError
from mmsr.numbers import is_number
from mmsr.study.search.space import Space, apply, propose

if TYPE_CHECKING:
    from optuna import Trial

_FEW = 4
"""Histories in the made-up batch."""
_COPIES = 6
"""Copies of the weights: themselves, gradients, Adam's two moments, best epoch, running average."""


def most_demanding(space: Space, base: Config, dataset: Dataset) -> Config:
    """The config of a space that is estimated to need the most memory.

    Parameters
    ----------
    space : the search space.
    base : the config that it varies.
    dataset : the data set, for its number of items.
    """
    chosen: dict[str, Any] = {}
    best = _config(space, base, chosen)
    most = _demand(best, dataset)
    for key, dimension in _to_try(space):
        for tried in _variants(space, key, dimension):
            try:
                config = _config(space, base, chosen | tried)
            except UserError:
                continue  # no valid config together with what was chosen before
            if config == best or (demand := _demand(config, dataset)) <= most:
                continue
            best, most, chosen = config, demand, chosen | tried
    return best


def _to_try(space: Space) -> Iterator[tuple[str, Dimension]]:
    for key, dimension in space.items():
        if isinstance(dimension, Choice) and not _numbers(dimension):
            yield key, dimension


def _variants(space: Space, key: str, dimension: Dimension) -> Iterator[dict[str, Any]]:
    """Every option of a dimension, alone and with every option of dimensions that depend on it."""
    below = {other: d for other, d in _to_try(space) if key in d.when}
    for option in dimension.corners():
        yield {key: option}
        for other, conditional in below.items():
            yield from ({key: option, other: value} for value in conditional.corners())


def _numbers(dimension: Dimension) -> bool:
    return all(map(is_number, dimension.corners()))


def _config(space: Space, base: Config, chosen: Mapping[str, Any]) -> Config:
    picker = cast("Trial", _Picker(space, chosen))
    return apply(base, propose(picker, space, base))


class _Picker:
    """Stands in for Optuna's trial: largest numbers, chosen options, else the first option."""

    def __init__(self, space: Space, chosen: Mapping[str, Any]) -> None:
        self._space, self._chosen = space, chosen

    def suggest_int(self, key: str, low: int, high: int, **_: Any) -> int:
        return high

    def suggest_float(self, key: str, low: float, high: float, **_: Any) -> float:
        return high

    def suggest_categorical(self, key: str, kept: list[Any]) -> Any:
        dimension = self._space[key]
        if key in self._chosen:
            return dimension.stored(self._chosen[key])
        return dimension.stored(max(dimension.corners())) if _numbers(dimension) else kept[0]


def _demand(config: Config, dataset: Dataset) -> float:
    """Bytes that training this config needs, from its operations on a made-up batch."""
    from mmsr.models.base import CollaborativeRecommender
    from mmsr.training.cost import measure_cost
    from mmsr.training.example import made_up_example

    # A step of a model that reads no histories propagates the whole graph, whatever its batch.
    whole = issubclass(model_class(config.model.name), CollaborativeRecommender)
    tried = config.replace(
        {
            "training.batch_size": config.training.batch_size if whole else _FEW,
            "training.bf16": False,
            "graph.modalities": config.graph.modalities or list(dataset.modalities),
        }
    )
    if whole:
        interactions, n_users = len(dataset.interactions("train")[0]), dataset.n_users
        example = made_up_example(tried, dataset.n_items, -(-interactions // n_users), n_users)
    else:
        example = made_up_example(tried, dataset.n_items, config.graph.max_history)
    parts = measure_cost(example.model, example.given, example.targets, tried)
    steps = config.training.batch_size / tried.training.batch_size
    kept = steps * sum(part.kept_bytes for part in parts)
    return kept + sum(part.parameters for part in parts) * 4 * _COPIES
