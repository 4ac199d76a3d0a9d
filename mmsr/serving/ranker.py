"""The best items of many histories, chunk by chunk, by the scores that evaluation ranks by.

Shapes: B histories of a chunk, L their length, K recommended items, S items that were seen, I items
of the catalogue, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.evaluation.ranking import Scorer, chunks, scoring
from mmsr.models.base import Recommender as Model
from mmsr.serving.histories import FlatHistories
from mmsr.serving.options import Options

_DIVERGED = "this model has diverged, train it again, e.g. with a smaller learning rate"


@dataclass(frozen=True)
class Ranked:
    """The best items for n histories, best first.

    Attributes
    ----------
    items : int64 [n, K], item indices; -1 where a history has fewer items to recommend.
    scores : float32 [n, K], their scores; -inf there.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Ranker:
    """Ranks items for histories, and makes their vectors."""

    model: Model
    config: Config
    counts: NDArray[np.int64] | None = None
    """Interactions of each item in what the model was trained on; None where they are not known."""

    def rank(
        self,
        histories: FlatHistories,
        options: Options,
        progress: Callable[[int], None] | None = None,
    ) -> Ranked:
        """The best items for each history.

        Parameters
        ----------
        histories : n histories, none of them empty.
        options : what is recommended.
        progress : called with the number of histories of every finished chunk.

        Raises
        ------
        UserError : a score is NaN or infinite, or it is not known which items are new.
        """
        top = min(options.top, self.model.n_items)
        items = np.empty((len(histories), top), dtype=np.int64)
        scores = np.empty((len(histories), top), dtype=np.float32)
        new_I = self._new_items() if options.new == "masked" else None
        with scoring(self.model) as scorer:
            for rows, histories_BL, users_B in self._chunks(histories, scorer):
                scores_BI = scorer.scores(histories_BL, users_B)
                self._leave_seen_out(scores_BI, histories, rows, options)
                if new_I is not None:
                    scores_BI.masked_fill_(new_I.to(scorer.device), -torch.inf)
                scores_BK, items_BK = best(scores_BI, top)
                first_B = scores_BK[:, 0]  # NaN comes first, then infinity
                if (first_B.isnan() | first_B.isposinf()).any():
                    raise UserError(f"a score is NaN or infinite: {_DIVERGED}")
                items_BK = items_BK.masked_fill(scores_BK == -torch.inf, -1)
                items[rows], scores[rows] = items_BK.cpu().numpy(), scores_BK.cpu().numpy()
                if progress:
                    progress(len(rows))
        return Ranked(items, scores)

    def vectors(
        self,
        histories: FlatHistories,
        progress: Callable[[int], None] | None = None,
        name_of: Callable[[int], str] = "history {}".format,
    ) -> NDArray[np.float32]:
        """User vectors of n histories, float32 `[n, D]`.

        Parameters
        ----------
        histories : none of them empty.
        progress : as in `rank`.
        name_of : what errors call a history, by its place.

        Raises
        ------
        UserError : a vector is not finite.
        """
        with scoring(self.model) as scorer:
            vectors = np.empty((len(histories), scorer.items_ID.shape[1]), dtype=np.float32)
            for rows, histories_BL, users_B in self._chunks(histories, scorer):
                vectors[rows] = scorer.user_vectors(histories_BL, users_B).cpu().numpy()
                if progress:
                    progress(len(rows))
        check_finite(vectors, name_of)
        return vectors

    def _chunks(
        self, histories: FlatHistories, scorer: Scorer
    ) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
        """Places of the histories of each chunk, and the chunk as a model reads it."""
        longest = self.config.graph.max_history
        for rows in chunks(histories.lengths(longest), self.model.n_items):
            histories_BL = torch.from_numpy(histories.batch(rows, longest))
            users_B = torch.from_numpy(histories.users[rows])
            yield rows, histories_BL.to(scorer.device), users_B.to(scorer.device)

    def _leave_seen_out(
        self, scores_BI: Tensor, histories: FlatHistories, rows: NDArray[np.int64], options: Options
    ) -> None:
        """Give -inf to items that a history has, in place, if the options or the config say so."""
        seen = options.seen or self.config.training.seen
        if seen == "kept":
            return
        latest = self.config.graph.max_history if seen == "read_masked" else None
        rows_S, items_S = (
            torch.from_numpy(array).to(scores_BI.device) for array in histories.seen(rows, latest)
        )
        scores_BI[rows_S, items_S] = -torch.inf

    def _new_items(self) -> Tensor:
        """Which items the model was not trained on, bool `[I]`."""
        if self.counts is None:
            raise UserError(
                "this model does not say which items it was trained on: leave out new=masked, or "
                "load the model from its study"
            )
        return torch.from_numpy(self.counts == 0)


def check_finite(vectors_ND: NDArray[np.float32], name_of: Callable[[int], str]) -> None:
    """Raise UserError if a vector has NaN or infinity, as those of a model that has diverged.

    Parameters
    ----------
    vectors_ND : N vectors.
    name_of : what the error calls the owner of a vector, by its place.
    """
    wrong = np.flatnonzero(~np.isfinite(vectors_ND).all(axis=1))
    if len(wrong):
        others = f", as have {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        raise UserError(
            f"the vector of {name_of(int(wrong[0]))} has NaN or infinity{others}: {_DIVERGED}"
        )


def best(scores_BI: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The best scores `[B, K]` and their items, best first; of equal ones, the first item first.

    So a shorter list is the beginning of a longer one.

    Parameters
    ----------
    scores_BI : scores of all items.
    top : K, at most I.
    """
    scores_BK, items_BK = scores_BI.topk(min(top + 1, scores_BI.shape[1]), dim=1)
    if scores_BK.shape[1] > top:  # where a tie crosses the end, `topk` may take any of its items
        last_B, next_B = scores_BK[:, top - 1], scores_BK[:, top]
        crossed_B = (last_B == next_B) & (last_B != -torch.inf)
        scores_BK, items_BK = scores_BK[:, :top].clone(), items_BK[:, :top].clone()
        if crossed_B.any():
            sorted_BI = scores_BI[crossed_B].sort(dim=1, descending=True, stable=True)
            scores_BK[crossed_B] = sorted_BI.values[:, :top]
            items_BK[crossed_B] = sorted_BI.indices[:, :top]
    items_BK, order_BK = items_BK.sort(dim=1)
    scores_BK, order_BK = scores_BK.gather(1, order_BK).sort(dim=1, descending=True, stable=True)
    return scores_BK, items_BK.gather(1, order_BK)
