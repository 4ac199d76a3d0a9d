"""What is compared: the best config of a study, one of its trials or models, or a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.report.intervals import BROKEN, ValidRanks, broken, valid_ranks
from mmsr.study.results.finalized import (
    ConfigFigures,
    FinalFolder,
    FinalResult,
    chosen_trial,
    read_final,
)
from mmsr.study.results.held_out import Ranked, read_ranked
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.progress import is_over
from mmsr.study.storage.trials import TrialRow, rows
from mmsr.study.views.energy import kwh_of

if TYPE_CHECKING:
    from mmsr.data import Prefixes


@dataclass(frozen=True)
class Contender:
    """One of the models that stand side by side."""

    name: str
    """As it was given."""
    origin: str
    """What it is, in words."""
    dataset: str
    dataset_hash: str
    protocol: str
    objective: str
    config: Config
    epoch: int | None
    """The epoch that validation chose."""
    valid: Mapping[str, float]
    """Validation metrics in [0, 1], without a part in their names."""
    ranks: ValidRanks | None
    targets: Prefixes | None
    """What its model ranked; None without ranks."""
    lacking: str
    """Why there are no ranks; empty if there are."""
    final: ConfigFigures | None
    """Test figures of its config, if its study was finalized with it."""
    kwh: float | None
    """Energy of its training; None where it was not measured."""
    study_kwh: float | None
    """Energy of all trials of its study that were measured."""
    tested: tuple[Ranked, ...]
    """The test ranks of its refits, as far as they are on this machine."""


def contender(
    name: str,
    storage: str | None = None,
    device: str = "auto",
    progress: Callable[[str], None] = lambda message: None,
) -> Contender:
    """The model that a name stands for.

    Parameters
    ----------
    name : a study; `STUDY:TRIAL` or `STUDY:MODEL`, one of its trials or models; or the folder of a
        checkpoint of `mmsr train`.
    storage : URL of the studies' state; None takes where each was run.
    device : device of the model that ranks validation.
    progress : called with messages for the user.

    Raises
    ------
    UserError : there is none, no trial has finished, or its epochs were chosen on test.
    """
    path = Path(name)
    if (path / "state.json").exists():
        return _of_folder(name, device, progress)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        raise UserError(
            f"{name!r} is a file: train it with `mmsr train --config {name} --checkpoint FOLDER` "
            "and name that folder, or name a study"
        )
    study, _, part = name.partition(":")
    known = look_up(study, storage)
    known.check_honest()
    row, config = _named(name, known, part)
    return _of_trial(name, known, row, config, device, progress)


def _named(name: str, known: KnownStudy, part: str) -> tuple[TrialRow, Config]:
    if not part:
        # Of the finalized trial, validation and test figures are of one config.
        row, config, _ = chosen_trial(known)
        return row, config
    try:
        return known.best(trial=int(part)) if part.isdecimal() else known.best(model=part)
    except UserError as error:
        told = re.sub("^--(trial|model) [^:]*: ", "", str(error))
        raise UserError(f"{name}: {told}") from None


def _of_trial(
    name: str,
    known: KnownStudy,
    row: TrialRow,
    config: Config,
    device: str,
    progress: Callable[[str], None],
) -> Contender:
    definition = known.definition
    # While a study runs, it has the machine to itself; one that is finalized is locked as well.
    running = known.folder.is_running() and not is_over(known.study)
    found = valid_ranks(known, [row], measure=not running, device=device, progress=progress)
    ranks = found.ranks.get(row.number)
    result = read_final(known.folder.finalized).result
    final = result.of_trial(row.number) if result is not None else None
    model = f", model {row.model}" if row.model else ""
    return Contender(
        name=name,
        origin=f"trial {row.number} of study {known.name}{model}",
        dataset=definition.dataset,
        dataset_hash=definition.dataset_hash,
        protocol=definition.protocol,
        objective=definition.objective,
        config=config,
        epoch=row.best_epoch,
        valid={
            key.removeprefix("valid/"): value
            for key, value in row.metrics.items()
            if key.startswith("valid/")
        },
        ranks=ranks,
        targets=known.open_dataset().valid() if ranks is not None else None,
        lacking=found.lacking.get(row.number, ""),
        final=final,
        kwh=row.energy.kwh,
        study_kwh=kwh_of(rows(known.study)),
        tested=_tested(known, result, final),
    )


def _tested(
    known: KnownStudy, result: FinalResult | None, final: ConfigFigures | None
) -> tuple[Ranked, ...]:
    if result is None or final is None:
        return ()
    runs = [one.trial for one in final.seeds if one.error is None and one.trial is not None]
    try:
        return tuple(read_ranked(FinalFolder(known.folder), number) for number in runs)
    except UserError:  # they are on another machine; the figures are in the record all the same
        return ()


def _of_folder(name: str, device: str, progress: Callable[[str], None]) -> Contender:
    from mmsr.evaluation import ranked_apart, ranking_metrics
    from mmsr.study.results.held_out import rank
    from mmsr.study.results.measured_model import find_subject
    from mmsr.training import read_checkpoint_state

    subject = find_subject(name)
    state = read_checkpoint_state(Path(name))
    progress(f"ranking validation: {name}")
    valid = subject.dataset.valid()
    ranks, lacking = None, ""
    try:
        ranks = rank(subject.load(device, restored=False), valid, subject.config)
    except BROKEN as error:
        lacking = broken(error)
    return Contender(
        name=name,
        origin=subject.origin,
        dataset=subject.dataset.name,
        dataset_hash=subject.dataset.content_hash,
        protocol=subject.dataset.protocol,
        objective=subject.config.training.select_by,
        config=subject.config,
        epoch=state.best_epoch,
        valid={}
        if ranks is None
        else ranking_metrics(ranks) | ranked_apart(ranks, valid, subject.dataset),
        ranks=None if ranks is None else ValidRanks(ranks, valid.users),
        targets=None if ranks is None else valid,
        lacking=lacking,
        final=None,
        kwh=None,
        study_kwh=None,
        tested=(),
    )
