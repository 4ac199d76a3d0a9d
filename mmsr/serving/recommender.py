"""`Recommender`: a trained model that recommends items by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmsr.config import Config
from mmsr.errors import UserError, shown
from mmsr.evaluation.ranking import scoring
from mmsr.format import plural
from mmsr.models.base import CollaborativeRecommender
from mmsr.models.base import Recommender as Model
from mmsr.serving.catalogue import Catalogue, Users
from mmsr.serving.explanation import Explanation, explain
from mmsr.serving.facts import Facts
from mmsr.serving.options import (
    GivenOptions,
    Options,
    Read,
    ids_of_users,
    read_histories,
    read_users,
)
from mmsr.serving.ranker import Ranked, Ranker, check_finite
from mmsr.training import choose_device


class Recommender:
    """A trained model that recommends items by their ids.

    `mmsr.load` makes it, of a study, a checkpoint or an exported model. It is for one thread at a
    time: explaining changes what its model reads, and changes it back.

    Parameters
    ----------
    model : the trained model; it is moved to the device and put in evaluation mode.
    config : the config that it was trained with.
    catalogue : the items that it scores.
    origin : where the model comes from, in words.
    users : the data set's users; None where they are not known.
    facts : how the model was made and what it scored; None where that is not known.
    device : a torch device name, or `auto`: CUDA where there is a device, else the CPU.

    Raises
    ------
    UserError : no such device, or the catalogue is not the model's.

    Examples
    --------
    ::

        recommender = mmsr.load("toys")
        recommender.recommend([["B00004TDLD", "B0000205XI"]], top=5)
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        catalogue: Catalogue,
        *,
        origin: str,
        users: Users | None = None,
        facts: Facts | None = None,
        device: str = "auto",
    ) -> None:
        if len(catalogue) != model.n_items:
            raise UserError(
                f"the model scores {plural(model.n_items, 'item')}, and the catalogue has "
                f"{len(catalogue):,}: it is not the model's"
            )
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        self.config, self.catalogue, self.origin = config, catalogue, origin
        self.users, self.facts = users, facts
        self.ranker = Ranker(self.model, config, catalogue.counts)

    def __repr__(self) -> str:
        return f"Recommender({self.origin}; {plural(len(self.catalogue), 'item')})"

    @property
    def knows_users(self) -> bool:
        """Whether the model scores by users alone, whose histories it does not read."""
        return isinstance(self.model, CollaborativeRecommender)

    def recommend(
        self, histories: Iterable[Sequence[str]], *, top: int = 10, **options: Unpack[GivenOptions]
    ) -> pd.DataFrame:
        """Recommend items for histories.

        Parameters
        ----------
        histories : item ids of each history, oldest first.
        top : items per history.
        options : `seen`, `new`, `unknown` and `empty`, as in `Options`.

        Returns
        -------
        A row for each recommendation: `history` (place in `histories`), `rank` from 1, `item_id`,
        `title` (where titles are known) and `score`. Its `attrs` have `unknown_items` and
        `empty_histories`, how many were skipped.

        Raises
        ------
        UserError : unknown items or empty histories, unless they are skipped; or the model knows
            users alone.
        """
        wanted = Options(top=top, **options)
        self.check_reads_histories()
        read = read_histories(histories, self.catalogue, wanted)
        frame = self._frame("history", read.rows, self.ranker.rank(read.histories, wanted))
        frame.attrs = {"unknown_items": read.unknown, "empty_histories": read.empty}
        return frame

    def recommend_users(
        self,
        user_ids: Sequence[str] | None = None,
        *,
        top: int = 10,
        **options: Unpack[GivenOptions],
    ) -> pd.DataFrame:
        """Recommend items for users of the model's data set.

        Histories are those of development data, train and validation: test stays closed.

        Parameters
        ----------
        user_ids : ids of the users; None stands for all.
        top, options : as in `recommend`; `unknown` and `empty` apply to users.

        Returns
        -------
        As `recommend`, with `user_id` in place of `history`.

        Raises
        ------
        UserError : the data set's users are not at hand, or one is unknown.
        """
        wanted = Options(top=top, **options)
        users = self.known_users()
        given = users.user_ids.to_pylist() if user_ids is None else ids_of_users(user_ids)
        found = users.find(given)
        read = self.read_users(found, wanted, given)
        ids = np.asarray(given, dtype=object)[read.rows]
        frame = self._frame("user_id", ids, self.ranker.rank(read.histories, wanted))
        frame.attrs = {"unknown_users": read.unknown, "empty_histories": read.empty}
        return frame

    def explain(
        self, history: Sequence[str], *, top: int = 10, **options: Unpack[GivenOptions]
    ) -> Explanation:
        """Say what recommendations for one history rest on.

        Parameters
        ----------
        history : item ids, oldest first.
        top, options : as in `recommend`.

        Raises
        ------
        UserError : as in `recommend`.
        """
        wanted = Options(top=top, **options)
        self.check_reads_histories()
        read = read_histories([history], self.catalogue, replace(wanted, empty="refused"))
        return explain(self.ranker, self.catalogue, read.histories, wanted)

    def user_vectors(self, histories: Iterable[Sequence[str]]) -> NDArray[np.float32]:
        """Vectors of histories, float32 `[n, D]`; scores are their products with `item_vectors`.

        Parameters
        ----------
        histories : as in `recommend`.

        Raises
        ------
        UserError : unknown items, empty histories, a vector that is not finite, or the model knows
            users alone.
        """
        self.check_reads_histories()
        read = read_histories(histories, self.catalogue, Options())
        return self.ranker.vectors(read.histories)

    def item_vectors(self) -> NDArray[np.float32]:
        """Vectors of all items, float32 `[I, D]`, in the order of the catalogue.

        Raises
        ------
        UserError : a vector is not finite.
        """
        with scoring(self.model) as scorer:
            vectors: NDArray[np.float32] = scorer.items_ID.float().cpu().numpy()
        check_finite(vectors, lambda row: f"item {shown(self.catalogue.item_ids[row].as_py())}")
        return vectors

    def check_reads_histories(self) -> None:
        """Raise UserError if the model scores by users alone."""
        if self.knows_users:
            raise UserError(
                f"model {self.config.model.name} knows the users of its data set and reads no "
                "histories: recommend for user ids"
            )

    def known_users(self) -> Users:
        """The data set's users.

        Raises
        ------
        UserError : they are not at hand.
        """
        if self.users is None:
            raise UserError(
                f"{self.origin} holds no users: give histories, or load the model from its study"
            )
        return self.users

    def read_users(self, found: NDArray[np.int64], options: Options, ids: Sequence[Any]) -> Read:
        """Histories of some of the data set's users; see `mmsr.serving.options.read_users`."""
        return read_users(found, self.known_users().histories, options, ids)

    def _frame(self, key: str, keys: NDArray[Any], ranked: Ranked) -> pd.DataFrame:
        """A row for each recommendation."""
        rows, places = np.nonzero(ranked.items >= 0)
        items = ranked.items[rows, places]
        columns = {
            key: keys[rows],
            "rank": places + 1,
            "item_id": self.catalogue.ids_of(items).to_pandas(),
        }
        if self.catalogue.titles is not None:
            columns["title"] = self.catalogue.titles_of(items)
        return pd.DataFrame({**columns, "score": ranked.scores[rows, places]})
