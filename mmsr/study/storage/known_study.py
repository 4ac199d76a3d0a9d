"""Existing studies by name, for the commands that look at a study after its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mmsr import paths
from mmsr.config import Config
from mmsr.errors import UserError, unknown
from mmsr.inner_names import storage_of
from mmsr.study.storage import database
from mmsr.study.storage.attributes import INVALID
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import HOW_TO_START, StudyFolder, StudyRecord, study_names
from mmsr.study.storage.outside import screened
from mmsr.study.storage.overview import Overview, no_study, overview_of
from mmsr.study.storage.progress import ending_of
from mmsr.study.storage.trials import TrialRow, best, rows, rows_of
from mmsr.tracking import RunState, Tracker, Unshipped, default_uri
from mmsr.tracking.base import ERROR_TAG
from mmsr.tracking.databases import is_place, place_of, recalled
from mmsr.tracking.journal.file import JOURNAL, left_open
from mmsr.tracking.journal.shipment import unshipped
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.urls import Url

if TYPE_CHECKING:
    import optuna

    from mmsr.data import Dataset

STUDY = "study"
DIED = "the process that ran it ended without closing it"
"""Error of a run that was left open."""
SHIP_SECONDS = 30.0
"""Seconds that the end of a run waits for the tracking server while nothing arrives there."""


@dataclass(frozen=True)
class KnownStudy:
    """An existing study."""

    folder: StudyFolder
    study: optuna.Study
    definition: Definition
    storage: Url
    tracking: Url

    @property
    def name(self) -> str:
        """The study's name."""
        return self.folder.name

    @property
    def is_here(self) -> bool:
        """Whether the folder is this study's: it may be missing, or another's of the same name."""
        record = self.folder.read_record()
        return record is not None and record.uid == study_uid(self.study)

    @cached_property
    def overview(self) -> Overview:
        """How far the study is and how its trials rank, as it is when first asked."""
        return overview_of(self.storage, self.name, self.definition.objectives)

    def rows(self, numbers: Iterable[int]) -> list[TrialRow]:
        """Some of its trials, read without the others.

        Parameters
        ----------
        numbers : their numbers.
        """
        return rows_of(self.study, numbers, self.overview.ids)

    def reason_outside(self, number: int) -> str:
        """Why a trial of another client does not count, one of `overview.outside`.

        Parameters
        ----------
        number : its number.
        """
        trial = storage_of(self.study).get_trial(self.overview.ids[number])
        return str(screened(trial).user_attrs.get(INVALID))

    def best(self, trial: int | None = None, model: str | None = None) -> tuple[TrialRow, Config]:
        """The best finished trial by the first objective, or the one with a given number.

        Parameters
        ----------
        trial : number of the trial; None takes the best.
        model : only trials of this model, in a study of several; None takes all.

        Raises
        ------
        UserError : no trial has finished, or not the given one; the study has no such model.
        """

        def row_of(number: int) -> TrialRow:
            return self.rows([number])[0]

        objectives = self.definition.objectives
        if model is None:
            return best(self.overview.standings, objectives, row_of, self.name, trial)
        self.check_model(model)
        own = [row for row in rows(self.study) if row.model == model]
        return best(own, objectives, row_of, f"{self.name}, model {model}", trial)

    def check_model(self, model: str) -> None:
        """Raise UserError unless the study has several models, and this is one of them."""
        if not self.definition.models:
            only = self.definition.config.get("model.name", "several")
            raise UserError(f"--model {model}: the study has one model, {only}: leave it out")
        if model not in self.definition.models:
            raise unknown("model of the study", model, self.definition.models)

    def open_dataset(self) -> Dataset:
        """Open the data set that the study was made with.

        Raises
        ------
        UserError : the data set of this name has other contents now.
        """
        from mmsr.data import Dataset

        dataset = Dataset.open(self.definition.dataset)
        if dataset.content_hash != self.definition.dataset_hash:
            raise UserError(
                f"data set {dataset.name!r} is not the one that study {self.name!r} was made with "
                f"(content is {dataset.content_hash[:12]}, was {self.definition.dataset_hash[:12]})"
                ": import that one again"
            )
        return dataset

    def check_honest(self) -> None:
        """Raise UserError if the study's epochs were chosen on test."""
        if self.definition.test_selected:
            raise UserError(
                f"study {self.name!r} is TEST-SELECTED: its epochs were chosen on test, so it has "
                "no best config; run `mmsr reproduce` without --select-on test for one"
            )


def look_up(
    name: str, storage: str | Url | None = None, tracking: str | Url | None = None
) -> KnownStudy:
    """Open the existing study `name`.

    Parameters
    ----------
    name : the study's name.
    storage, tracking : URLs of its state and of its runs. By default those that it was run with;
        or, for the state, `$MMSR_STORAGE` if the study was run from another home or its password is
        not stored.

    Raises
    ------
    UserError : there is no such study, or its storage cannot be used.
    """
    folder = StudyFolder(name)
    record = folder.read_record()
    url = storage_url(name, record, storage)
    made = database.is_made(url)  # a database that is not there is not made to look into it
    study = database.load_study(database.open_storage(url), name) if made else None
    definition = database.read_definition(study) if study else None
    if study is None or definition is None:
        raise no_study(name, url)
    if storage is None and record is not None and record.uid != study_uid(study):
        raise UserError(
            f"{folder.path} belongs to another study {name!r} than the one that is in "
            f"{url} now: restore that storage, or remove the folder"
        )
    return KnownStudy(
        folder=folder,
        study=study,
        definition=definition,
        storage=url,
        tracking=tracking_url(tracking, record.tracking if record else None),
    )


def storage_url(name: str, record: StudyRecord | None, storage: str | Url | None = None) -> Url:
    """URL of the storage that an existing study is in.

    Parameters
    ----------
    name : name of the study.
    record : its record; None if it was not run from this `$MMSR_HOME`.
    storage : the URL that was given. By default it is the record's; or `$MMSR_STORAGE`, if there is
        no record or it is the same but for the password, which is not stored.

    Raises
    ------
    UserError : it is not known where the study is.
    """
    if storage is None and (named := database.named_storage()) is not None:
        place = Url.parse(named, "MMSR_STORAGE")
        storage = place if record is None or is_place(record.storage, place) else None
    if record is None and storage is None:
        hint = f"{HOW_TO_START}, or name its --storage"
        raise unknown("study", name, study_names(), hint=hint, where=paths.searched())
    kept = recalled(record.storage) if record and storage is None else None
    url = kept or Url.parse(storage or database.default_storage())
    if url.incomplete:
        raise UserError(
            f"study {name!r} is in {url}, whose password is not stored: give the whole URL with "
            "--storage or MMSR_STORAGE, or keep the password in PGPASSWORD or ~/.pgpass"
        )
    return url


def tracking_url(given: str | Url | None, recorded: str | None) -> Url:
    """Where the runs of a study are: as given, as recorded, or as this machine has it.

    Parameters
    ----------
    given : the URI that a user gave.
    recorded : the one that the study's record names.
    """
    if given or not recorded:
        return Url.parse(given or default_uri(), "tracking URI")
    there = recalled(recorded, "tracking URI")
    named = Url.parse(default_uri(), "tracking URI") if there.incomplete else there
    return named if named.shown == there.shown else there


def open_journal(
    known: KnownStudy, notice: Callable[[str], None] = lambda _: None
) -> JournalTracker:
    """The journal of a study that nobody is running, to record something more.

    Runs that a process left open are closed first: it is dead.

    Parameters
    ----------
    known : the study.
    notice : called with messages for the user.
    """
    from mmsr.tracking.mlflow import MlflowSink

    sink = MlflowSink(known.tracking, known.name, study_uid(known.study))
    tracker = JournalTracker(known.folder.path, sink, notice)
    for key in reversed(tracker.left_open):  # the study's own run was opened before those in it
        if key == STUDY:
            tracker.close_left(key, *ending_of(known.study))
        else:
            tracker.close_left(key, RunState.INTERRUPTED, DIED)
    return tracker


def unshipped_of(known: KnownStudy) -> Unshipped:
    """What the tracking server of a study does not have, as far as its folder tells."""
    return unshipped(known.folder.path, place_of(known.tracking))


def check_journal(known: KnownStudy) -> None:
    """Raise UserError if the journal of a study is not in this home, so nothing can be sent."""
    if not (known.folder.path / JOURNAL).exists():
        raise UserError(
            f"study {known.name!r} has no journal in {known.folder.path}: set MMSR_HOME to the "
            "home that it was run from, or restore that file"
        )


def ship(
    known: KnownStudy, notice: Callable[[str], None] = lambda _: None, *, always: bool = False
) -> Unshipped:
    """Ship what the journal of a study holds that nobody is running; returns what is left.

    Parameters
    ----------
    known, notice : as in `open_journal`.
    always : ask the server even if it has everything: one that has lost the runs gets all again.
    """
    left = unshipped_of(known)
    if left.can_be_sent or always or left_open(known.folder.path / JOURNAL):
        left = open_journal(known, notice).close(SHIP_SECONDS)
    return left


def close_study(tracker: Tracker, known: KnownStudy, tags: dict[str, str] | None = None) -> None:
    """Close the study's own run in the state that the study is in, however this command ended.

    Parameters
    ----------
    tracker : where the run is recorded.
    known : the study.
    tags : further tags of the run.
    """
    state, error = ending_of(known.study)
    tracker.close_run(STUDY, state, {**({ERROR_TAG: error} if error else {}), **(tags or {})})
