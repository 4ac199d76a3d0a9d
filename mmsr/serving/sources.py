"""Where a recommender comes from: a study, a checkpoint, or an exported model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError, reason_of, shown
from mmsr.models.base import Recommender as Model
from mmsr.serving.catalogue import Catalogue, Users
from mmsr.serving.exported.read import holds_model, read_model
from mmsr.serving.facts import Facts, Tested
from mmsr.serving.recommender import Recommender
from mmsr.study.results.finalized import ConfigFigures, finals_of, read_final
from mmsr.study.results.held_out import checkpoint_of
from mmsr.study.results.measured_model import trained_on
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.trials import rows
from mmsr.training import (
    CheckpointState,
    choose_device,
    holds_checkpoint,
    load_best_model,
    read_checkpoint,
)


@dataclass(frozen=True)
class Folder:
    """A kind of folder that a recommender can be read from.

    Attributes
    ----------
    holds : whether a path is that of a folder of this kind.
    read : makes a recommender of a folder, on the device that is named.
    """

    holds: Callable[[Path], bool]
    read: Callable[[Path, str], Recommender]


def load(
    source: str | Path,
    *,
    trial: int | None = None,
    refit: bool | None = None,
    seed: int | None = None,
    model: str | None = None,
    storage: str | None = None,
    device: str = "auto",
) -> Recommender:
    """Load a trained model, to recommend with; see `mmsr.load`."""
    choose_device(device)
    path = Path(source)
    try:
        kind = next((kind for kind in FOLDERS if kind.holds(path)), None)
        is_config = path.suffix in (".yaml", ".yml") and path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # e.g. too long, a loop of links, a NUL
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{shown(str(source))} cannot be read: {reason}") from None
    if kind is not None:
        given = {"trial": trial, "refit": refit, "seed": seed, "model": model}
        for option, value in given.items():
            if value is not None:
                raise UserError(f"{option} is for studies, and {shown(str(source))} is a folder")
        return kind.read(path, device)
    if is_config:
        raise UserError(
            f"{shown(str(source))} is a config, and has no weights: train it with `mmsr train "
            "--config FILE --checkpoint FOLDER`, and name that folder"
        )
    if len(path.parts) != 1:
        raise UserError(
            f"{shown(str(source))} holds no model: name a study, a checkpoint of `mmsr train`, or "
            "an exported model"
        )
    known = look_up(str(source), storage)
    try:
        return of_study(known, trial=trial, refit=refit, seed=seed, model=model, device=device)
    except (UserError, LookupError, OSError):
        look_up(str(source), storage)  # says so where it has been removed or renamed meanwhile
        raise


def of_study(
    known: KnownStudy,
    *,
    trial: int | None = None,
    refit: bool | None = None,
    seed: int | None = None,
    model: str | None = None,
    device: str = "auto",
) -> Recommender:
    """The recommender of a study; the parameters are those of `mmsr.load`."""
    known.check_honest()
    if model is not None:
        known.check_model(model)
    wanted = refit if refit is not None else trial is None or seed is not None
    if seed is not None and refit is False:
        raise UserError(f"seed {seed} is that of a refit: leave it out, or take a refit")
    finalized = _finalized(known, trial, model) if wanted else None
    if finalized is not None:
        return _of_refit(known, finalized, seed, device)
    if refit or seed is not None:
        of = "" if trial is None else f" of trial {trial}"
        of += "" if model is None else f" of model {model}"
        raise UserError(
            f"study {known.name!r} has no refit{of}: "
            f"make it with `mmsr study finalize {known.name}`, or take the trial's own model"
        )
    row, config = known.best(trial, model)
    which = "best trial" if trial is None else "trial"
    if model is not None and trial is None:
        which = f"best trial of model {model},"
    origin = f"{which} {row.number} of study {known.name}, trained on the training part"
    facts = {"study": known.name, "trial": row.number, "seed": config.seed}
    return of_checkpoint(checkpoint_of(known, row), device, origin, facts)


def of_checkpoint(
    folder: Path,
    device: str = "auto",
    origin: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Recommender:
    """The recommender of a checkpoint, with the weights of its best epoch.

    Parameters
    ----------
    folder : folder of the checkpoint.
    device : as in `mmsr.load`.
    origin : where the model comes from, in words; None names the folder.
    facts : what the checkpoint does not know of `Facts`.

    Raises
    ------
    UserError : the checkpoint is damaged, or its data set has other contents now.
    """

    def read(state: CheckpointState) -> tuple[Config, Dataset, Model]:
        config, dataset = trained_on(folder, state)
        return config, dataset, load_best_model(folder, config, dataset)

    state, (config, dataset, model) = read_checkpoint(folder, read)
    part = "train + validation" if state.part == "development" else "the training part"
    _, items = dataset.interactions(state.part)
    counts = np.bincount(items, minlength=dataset.n_items)
    return Recommender(
        model,
        config,
        Catalogue.of(dataset, counts),
        origin=origin or f"epoch {state.best_epoch} of checkpoint {folder}, trained on {part}",
        users=Users.of(dataset),
        facts=Facts.of(state, dataset, {"seed": config.seed, **(facts or {})}),
        device=device,
    )


def _finalized(known: KnownStudy, trial: int | None, model: str | None) -> ConfigFigures | None:
    """The finalized config that is asked for; None if it was not finalized."""
    result = read_final(known.folder.finalized).result
    if result is None:
        return None
    found = result.configs if trial is None else filter(None, [result.of_trial(trial)])
    return next((one for one in found if model in (None, one.config["model"]["name"])), None)


def _of_refit(
    known: KnownStudy, figures: ConfigFigures, seed: int | None, device: str
) -> Recommender:
    finished = {one.seed: one for one in figures.seeds if one.error is None}
    if seed is not None and seed not in finished:
        raise UserError(
            f"seed {seed}: trial {figures.trial} of study {known.name!r} has no refit with it; "
            f"seeds: {', '.join(map(str, finished)) or 'none'}"
        )
    finals = finals_of(known)
    chosen = next(iter(finished.values()), None) if seed is None else finished[seed]
    if finals is None or chosen is None or chosen.trial is None:
        raise UserError(
            f"the refits of study {known.name!r} are not in its storage: take the trial's own model"
            f" (trial {figures.trial})"
        )
    row = next(row for row in rows(finals.study) if row.number == chosen.trial)
    origin = (
        f"refit of trial {figures.trial} of study {known.name} on train + validation, with seed "
        f"{chosen.seed}, {_among(len(finished))}"
    )
    facts = {
        "study": known.name,
        "trial": figures.trial,
        "seed": chosen.seed,
        "validation": figures.validation,
        "test": Tested.of(figures),
    }
    return of_checkpoint(checkpoint_of(finals, row), device, origin, facts)


FOLDERS: tuple[Folder, ...] = (
    Folder(holds_model, read_model),
    Folder(holds_checkpoint, of_checkpoint),
)
"""Folders that `load` reads; the first kind that a folder is of is read."""


def _among(refits: int) -> str:
    return "the only refit" if refits == 1 else f"one of {refits} refits"
