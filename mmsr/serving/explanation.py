"""What recommendations for one history rest on: effects of its items, and shares of attention.

An effect is measured, for any model: how much the score of a recommended item falls when an item is
left out of the history (occlusion), or when an item loses a modality there. Shares of attention are
read out of the model where it has attention; they say what it looked at, not what that changed.

Shapes: B variants of the history, H distinct items of it, K recommended items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr.evaluation.ranking import Scorer, scoring
from mmsr.models.base import Attention
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.histories import FlatHistories
from mmsr.serving.options import Options
from mmsr.serving.ranker import Ranked, Ranker

_EXAMPLES = 3
"""Items that stand for a code."""


@dataclass(frozen=True)
class ReadItem:
    """An item of the history."""

    item: int
    """Its index."""
    times: int
    """How often it occurs in what the model reads."""
    share: float | None
    """Its share of attention; None where the model's attention is not known."""
    effects: tuple[float, ...]
    """How much each recommended item's score falls without it, when the model reads earlier
    items of the history in its place; none if the history has no other item."""
    modality_effects: dict[str, tuple[float, ...]]
    """The same where the item loses only this modality; the modalities that it has."""


@dataclass(frozen=True)
class ReadCode:
    """A code that items of the history are linked to."""

    modality: str
    code: int
    share: float
    """Its share of attention."""
    items: tuple[int, ...]
    """Items of the history that are linked to it."""
    examples: tuple[int, ...]
    """Items of the catalogue of which it is the nearest code: those with the most training
    interactions."""


@dataclass(frozen=True)
class Explanation:
    """What recommendations for one history rest on."""

    ranked: Ranked
    """The recommended items and their scores."""
    items: tuple[ReadItem, ...]
    """What the model reads, the latest first."""
    codes: tuple[ReadCode, ...]
    """Codes that attention has read, the largest share first; none where it reads no codes."""
    has_attention: bool
    """Whether shares of attention are known."""
    modalities: tuple[str, ...]
    """The model's modalities."""

    @property
    def recommended(self) -> NDArray[np.int64]:
        """Indices of the recommended items, `[K]`."""
        items: NDArray[np.int64] = self.ranked.items[0]
        found: NDArray[np.int64] = items[items >= 0]
        return found

    @property
    def scores(self) -> NDArray[np.float32]:
        """Their scores, `[K]`."""
        scores: NDArray[np.float32] = self.ranked.scores[0][: len(self.recommended)]
        return scores


def explain(
    ranker: Ranker, catalogue: Catalogue, history: FlatHistories, options: Options
) -> Explanation:
    """Rank items for one history, and say what their scores rest on.

    Parameters
    ----------
    ranker : the model; it reads histories.
    catalogue : its items.
    history : a single one, not empty.
    options : what is recommended.
    """
    ranked = ranker.rank(history, options)
    recommended = ranked.items[0][ranked.items[0] >= 0]
    whole = history.items[history.starts[0] : history.ends[0]]
    longest = ranker.config.graph.max_history
    read = whole[-longest:].astype(np.int64)
    distinct = list(dict.fromkeys(read[::-1].tolist()))  # the latest first
    with torch.no_grad():  # gradients are needed inside, so no inference mode
        attention = ranker.model.attention(torch.from_numpy(read).to(_device(ranker)))
    with scoring(ranker.model) as scorer:
        whole_K = _scores(scorer, [read], recommended)[0]
        effects = _without_items(scorer, whole, longest, distinct, recommended, whole_K)
        lost = {
            modality: whole_K - _without(scorer, modality, read, distinct, recommended)
            for modality in ranker.model.tables.modalities
        }
    links = {name: ranker.model.tables.links(name).cpu().numpy() for name in lost}
    items = tuple(
        ReadItem(
            item=item,
            times=int((read == item).sum()),
            share=None if attention is None else attention.items.get(item, 0.0),
            effects=() if effects is None else tuple(effects[place].tolist()),
            modality_effects={
                name: tuple(lost[name][place].tolist())
                for name in lost
                if (links[name][item] >= 0).any()
            },
        )
        for place, item in enumerate(distinct)
    )
    nearest = {name: own[:, :: ranker.config.graph.links_per_item] for name, own in links.items()}
    codes = () if attention is None else _codes(attention, links, nearest, distinct, catalogue)
    return Explanation(ranked, items, codes, attention is not None, tuple(lost))


def _without_items(
    scorer: Scorer,
    whole: NDArray[np.int32],
    longest: int,
    distinct: Sequence[int],
    recommended: NDArray[np.int64],
    whole_K: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Effects of leaving out each item, `[H, K]`; None if the history has no other.

    The item is left out of the whole history, so that the model then reads earlier ones in its
    place, as it would if the item had never been there.
    """
    if (whole == whole[0]).all():
        return None
    variants = [whole[whole != item][-longest:] for item in distinct]
    return whole_K - _scores(scorer, variants, recommended)


def _without(
    scorer: Scorer,
    modality: str,
    read: NDArray[np.int64],
    distinct: Sequence[int],
    recommended: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Scores `[H, K]` where each item in turn loses a modality in the history."""
    losers_B1 = torch.tensor(distinct, device=scorer.device)[:, None]

    def loss(name: str, histories_BL: Tensor) -> Tensor:
        lost_BL = histories_BL == losers_B1
        return lost_BL if name == modality else torch.zeros_like(lost_BL)

    with scorer.model.tables.losing(loss):
        return _scores(scorer, [read] * len(distinct), recommended)


def _scores(
    scorer: Scorer, variants: Sequence[NDArray[np.integer]], recommended: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of the recommended items for variants of a history, `[B, K]`."""
    lengths = np.array([len(one) for one in variants], dtype=np.int64)
    histories = FlatHistories.of(np.concatenate(variants).astype(np.int32), lengths)
    rows = np.arange(len(variants))
    histories_BL = torch.from_numpy(histories.batch(rows, int(lengths.max()))).to(scorer.device)
    users_B = torch.from_numpy(histories.users).to(scorer.device)
    vectors_BD = scorer.user_vectors(histories_BL, users_B)
    items_KD = scorer.items_ID[torch.from_numpy(recommended).to(scorer.device)]
    scores_BK: NDArray[np.float64] = (vectors_BD @ items_KD.T).double().cpu().numpy()
    return scores_BK


def _codes(
    attention: Attention,
    links: Mapping[str, NDArray[np.int64]],
    nearest: Mapping[str, NDArray[np.int64]],
    history: Sequence[int],
    catalogue: Catalogue,
) -> tuple[ReadCode, ...]:
    """The codes that attention has read, the largest share first."""
    found = []
    for modality, shares in attention.codes.items():
        for code, share in shares.items():
            linked = (links[modality] == code).any(axis=1)
            nearest_to = np.flatnonzero((nearest[modality] == code).any(axis=1))
            found.append(
                ReadCode(
                    modality=modality,
                    code=code,
                    share=share,
                    items=tuple(item for item in history if linked[item]),
                    examples=_examples(nearest_to, catalogue),
                )
            )
    return tuple(sorted(found, key=lambda one: -one.share))


def _examples(items: NDArray[np.int64], catalogue: Catalogue) -> tuple[int, ...]:
    if catalogue.counts is not None:
        items = items[np.argsort(-catalogue.counts[items], kind="stable")]
    return tuple(items[:_EXAMPLES].tolist())


def _device(ranker: Ranker) -> torch.device:
    return next(ranker.model.parameters()).device
