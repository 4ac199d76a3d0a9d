"""Columns that are read in parts, as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SPAN = 1 << 20
"""Elements of an array that are worked on at once."""


class Column(Protocol):
    """A column in parts; `pyarrow.ChunkedArray` is one."""

    @property
    def type(self) -> pa.DataType:
        """Type of every part."""

    @property
    def chunks(self) -> Iterable[pa.Array]:
        """The parts, from the first on each time that they are asked for."""

    def __len__(self) -> int: ...


def parts(column: Column) -> Iterator[tuple[int, pa.Array]]:
    """The parts of a column, each with the index of its first row."""
    start = 0
    for part in column.chunks:
        yield start, part
        start += len(part)


def first_row(column: Column, test: Callable[[pa.Array], pa.Array]) -> int:
    """Index of the first row that passes a test; -1 without one.

    Parameters
    ----------
    column : in parts.
    test : gives a boolean for each row of a part.
    """
    for start, part in parts(column):
        row: int = pc.index(test(part), True).as_py()
        if row >= 0:
            return start + row
    return -1


def value_at(column: Column, row: int) -> Any:
    """The value of a row, as a Python object."""
    for start, part in parts(column):
        if row < start + len(part):
            return part[row - start].as_py()
    raise IndexError(row)


def spans(length: int, size: int = SPAN) -> Iterator[slice]:
    """Slices of at most `size` elements that cover `length` elements."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def first_place(
    values: NDArray[Any], test: Callable[[NDArray[Any]], NDArray[np.bool_]]
) -> int | None:
    """Index of the first element that passes a test; None without one."""
    for span in spans(len(values)):
        passes = test(values[span])
        if passes.any():
            return int(span.start + passes.argmax())
    return None
