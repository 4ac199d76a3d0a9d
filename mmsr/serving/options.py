"""What may be asked of recommendations, and what is done with histories that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from mmsr.config import Seen
from mmsr.errors import UserError, shown, unknown
from mmsr.numbers import is_whole
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.histories import FlatHistories

Unreadable = Literal["refused", "skipped"]
"""What is done with what a model cannot read."""
New = Literal["kept", "masked"]
"""Whether items without interactions in the training data are recommended."""


@dataclass(frozen=True)
class Options:
    """What is recommended.

    Raises
    ------
    UserError : a value is not allowed.
    """

    top: int = 10
    """Items per history; fewer where the catalogue has no more."""
    seen: Seen | None = None
    """Whether items of a history are recommended (`training.seen`); None: as the model's config has
    it, by which the model was chosen."""
    new: New = "kept"
    """Whether items are recommended that the model was not trained on."""
    unknown: Unreadable = "refused"
    """Items of a history that are not in the catalogue: the history is refused, or read without
    them."""
    empty: Unreadable = "refused"
    """Histories without any known item: refused, or left out of the answer."""

    def __post_init__(self) -> None:
        if not is_whole(self.top) or self.top < 1:
            raise UserError(f"top is {shown(self.top)}: give a whole number of at least 1")
        allowed = {"new": New, "unknown": Unreadable, "empty": Unreadable}
        if self.seen is not None:
            allowed["seen"] = Seen
        for name, kind in allowed.items():
            if (given := getattr(self, name)) not in get_args(kind):
                raise unknown(f"value of {name}", str(given), get_args(kind))


class GivenOptions(TypedDict, total=False):
    """`Options` but for `top`, as keyword arguments."""

    seen: Seen | None
    new: New
    unknown: Unreadable
    empty: Unreadable


@dataclass(frozen=True)
class Read:
    """Histories that can be recommended for, and what was left out of those that were given.

    Attributes
    ----------
    histories : those with at least one known item.
    rows : int64 [n], place of each among those that were given.
    unknown : occurrences of unknown items that were left out.
    empty : histories without any known item, which were left out.
    """

    histories: FlatHistories
    rows: NDArray[np.int64]
    unknown: int = 0
    empty: int = 0


def flattened(histories: Iterable[Sequence[str]]) -> tuple[list[str], NDArray[np.int64]]:
    """Item ids of all histories one after the other, and the length of each, int64 `[n]`.

    Parameters
    ----------
    histories : a sequence of item ids for each history, oldest first.

    Raises
    ------
    UserError : they are something else.
    """
    if isinstance(histories, str | bytes) or not isinstance(histories, Iterable):
        raise UserError(
            f"histories is {shown(histories)}: give a list of histories, each a list of item ids"
        )
    found: list[list[Any]] = []
    for place, history in enumerate(histories):
        if isinstance(history, str | bytes) or not isinstance(history, Iterable):
            raise UserError(
                f"history {place} is {shown(history)}: give a list of item ids, oldest first"
            )
        found.append(list(history))
    ids = list(chain.from_iterable(found))
    wrong = next((one for one in ids if not isinstance(one, str)), None)
    if wrong is not None or None in ids:
        raise UserError(f"item id {shown(wrong)} is no text: item ids are texts, such as '12'")
    return ids, np.array([len(one) for one in found], dtype=np.int64)


def ids_of_users(user_ids: Iterable[str]) -> list[str]:
    """Ids of users as a list.

    Parameters
    ----------
    user_ids : texts.

    Raises
    ------
    UserError : they are something else.
    """
    if isinstance(user_ids, str | bytes) or not isinstance(user_ids, Iterable):
        raise UserError(f"user_ids is {shown(user_ids)}: give a list of user ids")
    ids = list(user_ids)
    for one in ids:
        if not isinstance(one, str):
            raise UserError(f"user id {shown(one)} is no text: user ids are texts, such as '12'")
    return ids


def read_items(
    items: NDArray[np.int64],
    lengths: NDArray[np.int64],
    options: Options,
    ids: Sequence[Any],
    name_of: Callable[[int], str] = "history {}".format,
) -> Read:
    """Keep what can be read of histories, or refuse them, as the options say.

    Parameters
    ----------
    items : int64 [n_interactions], item indices of all histories one after the other; -1 for
        unknown items.
    lengths : int64 [n], how many of them each history has.
    options : what is refused, and what is skipped.
    ids : the item ids as given, for errors.
    name_of : what errors call a history, by its place.

    Raises
    ------
    UserError : something is refused.
    """
    known = items >= 0
    n_unknown = len(items) - int(known.sum())
    if n_unknown and options.unknown == "refused":
        first = int(np.flatnonzero(~known)[0])
        row = int(np.searchsorted(np.cumsum(lengths), first, side="right"))
        raise UserError(
            f"{name_of(row)} has the unknown item {shown(str(ids[first]))}: the catalogue of the "
            "model's data set does not have it; with `unknown` set to `skipped`, histories are "
            "read without such items"
        )
    owners = np.repeat(np.arange(len(lengths)), lengths)[known]
    lengths = np.bincount(owners, minlength=len(lengths)).astype(np.int64)
    rows = np.flatnonzero(lengths)
    n_empty = len(lengths) - len(rows)
    if n_empty and options.empty == "refused":
        row = int(np.flatnonzero(lengths == 0)[0])
        raise UserError(
            f"{name_of(row)} has no {'known ' if n_unknown else ''}item, and models read at least "
            "one; with `empty` set to `skipped`, such histories are left out"
        )
    histories = FlatHistories.of(items[known].astype(np.int32), lengths).select(rows)
    return Read(histories, rows, n_unknown, n_empty)


def read_histories(
    histories: Iterable[Sequence[str]], catalogue: Catalogue, options: Options
) -> Read:
    """Read histories of item ids; see `flattened` and `read_items`."""
    ids, lengths = flattened(histories)
    name_of = "the history".format if len(lengths) == 1 else "history {}".format
    return read_items(catalogue.find(ids), lengths, options, ids, name_of)


def read_users(
    found: NDArray[np.int64], users: FlatHistories, options: Options, ids: Sequence[Any]
) -> Read:
    """Keep the users that can be recommended for, or refuse them, as the options say.

    Parameters
    ----------
    found : int64 [n], indices of users; -1 for unknown ones.
    users : the histories of all users.
    options : `unknown` and `empty` say what is refused, and what is skipped.
    ids : the user ids as given, for errors.

    Raises
    ------
    UserError : something is refused.
    """
    known = np.flatnonzero(found >= 0)
    if len(known) < len(found) and options.unknown == "refused":
        first = int(np.flatnonzero(found < 0)[0])
        raise UserError(
            f"unknown user {shown(str(ids[first]))}: the model's data set does not have them; give "
            "a history instead, or set `unknown` to `skipped` to leave such users out"
        )
    rows = known[users.lengths()[found[known]] > 0]
    n_empty = len(known) - len(rows)
    if n_empty and options.empty == "refused":
        row = int(np.setdiff1d(known, rows)[0])
        raise UserError(
            f"user {shown(str(ids[row]))} has no history in development data; with `empty` set to "
            "`skipped`, such users are left out"
        )
    return Read(users.select(found[rows]), rows, len(found) - len(known), n_empty)
