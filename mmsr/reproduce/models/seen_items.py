"""Measured while test is open: ranks without items of the history, and the reference models.

The first model that looks at test also lets popularity, item-kNN and EASE rank it, which learn from
train + validation as the refits do. So their figures are from the same opening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mmsr.errors import UserError
from mmsr.models.reference.settings import LINES
from mmsr.reproduce.results import LineFigures
from mmsr.study.results.held_out import Look
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from mmsr.data import Prefixes
    from mmsr.models.base import Recommender

LINES_FILE = "references.json"
_LINES = TypeAdapter(tuple[LineFigures, ...])


def mask_seen(known: KnownStudy) -> Look:
    """A look at test: the model ranks it with the items of each history masked.

    Parameters
    ----------
    known : the study that trained the models; the ranks are written to its folder.
    """

    def look(row: TrialRow, model: Recommender, test: Prefixes) -> None:
        from mmsr.evaluation import evaluate

        if row.config is None:  # never so: every finished trial has a config
            return
        ranks = evaluate(model, test, max_history=row.config.graph.max_history, seen="masked")
        arrays = {"ranks": ranks.astype(np.int32)}
        known.folder.write_bytes(known.folder.path / _file(row.number), save(arrays))

    return look


def measure_lines(known: KnownStudy) -> Callable[[Prefixes], None]:
    """What the reference models do while test is open: they rank it, too, and are written down.

    Parameters
    ----------
    known : the study that trained the models; the figures are written to its folder.
    """

    def then(test: Prefixes) -> None:
        if not (known.folder.path / LINES_FILE).exists():
            found = _measured(known, test)
            known.folder.write(LINES_FILE, _LINES.dump_json(found, indent=1).decode())

    return then


def _measured(known: KnownStudy, test: Prefixes) -> tuple[LineFigures, ...]:
    from mmsr.evaluation.reference import measure, too_large

    dataset = known.open_dataset()
    data = (dataset.development(), test, dataset.n_items)
    found = []
    for label in LINES:
        reason = too_large(label, dataset.n_items)
        try:
            figures = (
                {}
                if reason
                else {seen: measure(label, *data, seen=seen) for seen in ("kept", "masked")}
            )
        except Exception as error:  # its memory or its equations fail: the models' ranks stay
            figures, reason = {}, str(error) or type(error).__name__
        found.append(LineFigures(label=label, **figures, left_out=reason or ""))
    return tuple(found)


def read_lines(folder: StudyFolder) -> tuple[LineFigures, ...]:
    """The reference models' figures on test; none before test was opened.

    Parameters
    ----------
    folder : folder of the study that trained the models.

    Raises
    ------
    UserError : they cannot be read.
    """
    path = folder.path / LINES_FILE
    try:
        return _LINES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError):
        raise UserError(f"{path} cannot be read: restore it") from None


def read_masked(folder: StudyFolder, number: int) -> NDArray[np.int64]:
    """The ranks of a trial's model with seen items masked: int64 [t], 1 is best.

    Parameters
    ----------
    folder : folder of the study that trained it.
    number : number of the trial.

    Raises
    ------
    UserError : they cannot be read.
    """
    path = folder.path / _file(number)
    try:
        ranks: NDArray[np.int64] = load_file(path)["ranks"].astype(np.int64)
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it") from None
    return ranks


def _file(number: int) -> str:
    return f"tested/masked-{number:05d}.safetensors"
