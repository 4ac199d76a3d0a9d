"""Arrays and tables that lie in memory while they are small, and in files where they are large."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from mmsr.data.importers.bounded.parts import Column, parts


@dataclass(frozen=True)
class Limits:
    """How much is held in memory at once.

    Attributes
    ----------
    block_bytes : text that is read at once; longer lines of JSON are still read as a whole.
    batch_rows : rows of a Parquet file or of a result that are read at once.
    memory_bytes : a table or an array above this lies in files.
    duckdb_memory : for sorting and for numbering ids, as DuckDB writes it.
    """

    block_bytes: int = 1 << 24
    batch_rows: int = 1 << 19
    memory_bytes: int = 1 << 27
    duckdb_memory: str = "1500MB"


LIMITS = Limits()


class Scratch:
    """Space for what an import needs on its way; its files go with their folder.

    Parameters
    ----------
    folder : an empty folder; without one, all is in memory.
    limits : how much is held in memory; None stands for `LIMITS`.
    """

    def __init__(self, folder: Path | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or LIMITS
        self._folder = folder
        self._n_files = 0

    def is_large(self, n_bytes: int) -> bool:
        """Whether something of this size lies in files."""
        return self._folder is not None and n_bytes > self.limits.memory_bytes

    def file(self, ending: str) -> Path:
        """Name of a new file."""
        if self._folder is None:
            raise RuntimeError("there is no folder for large tables")
        self._n_files += 1
        return self._folder / f"{self._n_files}{ending}"

    def filled(
        self, column: Column, convert: Callable[[pa.Array], pa.Array], dtype: DTypeLike
    ) -> NDArray[Any]:
        """Convert a column into one array, part by part.

        Parameters
        ----------
        column : in parts.
        convert : converts a part into numbers without nulls.
        dtype : type of the numbers.

        Raises
        ------
        pyarrow.ArrowInvalid : a part cannot be converted.
        """
        values = self.array(len(column), dtype)
        for start, part in parts(column):
            values[start : start + len(part)] = convert(part).to_numpy(zero_copy_only=False)
        return values

    def array(self, length: int, dtype: DTypeLike) -> NDArray[Any]:
        """Make an array, in a mapped file if it is large.

        Parameters
        ----------
        length : number of elements, whose values are arbitrary.
        dtype : their type.

        Raises
        ------
        OSError : there is no space for the file.
        """
        n_bytes = length * np.dtype(dtype).itemsize
        if not self.is_large(n_bytes):
            return np.empty(length, dtype)
        path = self.file(".raw")
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a mapped file that cannot grow ends the process
                os.posix_fallocate(file.fileno(), 0, n_bytes)
        return np.memmap(path, dtype, "w+" if not path.stat().st_size else "r+", shape=(length,))

    def arrays(
        self, batches: Iterable[pa.RecordBatch], dtypes: Mapping[str, DTypeLike]
    ) -> list[NDArray[Any]]:
        """Write columns to files as they come, and map these.

        Parameters
        ----------
        batches : hold the columns.
        dtypes : type of each column, by name.

        Raises
        ------
        OSError : there is no space for the files.
        """
        places = {name: self.file(".raw") for name in dtypes}
        files = {name: path.open("wb") for name, path in places.items()}
        length = 0
        try:
            for batch in batches:
                length += len(batch)
                for name, dtype in dtypes.items():
                    values = batch.column(name).to_numpy(zero_copy_only=False)
                    files[name].write(np.ascontiguousarray(values, dtype).data)
        finally:
            for file in files.values():
                file.close()
        if not length:
            return [np.empty(0, dtype) for dtype in dtypes.values()]
        return [np.memmap(places[name], dtype, "r+") for name, dtype in dtypes.items()]


MEMORY = Scratch()
"""Has all arrays in memory."""
