"""Running a reproduction, row by row: files are written whenever a row is complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.pace import progress_line
from mmsr.reproduce.collect import Trials, failed_run, finished_run, make_results, trials_of
from mmsr.reproduce.kept import (
    beside_kept,
    check_writable,
    read_kept,
    runs_so_far,
    write_results,
    writing,
)
from mmsr.reproduce.models.seen_items import mask_seen, measure_lines
from mmsr.reproduce.request import Request, name_of
from mmsr.reproduce.results import Results, SeedFigures
from mmsr.reproduce.select_on_test import epoch_chooser, remove_epochs
from mmsr.reproduce.training import EPOCHS, REFIT
from mmsr.study.driver.exit_codes import FAILED, OK
from mmsr.study.driver.run import run_plan
from mmsr.study.planning.existing import check_existing
from mmsr.study.results.held_out import (
    Look,
    all_openings,
    checkpoint_of,
    is_ranked,
    note_opening,
    rank_on_test,
    read_record,
)
from mmsr.study.storage import database
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow, rows
from mmsr.study.views.ending import show_unfinished


def reproduce(
    request: Request, console: Console, output: Path | None = None, device: str = "auto"
) -> tuple[int, Results, tuple[Path, ...]]:
    """Train the missing runs; whenever a row is complete, rank test with it and write the files.

    Every call retries failed runs; test is opened again for these only.

    Parameters
    ----------
    request : the rows and seeds.
    console : where to show progress.
    output : folder of the files; None takes the study's folder.
    device : device on which the models rank test.

    Returns
    -------
    The exit code, the results so far, and the paths of their files.

    Raises
    ------
    UserError : the name belongs to another study, the study is being run, the files hold other
        results or cannot be written, or a run needs resources that the cluster lacks.
    """
    table = _Table(request, output or request.folder.path, device)
    left = request.without(table.runs).plan
    code = OK
    if left.trials:
        reporting = replace(
            request.reporting(),
            show_end=show_unfinished,
            name_of=lambda proposal: name_of(request, proposal.settings),
            ended=lambda study: table.add(left.as_known(study), running=True),
        )
        code = run_plan(left, reporting, retried=left.only)
    else:
        console.print(f"study {left.name}: nothing to do, the files have all runs", soft_wrap=True)
    if left.folder.read_record() is not None:
        study = check_existing(left, database.open_storage(left.storage))
        if study is not None:
            with progress_line(console, "test") as tell:
                table.add(left.as_known(study), progress=tell)
    written = table.write()
    return FAILED if code == OK and table.has_lost else code, *written


class _Table:
    """The table so far: the runs in its files, and those of the study that have ranked test."""

    def __init__(self, request: Request, folder: Path, device: str) -> None:
        self._request, self._folder, self._device = beside_kept(request, folder), folder, device
        self.runs, self._opened = runs_so_far(self._request, folder)
        check_writable(folder)
        self._failed: list[tuple[str, SeedFigures]] = []
        self._lost: dict[tuple[str, int], str] = {}

    @property
    def has_lost(self) -> bool:
        """Whether models of finished runs are missing whose results are in no file."""
        return any(key not in self.runs for key in self._lost)

    def add(
        self,
        known: KnownStudy,
        *,
        running: bool = False,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Rank test with the models of complete rows, and write the files if there is a new run.

        Parameters
        ----------
        known : the study.
        running : whether this process is running it, and holds its lock.
        progress : called with messages for the user.
        """
        trials = trials_of(self._request, rows(known.study))
        complete = [
            label
            for label in {label for label, _ in self._request.runs}
            if all(self._is_over(key, trials) for key in self._of_row(label))
        ]
        finished = {
            key: trial
            for key, trial in trials.items()
            if key not in self.runs and trial.state == "finished"
        }
        new = []
        for key, trial in finished.items():
            if key[0] not in complete or is_ranked(known.folder, trial.number):
                continue
            if (reason := self._missing(known, trial)) is None:
                new.append(trial)
            else:
                self._lost[key] = reason
        if new:
            rank_on_test(
                known,
                new,
                who="mmsr reproduce",
                why=f"study {known.name}: {plural(len(new), 'run')}",
                record=lambda opening: note_opening(known.folder, opening),
                device=self._device,
                look=self._look(known),
                then=measure_lines(known) if self._request.lacks_lines else None,
                weights=self._request.weights or REFIT,
                locked=running,
                progress=progress,
            )
        found = {}
        for key, trial in finished.items():
            if is_ranked(known.folder, trial.number):
                if self._request.test_selected:
                    remove_epochs(known, trial)
                found[key] = finished_run(self._request, known, trial)
        self.runs |= found
        openings = all_openings(read_record(known.folder).opened, known.study)
        self._opened = (*self._opened, *openings)
        self._failed = [
            (label, failed_run(self._request, trial))
            for (label, seed), trial in trials.items()
            if trial.state == "failed" and (label, seed) not in self.runs
        ] + [
            (key[0], failed_run(self._request, trials[key], reason))
            for key, reason in self._lost.items()
        ]
        if found and running:
            self.write()

    def write(self) -> tuple[Results, tuple[Path, ...]]:
        """Write the results so far; returns them, and the paths of their files.

        What another machine has written to the same files meanwhile is kept.
        """
        with writing(self._request, self._folder):
            self._request = beside_kept(self._request, self._folder)
            kept, opened = read_kept(self._request, self._folder)
            self.runs |= kept
            self._opened = (*self._opened, *opened)
            failed = [one for one in self._failed if (one[0], one[1].seed) not in self.runs]
            results = make_results(self._request, self.runs, failed, self._opened)
            return results, write_results(results, self.runs, self._folder)

    def _look(self, known: KnownStudy) -> Look | None:
        """What else is measured while test is open."""
        if self._request.test_selected:
            return epoch_chooser(known)
        return mask_seen(known) if self._request.seen_too else None

    def _missing(self, known: KnownStudy, trial: TrialRow) -> str | None:
        """What is missing of a run's models; None if nothing is."""
        try:
            folder = checkpoint_of(known, trial)
        except UserError as error:
            return str(error)
        weights = self._request.weights or REFIT
        needed = (weights, EPOCHS) if self._request.test_selected else (weights,)
        for pattern in needed:
            if not any(folder.glob(pattern)):
                return (
                    f"{folder / pattern} is missing: restore it, or start anew under a new --name"
                )
        return None

    def _of_row(self, label: str) -> list[tuple[str, int]]:
        return [key for key in self._request.runs if key[0] == label]

    def _is_over(self, key: tuple[str, int], trials: Trials) -> bool:
        if key in self.runs:
            return True
        return key in trials and trials[key].state in ("finished", "failed")
