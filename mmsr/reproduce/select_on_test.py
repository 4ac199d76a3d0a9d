"""Epochs chosen on test, as the paper's authors chose them: TEST-SELECTED.

Such figures are too good: they are the best of many looks at the test part. They exist only to be
compared with published figures that were made in the same way. Training does not look: it keeps the
model of every epoch, and the driver lets all of them rank test when a run is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mmsr.config import METRICS
from mmsr.errors import UserError
from mmsr.reproduce.training import EPOCHS, epoch_of
from mmsr.study.results.held_out import Look, checkpoint_of, rank
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.lineage import drop_files
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from mmsr.data import Prefixes
    from mmsr.models.base import Recommender

_USERS, _EPOCHS = "users", "epochs"


def epoch_chooser(known: KnownStudy) -> Look:
    """What lets the models of all epochs of a run rank test, and keeps each metric's best epoch.

    Parameters
    ----------
    known : the study that trained the models.
    """

    def choose(row: TrialRow, model: Recommender, test: Prefixes) -> None:
        from mmsr.evaluation import ranking_metrics
        from mmsr.training.checkpoint import load_model

        if row.config is None:  # never so: every finished trial has a config
            return
        folder = checkpoint_of(known, row)
        best = dict.fromkeys(METRICS, -1.0)
        epochs: dict[str, int] = {}
        ranks: dict[str, NDArray[np.int32]] = {}
        for path in sorted(folder.glob(EPOCHS)):
            epoch = epoch_of(path)
            load_model(folder, path.name, model)
            found = rank(model, test, row.config)
            for name, value in ranking_metrics(found).items():
                if name in best and value > best[name]:
                    best[name], epochs[name] = value, epoch
                    ranks[name] = found.astype(np.int32)
        chosen = np.array([epochs[name] for name in METRICS], dtype=np.int32)
        arrays = {**ranks, _USERS: test.users, _EPOCHS: chosen}
        known.folder.write_bytes(_file(known.folder, row.number), save(arrays))

    return choose


def remove_epochs(known: KnownStudy, row: TrialRow) -> None:
    """Remove the models of a run's epochs, once they have ranked test.

    Parameters
    ----------
    known : the study that trained the models.
    row : the run.
    """
    drop_files(known.study, row.number, known.folder.ray, [EPOCHS])
    copies = known.folder.path / "models" / f"trial-{row.number:05d}"
    for path in copies.glob(EPOCHS):
        path.unlink(missing_ok=True)


def read_chosen(
    folder: StudyFolder, number: int
) -> tuple[dict[str, int], dict[str, NDArray[np.int64]], NDArray[np.int32]]:
    """The best epochs of a run and their ranks, by metric, and the targets' users.

    Parameters
    ----------
    folder : the study's folder.
    number : number of the run.

    Raises
    ------
    UserError : they cannot be read.
    """
    path = _file(folder, number)
    try:
        arrays = load_file(path)
        users, epochs = arrays[_USERS], arrays[_EPOCHS]
        best = dict(zip(METRICS, epochs.tolist(), strict=True))
        return best, {name: arrays[name].astype(np.int64) for name in METRICS}, users
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it") from None


def _file(folder: StudyFolder, number: int) -> Path:
    return folder.path / "tested" / f"selected-{number:05d}.safetensors"
