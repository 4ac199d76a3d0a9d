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
    model : names the model and all else that its ranks depend on (see `model_key`).
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._model = folder, model

    def get(self, what: str, compute: Callable[[], Ranks]) -> Ranks:
        """The ranks of `what`; computed where they are not known.

        Raises
        ------
        UserError : the folder cannot be written.
        """
        path = self._folder / f"{digest(f'{self._model} {what}', 24)}.safetensors"
        try:
            return load_file(path)["ranks"].astype(np.int64)
        except (OSError, SafetensorError, KeyError):
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


def model_key(weights: Path, settings: dict[str, object]) -> str:
    """A name for a model by the bytes of its weights and whatever else its ranks depend on."""
    found = hashlib.sha256(weights.read_bytes())
    found.update(json.dumps(settings, sort_keys=True).encode())
    return found.hexdigest()[:16]


def digest(text: str, length: int = 8) -> str:
    """A short name for what a text says."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
