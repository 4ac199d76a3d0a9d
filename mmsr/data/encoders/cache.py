"""Vectors on disk by the content that they were made of, so that none is made twice."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsr import paths
from mmsr.data.folders import cannot
from mmsr.errors import UserError

_AT_ONCE = 500
"""Keys in one query."""
_WAIT = 60.0
"""Seconds to wait for another process that writes."""


class VectorCache:
    """The vectors of one encoder, by SHA-256 of what they were made of.

    Each `add` is complete on disk or not there, whatever becomes of the process.

    Parameters
    ----------
    path : the file, an SQLite database; it is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot("write to", path.parent, error) from None
        with self._explained():
            self._database = sqlite3.connect(path, timeout=_WAIT)
            self._database.execute(
                "create table if not exists vectors (key blob primary key, vector blob) "
                "without rowid"
            )

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of some keys have a vector.

        Parameters
        ----------
        keys : SHA-256 of contents.

        Raises
        ------
        UserError : the file cannot be read.
        """
        return {key for key, _ in self._rows(keys, "key, null")}

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep vectors.

        Parameters
        ----------
        keys : SHA-256 of contents.
        vectors : float32 `[len(keys), width]`.

        Raises
        ------
        UserError : the file cannot be written.
        """
        blobs = (row.tobytes() for row in vectors.astype("<f4"))
        with self._explained(), self._database:
            self._database.executemany(
                "insert or ignore into vectors values (?, ?)", zip(keys, blobs, strict=True)
            )

    def get(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """The vectors of keys that are all known, float32 `[len(keys), width]`.

        Parameters
        ----------
        keys : SHA-256 of contents, each once.

        Raises
        ------
        UserError : the file cannot be read, or its vectors are not of one width.
        """
        place = {key: row for row, key in enumerate(keys)}
        vectors: NDArray[np.float32] | None = None
        for key, blob in self._rows(keys, "key, vector"):
            vector = np.frombuffer(blob, dtype="<f4")
            if vectors is None:
                vectors = np.empty((len(keys), len(vector)), dtype=np.float32)
            if len(vector) != vectors.shape[1]:
                raise self._damaged("its vectors differ in width")
            vectors[place[key]] = vector
        return np.empty((0, 1), dtype=np.float32) if vectors is None else vectors

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _rows(self, keys: Sequence[bytes], columns: str) -> Iterator[tuple[bytes, bytes]]:
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            with self._explained():
                query = f"select {columns} from vectors where key in ({marks})"
                found = self._database.execute(query, some).fetchall()
            yield from found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, a folder that cannot be written
            raise UserError(
                f"cannot use {self._path}: {error}; check the disk and who else writes there"
            ) from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> UserError:
        return UserError(
            f"{self._path} is damaged: {reason}; remove it, and its vectors are made anew"
        )


@contextmanager
def vector_cache(name: str, version: str) -> Iterator[VectorCache]:
    """Context with the cache of an encoder.

    Parameters
    ----------
    name : the encoder as the user names it, with its argument.
    version : see `mmsr.data.encoders.base.Encoder`.

    Raises
    ------
    UserError : it cannot be opened.
    """
    digest = hashlib.sha256(json.dumps([name, version]).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60]
    cache = VectorCache(paths.vectors_cache() / f"{readable}-{digest}.db")
    try:
        yield cache
    finally:
        cache.close()
