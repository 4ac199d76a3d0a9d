"""A cache of ranks: an interrupted or extended sweep computes only what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mmsr.errors import UserError
from mmsr.paths import shared_as_usual

Ranks = NDArray[np.int64]


class KeptRanks:
    """Cached ranks of one model on one part of the data.

    Parameters
    ----------
    folder : folder of the cache; created if it is missing.
    model : key of the model and everything else that its ranks depend on (see `model_key`).
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._model = folder, model

    def get(self, what: str, compute: Callable[[], Ranks], *, must_keep: bool = True) -> Ranks:
        """The cached ranks of `what`, computed first if they are missing.

        Parameters
        ----------
        what : what was done to the model's links, e.g. a mask.
        compute : computes the ranks, int64 [n].
        must_keep : False returns ranks that cannot be kept, too.

        Raises
        ------
        UserError : the folder cannot be written, and the ranks must be kept.
        """
        path = self._folder / f"{digest(f'{self._model} {what}', 24)}.safetensors"
        try:
            return load_file(path)["ranks"].astype(np.int64)
        except (OSError, SafetensorError, KeyError):
            ranks = compute()
        draft = path.with_suffix(".draft")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with shared_as_usual(draft):
                save_file({"ranks": ranks.astype(np.int32)}, draft)
            draft.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            if not must_keep:
                return ranks
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write {path}: {reason}; name another --output") from None
        return ranks


def model_key(weights: Path, settings: dict[str, object]) -> str:
    """A key for a model: a hash of its weights and of everything else that its ranks depend on.

    Parameters
    ----------
    weights : file of the weights.
    settings : everything else.
    """
    found = hashlib.sha256(weights.read_bytes())
    found.update(json.dumps(settings, sort_keys=True).encode())
    return found.hexdigest()[:16]


def digest(text: str, length: int = 8) -> str:
    """A short hash of a text.

    Parameters
    ----------
    text : the text.
    length : number of hexadecimal digits.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:length]
