"""The honest test: models that were chosen on validation rank the test targets, once, on record.

A trial's model is the one of its best validation epoch. Each model ranks test once, and its ranks
are stored with the study, so asking again opens nothing. Test is opened again only for new trials.

Each opening is recorded in the study's folder and in its storage. So a driver on another machine,
whose folder has neither record nor ranks, still knows of it. If it ranks the models again, that
counts as another opening. The data set has a record of its own: see `mmsr.data.held_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mmsr.config import Config
from mmsr.data.closed import refuse_in_trial
from mmsr.errors import UserError
from mmsr.provenance import now
from mmsr.remote import RemotePath
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.lineage import newest_checkpoint
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    import optuna

    from mmsr.data import Prefixes
    from mmsr.models.base import Recommender

RECORD_FILE = "tested.json"
_OPENED = "test_opened"


class Opening(BaseModel):
    """One opening of test."""

    model_config = ConfigDict(frozen=True)

    at: str
    trials: tuple[int, ...]
    """Numbers of the trials whose models were to rank test."""


class Openings(BaseModel):
    """`tested.json`: every opening of test for a study."""

    model_config = ConfigDict(frozen=True)

    opened: tuple[Opening, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """The ranks that a trial's model gives the test targets."""

    ranks: NDArray[np.int64]
    """int64 [t], 1 is best."""
    users: NDArray[np.int32]
    """int32 [t], user of each target."""


class Look(Protocol):
    """Measures something else while test is open."""

    def __call__(self, row: TrialRow, model: Recommender, test: Prefixes) -> None:
        """Measure one model, right after it has ranked test.

        Parameters
        ----------
        row : its trial.
        model : the model, on its device.
        test : the opened test prefixes.
        """


def rank_on_test(
    known: KnownStudy,
    trials: Sequence[TrialRow],
    *,
    who: str,
    why: str,
    record: Callable[[Opening], None],
    device: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
    look: Look | None = None,
    then: Callable[[Prefixes], None] | None = None,
    weights: str = "best.safetensors",
    locked: bool = False,
) -> bool:
    """Let the trials' models rank test, except those that have done so before.

    Parameters
    ----------
    known : the study that trained the models.
    trials : the trials whose models are to rank test.
    who, why : the command, and what it opens test for, as the data set's record states them.
    record : called with the opening once the data set's record has it and before test is read, to
        record it in a folder too.
    device : device of the models.
    progress : called with messages for the user.
    look : called for each model after it has ranked test.
    then : called with test when the ranks of all models are stored.
    weights : file of the models' weights in the checkpoints.
    locked : whether this process holds the right to run the study already.

    Returns
    -------
    Whether test was opened.

    Raises
    ------
    UserError : the data set has other contents, a checkpoint is missing, the study is being run,
        the opening cannot be recorded, or this is a trial's process.
    """
    refuse_in_trial()
    with nullcontext() if locked else known.folder.locked():
        new = [row for row in trials if not is_ranked(known.folder, row.number)]
        if not new:
            return False
        from mmsr.data.held_out import check_test, open_test
        from mmsr.training import load_best_model

        dataset = known.open_dataset()
        check_test(dataset)
        checkpoints = [(row, checkpoint_of(known, row)) for row in new]

        def recorded() -> None:
            opening = Opening(at=now(), trials=tuple(row.number for row in new))
            record(opening)
            stored = [*known.study.user_attrs.get(_OPENED, ()), opening.model_dump(mode="json")]
            known.study.set_user_attr(_OPENED, stored)

        test = open_test(dataset, who=who, why=why, recorded=recorded)
        for place, (row, folder) in enumerate(checkpoints, start=1):
            progress(f"test: model {place} of {len(new)}")
            if row.config is None:  # never so: every finished trial has a config
                continue
            model = load_best_model(folder, row.config, dataset, weights)
            ranked = Ranked(rank(model, test, row.config, device), test.users)
            if look is not None:
                look(row, model, test)
            arrays = {"ranks": ranked.ranks.astype(np.int32), "users": ranked.users}
            known.folder.write_bytes(_file(known.folder, row.number), save(arrays))
        if then is not None:
            then(test)
        return True


def rank(
    model: Recommender, prefixes: Prefixes, config: Config, device: str | None = None
) -> NDArray[np.int64]:
    """Rank the targets of prefixes with the config's settings.

    Parameters
    ----------
    model : the model.
    prefixes : the prefixes, n of them.
    config : the config that the model was trained with.
    device : device to move the model to; None leaves it where it is.

    Returns
    -------
    int64 [n], 1 is best.
    """
    from mmsr.evaluation import evaluate
    from mmsr.training import choose_device

    return evaluate(
        model if device is None else model.to(choose_device(device)),
        prefixes,
        max_history=config.graph.max_history,
        seen=config.training.seen,
    )


def note_opening(folder: StudyFolder, opening: Opening) -> None:
    """Add an opening to a study's `tested.json`.

    Parameters
    ----------
    folder : the study's folder.
    opening : the opening.
    """
    opened = Openings(opened=(*read_record(folder).opened, opening))
    folder.write(RECORD_FILE, opened.model_dump_json(indent=1))


def read_record(folder: StudyFolder) -> Openings:
    """When test was opened for a study; an empty record if never.

    Parameters
    ----------
    folder : the study's folder.

    Raises
    ------
    UserError : the file is damaged.
    """
    path = folder.path / RECORD_FILE
    try:
        return Openings.model_validate_json(path.read_text())
    except FileNotFoundError:
        return Openings()
    except (OSError, ValidationError):
        raise UserError(
            f"{path} cannot be read, so it is not known whether test was opened: restore the file"
        ) from None


def all_openings(noted: Sequence[Opening], study: optuna.Study) -> tuple[Opening, ...]:
    """The openings recorded in a folder, and those that only the study's storage has; by time.

    Parameters
    ----------
    noted : the openings recorded in the folder.
    study : the Optuna study.
    """
    stored = [Opening.model_validate(one) for one in study.user_attrs.get(_OPENED, ())]
    elsewhere = [one for one in stored if one not in noted]
    return tuple(sorted((*noted, *elsewhere), key=lambda one: one.at))


def is_ranked(folder: StudyFolder, number: int) -> bool:
    """Whether the folder has the ranks of a trial's model.

    Parameters
    ----------
    folder : the study's folder.
    number : number of the trial.
    """
    return _file(folder, number).exists()


def read_ranked(folder: StudyFolder, number: int) -> Ranked:
    """The stored ranks of a trial's model.

    Parameters
    ----------
    folder : the study's folder.
    number : number of the trial.

    Raises
    ------
    UserError : they cannot be read.
    """
    path = _file(folder, number)
    try:
        arrays = load_file(path)
        return Ranked(arrays["ranks"].astype(np.int64), arrays["users"])
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): remove it to rank again") from None


def _file(folder: StudyFolder, number: int) -> Path:
    return folder.path / "tested" / f"trial-{number:05d}.safetensors"


def checkpoint_of(known: KnownStudy, row: TrialRow) -> Path:
    """Folder with the best model of a finished trial.

    Parameters
    ----------
    known : the study.
    row : the trial.

    Raises
    ------
    UserError : the checkpoint is missing.
    """
    left = newest_checkpoint(known.study, row.number, known.folder.ray, to_resume=False)
    if left is None:
        raise UserError(
            f"the checkpoint of trial {row.number} is missing from {known.folder.ray}: restore it, "
            "or start anew under another --name"
        )
    if isinstance(left.folder, RemotePath):
        return left.folder.download(known.folder.path / "models" / f"trial-{row.number:05d}")
    return left.folder
