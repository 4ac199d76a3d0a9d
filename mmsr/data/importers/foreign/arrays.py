"""Vectors in NumPy files: a matrix, and the ids of its rows."""

from __future__ import annotations

import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmsr.data.folders import cannot
from mmsr.data.importers.foreign.base import COUNTED, PIECE, Foreign, hashed
from mmsr.data.progress import Advance
from mmsr.errors import UserError

_BYTES = 1 << 24
"""Bytes of vectors that are read at once."""
_DAMAGE = (
    *(ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError, tokenize.TokenError),
)
"""What numpy raises for files that are no arrays, beside OSError."""


@dataclass(frozen=True)
class Arrays(Foreign):
    """A matrix of vectors and its ids: `.npy` with a file of ids, or `.npz` with both.

    Attributes
    ----------
    path : `.npy` with a matrix `[n, width]`, which is mapped; or `.npz` with arrays `ids` and
        `vectors`.
    ids : text with one id a line, or `.npy` with `[n]` ids; None for `.npz`, and where the numbers
        of the rows are the ids.
    """

    path: Path
    ids: Path | None = None

    @property
    def shown(self) -> str:
        """The path, and that of the ids."""
        return ",".join(map(str, self._files))

    @property
    def label(self) -> str:
        """The file's name."""
        return self.path.name

    def check(self) -> None:
        """Check that there are a matrix of numbers and, one for each row, ids."""
        self._read()

    def column_names(self) -> list[str]:
        """The columns of features."""
        return ["item_id", "vector"]

    def recorded(self) -> str:
        """The whole paths of both files."""
        return ",".join(str(path.absolute()) for path in self._files)

    @property
    def size(self) -> int:
        """Size of the files in bytes."""
        return sum(path.stat().st_size for path in self._files)

    def fingerprint(self, advance: Advance) -> str:
        """SHA-256 over the files."""
        return hashed("arrays", self._files, advance)

    def pieces(self, wanted: Collection[str]) -> Iterator[pa.Table]:
        """Yield the vectors as lists of the matrix's type, so that values are checked as such."""
        ids, vectors = self._read()
        yield from matrix_pieces(ids, vectors)

    def place(self, row: int) -> tuple[str, str]:
        """Name the row, or the line of its id."""
        if self.ids is not None and not _is_array(self.ids):
            return f"{self.ids}: line {row + 1}", ""
        return f"{self.ids or self.path}: row {row + 1}", COUNTED

    @property
    def _files(self) -> list[Path]:
        return [self.path] if self.ids is None else [self.path, self.ids]

    def _read(self) -> tuple[pa.Array, NDArray[Any]]:
        if self.path.suffix.lower() == ".npz":
            given, vectors = _read_npz(self.path)
        else:
            given, vectors = None, _read_npy(self.path)
        check_matrix(vectors, str(self.path))
        if given is not None:
            ids = as_id_array(given, f"{self.path}: ids")
        elif self.ids is None:
            ids = pa.array(np.arange(len(vectors)))
        elif _is_array(self.ids):
            ids = as_id_array(_read_npy(self.ids), str(self.ids))
        else:
            ids = _read_lines(self.ids)
        check_length(ids, vectors, str(self.ids or self.path), str(self.path))
        return ids, vectors


def check_matrix(vectors: NDArray[Any], shown: str) -> None:
    """Check that an array is a matrix of real numbers.

    Parameters
    ----------
    vectors : the array.
    shown : its name, for errors.

    Raises
    ------
    UserError : it has another number of dimensions, or holds something else.
    """
    if vectors.ndim != 2:
        raise UserError(
            f"{shown} has {vectors.ndim} dimensions, expected 2: one row of numbers for each item"
        )
    if vectors.dtype.kind not in "fiu" or vectors.dtype.itemsize > 8:
        raise UserError(
            f"{shown} holds {vectors.dtype}: write numbers of float16, float32 or float64"
        )


def check_length(ids: pa.Array, vectors: NDArray[Any], ids_shown: str, shown: str) -> None:
    """Check that there are as many ids as vectors.

    Parameters
    ----------
    ids, vectors : of length n.
    ids_shown, shown : their names, for errors.

    Raises
    ------
    UserError : the numbers differ.
    """
    if len(ids) != len(vectors):
        raise UserError(
            f"{ids_shown} has {len(ids):,} ids for the {len(vectors):,} vectors of {shown}: give "
            "one id for each"
        )


def as_id_array(given: NDArray[Any], shown: str) -> pa.Array:
    """Ids of a NumPy array.

    Parameters
    ----------
    given : whole numbers or texts.
    shown : its name, for errors.

    Raises
    ------
    UserError : it is no `[n]`, or holds something else.
    """
    if given.ndim != 1:
        raise UserError(f"{shown} has {given.ndim} dimensions, expected 1: one id for each vector")
    if given.dtype.kind not in "iuUS":
        raise UserError(f"{shown} holds {given.dtype}: write ids as text or whole numbers")
    try:
        if given.dtype.kind == "S":
            given = np.char.decode(given, "utf-8")
        native = given if given.dtype.kind == "U" else given.astype(given.dtype.newbyteorder("="))
        return pa.array(native.tolist() if given.dtype.kind == "U" else native)
    except (UnicodeError, ValueError, pa.ArrowException):
        raise UserError(f"{shown} is not UTF-8 text: convert it") from None


def matrix_pieces(ids: pa.Array, vectors: NDArray[Any]) -> Iterator[pa.Table]:
    """Yield a table of item_id and vector, a few rows at a time.

    Parameters
    ----------
    ids : `[n]`.
    vectors : `[n, width]` of real numbers.
    """
    n, width = vectors.shape
    step = min(PIECE, max(1, _BYTES // max(1, width * vectors.dtype.itemsize)))
    for start in range(0, max(n, 1), step):
        block = np.ascontiguousarray(vectors[start : start + step])
        values = pa.array(block.astype(block.dtype.newbyteorder("="), copy=False).reshape(-1))
        offsets = pa.array(np.arange(len(block) + 1, dtype=np.int64) * width)
        lists = pa.LargeListArray.from_arrays(offsets, values)
        yield pa.table({"item_id": ids[start : start + step], "vector": lists})


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Context in which numpy reads a file, and errors say why it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's advice on files that Python 2 wrote
            yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        if error.errno is not None:
            raise cannot("read", path, error) from None
        raise UserError(f"{path} is no whole NumPy file ({error})") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        if "allow_pickle" in reason or "object" in reason.lower():
            reason = "it holds Python objects, which could run code: save numbers"
        raise UserError(f"{path} is no whole NumPy file of numbers or texts: {reason}") from None


def _read_npy(path: Path) -> NDArray[Any]:
    """Map an array; nothing is read until it is used."""
    with _explained(path):
        return np.lib.format.open_memmap(path, mode="r")


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with _explained(path):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of arrays")
        with np.load(path, allow_pickle=False) as arrays:
            return _members(path, arrays)


def _members(path: Path, arrays: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    names = arrays.files
    for name in ("ids", "vectors"):
        if name not in names:
            found = ", ".join(sorted(names)[:12]) or "none"
            raise UserError(
                f"{path} has no array {name!r}: save both, numpy.savez(FILE, ids=…, vectors=…)"
                f"; arrays: {found}"
            )
    return arrays["ids"], arrays["vectors"]


def _read_lines(path: Path) -> pa.Array:
    """One id a line; the last line may end or not."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise cannot("read", path, error) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: write one id a line") from None
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if text and "" in lines:
        raise UserError(f"{path}: line {lines.index('') + 1} is blank: write one id a line")
    return pa.array(lines if text else [], pa.large_string())
