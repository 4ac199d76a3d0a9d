"""Ranks that were computed once: a sweep that was cut off, or asks for more, takes them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mmsr.errors import UserError

Ranks = NDArray[np.int64]


class KeptRanks:
    """Ranks of one model on one part of the data, by what was done to its links.

    Parameters
    ----------
    folder : where they are kept; it is made where it is missing.
    weights : file of the model's weights.
    settings : whatever else the ranks depend on.
    """

    def __init__(self, folder: Path, weights: Path, settings: dict[str, object]) -> None:
        self._folder = folder
        digest = hashlib.sha256(weights.read_bytes())
        digest.update(json.dumps(settings, sort_keys=True).encode())
        self._model = digest.hexdigest()[:16]

    def get(self, what: str, compute: Callable[[], Ranks]) -> Ranks:
        """The ranks of `what`; computed where they are not known.

        Raises
        ------
        UserError : the folder cannot be written.
        """
        digest = hashlib.sha256(f"{self._model} {what}".encode()).hexdigest()[:24]
        path = self._folder / f"{digest}.safetensors"
        try:
            return load_file(path)["ranks"].astype(np.int64)
        except (FileNotFoundError, SafetensorError, KeyError):
            ranks = compute()
        draft = path.with_suffix(".draft")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file({"ranks": ranks.astype(np.int32)}, draft)
            draft.replace(path)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write {path}: {reason}; name another --output") from None
        return ranks


def digest(text: str) -> str:
    """A short name for what a text says."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
