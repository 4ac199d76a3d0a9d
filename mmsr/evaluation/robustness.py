"""How a model ranks when modalities are missing: links change, codes and histories do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr.config import Config
from mmsr.data import Prefixes
from mmsr.evaluation.metrics import ranking_metrics
from mmsr.graph.masks import Links, check_rate, without

if TYPE_CHECKING:
    from torch import Tensor

    from mmsr.models.base import Recommender

AUC_RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Missing rates of `robust_auc`."""
AUC_SEED = 0
"""Seed of the masks of `robust_auc`, the same for every model."""

Chunk = Callable[[int], None]
"""Called with the number of prefixes of every finished chunk."""


def links_of(model: Recommender) -> dict[str, Links]:
    """The links of `model`, by modality: int64 arrays `[I, K]`, -1 where an item has none."""
    return {m: model.tables.links(m).cpu().numpy() for m in model.tables.modalities}


def rank_without(
    model: Recommender,
    prefixes: Prefixes,
    config: Config,
    modalities: Iterable[str],
    rate: float,
    seed: int,
    progress: Chunk | None = None,
) -> NDArray[np.int64]:
    """Rank the targets while a share of the items lacks modalities (`mmsr.graph.masks`).

    The items lack them in histories and in scores alike. At rate 0 the ranks are the clean ones; at
    rate 1 they are those of a data set without these modalities.

    Parameters
    ----------
    model : a trained model; its links are restored at the end.
    prefixes : the n examples to rank.
    config : config of the model; `graph.max_history` and `training.seen` are used.
    modalities : which ones go missing; the model must have them.
    rate : share of the items that have a modality and lose it, in [0, 1].
    seed : decides which items.
    progress : called with the number of prefixes of every finished chunk.

    Returns
    -------
    int64 `[n]`, rank of each target, 1 is best.
    """
    masked = without(links_of(model), modalities, rate, seed)
    return rank_linked(model, prefixes, config, masked, progress)


def rank_linked(
    model: Recommender,
    prefixes: Prefixes,
    config: Config,
    links: Mapping[str, Links],
    progress: Chunk | None = None,
) -> NDArray[np.int64]:
    """Rank the targets while items have other links.

    Parameters
    ----------
    model : a trained model; its links are restored at the end.
    prefixes : the n examples to rank.
    config : config of the model; `graph.max_history` and `training.seen` are used.
    links : int64 `[I, K]` by modality; modalities that are left out keep theirs.
    progress : called with the number of prefixes of every finished chunk.

    Returns
    -------
    int64 `[n]`, rank of each target, 1 is best.
    """
    import torch

    tensors = {modality: torch.from_numpy(link) for modality, link in links.items()}
    return _rank(model, prefixes, config, model.tables.relinked(tensors), progress)


def rank_by_access(
    model: Recommender,
    prefixes: Prefixes,
    config: Config,
    modalities: Iterable[str],
    rate: float,
    seed: int,
    progress: Chunk | None = None,
) -> NDArray[np.int64]:
    """Rank the targets while each occurrence of an item in a history may lose modalities.

    So the same item may have an image at one position and none at the next; it lacks the image if
    it has none at any. Scores keep all codes, as in the paper authors' code. The same seed gives
    the same ranks, and what is lost at one rate is also lost at a higher one.

    Parameters
    ----------
    model : a trained model.
    prefixes : the n examples to rank.
    config : config of the model; `graph.max_history` and `training.seen` are used.
    modalities : which ones go missing.
    rate : chance that an occurrence loses a modality, in [0, 1].
    seed : seed of these chances.
    progress : called with the number of prefixes of every finished chunk.

    Returns
    -------
    int64 `[n]`, rank of each target, 1 is best.
    """
    import torch

    check_rate(rate)
    which = tuple(modalities)
    generator = torch.Generator().manual_seed(seed)

    def loss(modality: str, histories_BL: Tensor) -> Tensor:
        draws_BL = torch.rand(histories_BL.shape, generator=generator)
        lost = draws_BL < rate if modality in which else torch.zeros_like(draws_BL).bool()
        return lost.to(histories_BL.device)

    return _rank(model, prefixes, config, model.tables.losing(loss), progress)


def _rank(
    model: Recommender,
    prefixes: Prefixes,
    config: Config,
    changed: AbstractContextManager[None],
    progress: Chunk | None,
) -> NDArray[np.int64]:
    from mmsr.evaluation.ranking import evaluate

    with changed:
        return evaluate(
            model,
            prefixes,
            max_history=config.graph.max_history,
            seen=config.training.seen,
            progress=progress,
        )


def relative_area(rates: Sequence[float], values: Sequence[float]) -> float:
    """Area under a curve relative to its clean score: 1 where nothing is lost at any rate.

    The area is made of trapezoids between the rates, and divided by the span of the rates.

    Parameters
    ----------
    rates : two or more, ascending from 0.
    values : the metric at each rate; the first is the clean score.

    Returns
    -------
    The relative area; 0 where the clean score is 0.

    Raises
    ------
    ValueError : the rates do not ascend from 0.
    """
    if len(rates) < 2 or rates[0] != 0 or any(a >= b for a, b in pairwise(rates)):
        raise ValueError(f"rates must ascend from 0, got {list(rates)}")
    clean = values[0]
    if clean == 0:
        return 0.0
    return float(np.trapezoid(values, rates) / (rates[-1] - rates[0]) / clean)


def robust_auc(model: Recommender, prefixes: Prefixes, config: Config, clean: float) -> float:
    """Area under the curve of `training.select_by` over missing rates, relative to `clean`.

    All modalities of the model go missing at `AUC_RATES`, each from its own seeded, nested choice
    of items.

    Parameters
    ----------
    model : a trained model; its links are restored at the end.
    prefixes : the examples to rank.
    config : config of the model.
    clean : the metric with nothing missing, in [0, 1].

    Returns
    -------
    The relative area; 1 for a model without modalities, which has nothing to lose.
    """
    metric = config.training.select_by.removeprefix("valid/")
    modalities = model.tables.modalities
    if not modalities:
        return 1.0
    values = [clean]
    for rate in AUC_RATES[1:]:
        ranks = rank_without(model, prefixes, config, modalities, rate, AUC_SEED)
        values.append(ranking_metrics(ranks)[metric])
    return relative_area(AUC_RATES, values)
