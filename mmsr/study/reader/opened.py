"""`OpenedStudy`: an existing study, to read its results from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr.errors import StorageLost, UserError, one_line
from mmsr.study.reader.best import BestTrial
from mmsr.study.reader.facts import as_html, as_text
from mmsr.study.reader.frames import (
    curves_frame,
    finals_frame,
    leaderboard_frame,
    trials_frame,
)
from mmsr.study.results.export import check_new, export_best, write_config
from mmsr.study.results.finalized import FinalRecord, read_final
from mmsr.study.results.pareto import pareto_front
from mmsr.study.results.references import cached_lines
from mmsr.study.storage import database
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import ranked, rows
from mmsr.study.views.tables import summary
from mmsr.tracking.journal.file import JOURNAL

if TYPE_CHECKING:
    import pandas as pd


class OpenedStudy:
    """A finished, stopped or running study, to be read; `mmsr.open_study` finds it by name.

    Nothing is written to the study. Every method reads it anew, so a running one is shown as it is.

    Parameters
    ----------
    known : the study.

    Examples
    --------
    >>> import mmsr
    >>> study = mmsr.open_study("toys")  # doctest: +SKIP
    >>> study.leaderboard()  # doctest: +SKIP
    >>> study.best().config  # doctest: +SKIP
    """

    def __init__(self, known: KnownStudy) -> None:
        self._opened = known

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._opened.name

    @property
    def dataset(self) -> str:
        """Name of its data set."""
        return self._opened.definition.dataset

    @property
    def objectives(self) -> tuple[str, ...]:
        """Its objectives; the first ranks the trials."""
        return tuple(self._opened.definition.objectives)

    @property
    def folder(self) -> Path:
        """Folder of its checkpoints and records."""
        return self._opened.folder.path

    @property
    def storage(self) -> str:
        """URL of its state, for `optuna.load_study`; a password is hidden."""
        return str(self._opened.storage)

    @property
    def tracking(self) -> str:
        """URI of its runs, for `mlflow.set_tracking_uri`; a password is hidden."""
        return str(self._opened.tracking)

    @property
    def state(self) -> str:
        """`running`, `finished`, or `stopped` with trials left to run."""
        with self._read() as known:
            if _is_running(known):
                return "running"
            return "finished" if known.overview.extent.is_over else "stopped"

    def leaderboard(self, top: int | None = 10) -> pd.DataFrame:
        """The best trials, with their metrics and settings, above the reference lines.

        It has the rows and figures of `mmsr study leaderboard`, which measures the reference lines
        (popularity, item-kNN and EASE); here they are shown once they have been measured. Metrics
        are in [0, 1]. Trials that were stopped early follow the finished ones, without a place.
        With several objectives, the first one ranks, and `pareto` tells which are on the front.

        Parameters
        ----------
        top : how many trials; None shows all.
        """
        if top is not None:
            top = _whole("top", top, 1, "all trials")
        with self._read() as known:
            objective, *against = known.definition.objectives
            standings = known.overview.standings
            found = known.rows(one.number for one in ranked(standings, self.objectives)[:top])
            config = found[0].config if found else None
            lines = cached_lines(known, config) if config is not None else []
            front = pareto_front(standings, self.objectives) if against else []
            numbers = {one.number for one in front}
            return leaderboard_frame(found, objective, lines, against=against, front=numbers)

    def trials(self) -> pd.DataFrame:
        """All trials by number: state, score, settings, all metrics of the best epoch, error.

        `score` is the first objective, `seconds` the time that the trial trained. The columns of
        settings are named by their dotted config keys.
        """
        with self._read() as known:
            objective, running = known.definition.objective, _is_running(known)
            return trials_frame(rows(known.study), objective, running=running)

    def curves(self) -> pd.DataFrame:
        """Metrics by trial and epoch, one row for each; trials that were stopped early included.

        In another home than the one that the study was run from, only the objective is known.
        """
        with self._read() as known:
            return curves_frame(known, self.folder / JOURNAL if known.is_here else None)

    def best(self, trial: int | None = None, model: str | None = None) -> BestTrial:
        """The best finished trial by the first objective.

        Parameters
        ----------
        trial : number of another finished trial.
        model : the best of this model, in a study of several.

        Raises
        ------
        UserError : no trial has finished, or not the given one; or the epochs were chosen on test.
        """
        trial, model = _chosen(trial, model)
        with self._read() as known, _named_as_arguments():
            known.check_honest()
            row, config = known.best(trial, model)
        return BestTrial.of(row, config)

    def finals(self) -> pd.DataFrame:
        """Test figures of the finalized configs, one row per trial and metric.

        Test is not opened: only `mmsr study finalize` does that. `mean` and `std` are over seeds,
        `low` and `high` are the 95 % interval over users, and `validation` is the figure by which
        the config was chosen.

        Raises
        ------
        UserError : the study has not been finalized.
        """
        known = self._opened
        record = read_final(known.folder.finalized) if known.is_here else FinalRecord()
        if record.result is None:
            finalize = f"`mmsr study finalize {self.name}`"
            hint = (
                f"test was opened, and {finalize} says how to go on"
                if record.opened
                else f"{finalize} opens test, once"
            )
            raise UserError(f"study {self.name!r} has no test figures here: {hint}")
        return finals_frame(record.result)

    def export(
        self,
        path: str | Path,
        *,
        trial: int | None = None,
        model: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the best config and where it comes from, for `mmsr train --config`.

        Parameters
        ----------
        path : the YAML file to write.
        trial, model : as in `best`.
        overwrite : replace the file if it exists.

        Returns
        -------
        The file.

        Raises
        ------
        UserError : as in `best`; or the file exists, or cannot be written.
        """
        if not isinstance(path, str | Path):
            raise UserError(f"path={path!r}: give the name of the file to write")
        trial, model = _chosen(trial, model)
        file = Path(path)
        check_new(file, overwrite, "give overwrite=True")
        with self._read() as known, _named_as_arguments():
            text = export_best(known, trial, model)
        write_config(file, text)
        return file

    def __repr__(self) -> str:
        return as_text(self._facts_or_error())

    def _repr_html_(self) -> str:
        return as_html(self._facts_or_error())

    def _facts_or_error(self) -> dict[str, str]:
        try:
            with self._read() as known:
                return self._facts(known)
        except UserError as error:  # to be shown must not fail
            return {"": f"study {self.name}", "cannot be read": str(error)}

    def _facts(self, known: KnownStudy) -> dict[str, str]:
        running, extent = _is_running(known), known.overview.extent
        facts = {
            "": f"study {self.name}: {self.state}, {extent.over} of {extent.wanted} trials",
            "trials": summary(known.overview.standings, running=running),
            "objective": f"{', '.join(self.objectives)} on {self.dataset}",
        }
        if known.overview.best is not None:
            facts["best"] = f"{known.overview.best:.4f}"
        return {
            **facts,
            "folder": str(self.folder),
            "storage": self.storage,
            "tracking": self.tracking,
        }

    @contextmanager
    def _read(self) -> Iterator[KnownStudy]:
        """The study without what was read of it before; a storage that is away is a UserError."""
        try:
            with database.watching(self._opened.storage):
                yield replace(self._opened)
        except StorageLost as error:
            raise UserError(one_line(str(error))) from error


def _is_running(known: KnownStudy) -> bool:
    """Whether a driver in this home runs the study now."""
    return known.is_here and known.folder.is_running()


def _whole(name: str, given: Any, least: int, otherwise: str) -> int:
    """An argument that is a whole number of any type, also of NumPy's."""
    if isinstance(given, Integral) and not isinstance(given, bool) and int(given) >= least:
        return int(given)
    raise UserError(f"{name}={given!r}: give a whole number from {least}, or None for {otherwise}")


def _chosen(trial: Any, model: Any) -> tuple[int | None, str | None]:
    """The arguments that choose a trial, if they are of the right types."""
    if model is not None and not isinstance(model, str):
        raise UserError(f"model={model!r}: give the name of a model, or None for the best of all")
    return None if trial is None else _whole("trial", trial, 0, "the best one"), model


@contextmanager
def _named_as_arguments() -> Iterator[None]:
    """Name arguments as Python does, in errors that name the options of a command."""
    try:
        yield
    except UserError as error:
        text = str(error).replace("--trial ", "trial=").replace("--model ", "model=")
        raise UserError(text) from None
