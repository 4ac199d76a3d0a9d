"""A prepared data set, as trials get it: memory-mapped development data and features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data import catalog
from mmsr.data.closed import refuse_held_out
from mmsr.data.manifest import Manifest
from mmsr.data.mapped import mapped_prefixes
from mmsr.data.splits import (
    Prefixes,
    alternating,
    items_before,
    targets_between,
)
from mmsr.data.storage import column, features_hash, read_arrow
from mmsr.errors import UserError, unknown

Part = Literal["train", "development"]
"""What a model is trained on: training targets, or these and validation's."""


@dataclass(frozen=True)
class FeatureTable:
    """The feature vectors of one modality; an item may have none.

    Attributes
    ----------
    items : int64 [n_have], indices of the items that have a vector, ascending.
    vectors : float32 [n_have, width], read-only view of the mapped file.
    """

    items: NDArray[np.int64]
    vectors: NDArray[np.float32]


class Ids(Sequence[str]):
    """Original ids by index, read from the mapped file when they are used."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(self._array[index].to_pylist())
        return str(self._array[int(index)].as_py())


class Dataset:
    """Development data (train + validation) of a prepared data set, and its features.

    Nothing is read before it is used; arrays are read-only views of mapped files. It knows nothing
    of the test part, which lies in another folder: see `mmsr.data.held_out`.

    Parameters
    ----------
    path : folder of the prepared data set; `Dataset.open` finds it by name.

    Raises
    ------
    UserError : the folder is of test parts, or holds no data set.
    """

    def __init__(self, path: Path) -> None:
        refuse_held_out(path)
        self.path = path
        self.manifest = Manifest.read(path)

    @classmethod
    def open(cls, name: str) -> Dataset:
        """Open a data set under `$MMSR_HOME`.

        Parameters
        ----------
        name : name of the data set.

        Raises
        ------
        UserError : there is none of this name, it is damaged, or an earlier version's test part
            cannot be moved out of its folder.
        """
        return cls(catalog.find(name))

    def __reduce__(self) -> tuple[type[Dataset], tuple[Path]]:
        return Dataset, (self.path,)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.n_users} users, {self.n_items} items)"

    @property
    def name(self) -> str:
        """Name under `$MMSR_HOME/datasets`."""
        return self.path.name

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.manifest.counts.users

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.manifest.counts.items

    @property
    def content_hash(self) -> str:
        """SHA-256 over all data, the split included."""
        return self.manifest.content_hash

    @property
    def protocol(self) -> str:
        """How the histories are split."""
        return self.manifest.protocol

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have features, sorted."""
        return tuple(sorted(self.manifest.modalities))

    @cached_property
    def item_table(self) -> pa.Table:
        """Item ids and the metadata columns that were imported, by item index."""
        return self._read("items.arrow", self.n_items, "item_id")

    @cached_property
    def user_table(self) -> pa.Table:
        """User ids, by user index."""
        return self._read("users.arrow", self.n_users, "user_id")

    @cached_property
    def item_ids(self) -> Ids:
        """Original id by item index."""
        return Ids(column(self.item_table, "item_id"))

    @cached_property
    def user_ids(self) -> Ids:
        """Original id by user index."""
        return Ids(column(self.user_table, "user_id"))

    def features(self, modality: str) -> FeatureTable:
        """Feature vectors of one modality.

        Parameters
        ----------
        modality : its name, e.g. ``"image"``.

        Raises
        ------
        UserError : the data set has no such modality, or its file is not what the manifest says.
        """
        if modality not in self.modalities:
            raise unknown(f"modality of data set {self.name!r}", modality, self.modalities)
        covered = self.manifest.modalities[modality]
        table = self._read(f"features/{modality}.arrow", covered.items, "item", "vector")
        items = column(table, "item").to_numpy().astype(np.int64)
        vectors = column(table, "vector").flatten().to_numpy().reshape(len(items), -1)
        if vectors.shape[1] != covered.width:
            raise self._other_than_stated(f"features/{modality}.arrow")
        return FeatureTable(items, vectors)

    def features_hash(self, modality: str) -> str:
        """Hash of a modality's vectors, as the manifest has it or, if it is older, computed.

        Parameters
        ----------
        modality : as for `features`, whose errors it raises, too.
        """
        table = self.features(modality)
        known = self.manifest.modalities[modality].features_hash
        return known or features_hash(table.items, table.vectors)

    def train(self) -> Prefixes:
        """Examples whose targets are training items."""
        return self._prefixes("train")

    def valid(self) -> Prefixes:
        """Examples whose targets are validation items."""
        return self._prefixes("valid")

    def development(self) -> Prefixes:
        """Examples of `train` and `valid` together."""
        return self._prefixes("development")

    def interactions(self, part: Part) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All interactions of a part, first items of histories included.

        Parameters
        ----------
        part : `train`, or `development`: train and validation together.

        Returns
        -------
        User and item of each, both int64 `[n]`, user by user, in the order of time.
        """
        items, _ = flat(self.table)
        n_left = self._n_valid if part == "train" else np.zeros_like(self._n_valid)
        n_kept = self._lengths - n_left
        users = np.repeat(np.arange(self.n_users), n_kept)
        return users, items[alternating(n_kept, n_left)].astype(np.int64)

    @cached_property
    def in_training(self) -> NDArray[np.bool_]:
        """Which items occur in the training part, bool `[n_items]`; first items count."""
        items, offsets = flat(self.table)
        return items_before(items, offsets, self._lengths - self._n_valid, self.n_items)

    def _prefixes(self, part: str) -> Prefixes:
        """Examples of a part, mapped from the cache, so that all processes of a node share them."""
        items, offsets = flat(self.table)

        def make() -> Prefixes:
            bound = self._lengths - self._n_valid
            first = bound if part == "valid" else np.zeros_like(bound)
            last = bound if part == "train" else self._lengths
            return targets_between(self.protocol, items, offsets, first, last)

        return mapped_prefixes(items, f"{self.content_hash[:32]}-{part}", make)

    @cached_property
    def table(self) -> pa.Table:
        """Development data, a row for each user: see `flat` and `moments_of`."""
        return self._read(self.manifest.development_file, self.n_users, "items", "n_valid")

    def _read(self, file: str, n_rows: int, *names: str) -> pa.Table:
        """Map a file of the data set, which has the rows and columns that the manifest states."""
        table = read_arrow(self.path / file)
        if table.num_rows != n_rows or not set(names) <= set(table.column_names):
            raise self._other_than_stated(file)
        return table

    def _other_than_stated(self, file: str) -> UserError:
        return UserError(
            f"{self.path / file} is not what the manifest states: import {self.name!r} again with "
            "--overwrite"
        )

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        _, offsets = flat(self.table)
        return offsets[1:] - offsets[:-1]

    @cached_property
    def _n_valid(self) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = column(self.table, "n_valid").to_numpy().astype(np.int64)
        return counts


def flat(table: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The histories of a table, one after the other.

    Parameters
    ----------
    table : has them in the column `items`.

    Returns
    -------
    items : int32 [n_interactions], a view.
    offsets : int64 [n_users + 1], where each history starts and ends, a view.
    """
    histories = column(table, "items")
    return histories.values.to_numpy(), histories.offsets.to_numpy()
