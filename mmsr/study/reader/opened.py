"""`OpenedStudy`: an existing study, to read its results from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.errors import UserError, reason_of
from mmsr.numbers import is_whole
from mmsr.study.reader.best import BestTrial
from mmsr.study.reader.facts import as_html, as_text
from mmsr.study.reader.frames import (
    curves_frame,
    finals_frame,
    leaderboard_frame,
    trials_frame,
)
from mmsr.study.results.export import export_best
from mmsr.study.results.finalized import read_final
from mmsr.study.results.references import cached_lines
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import ranked, rows
from mmsr.study.views.tables import summary

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
        known = self._now()
        if known.folder.is_running():
            return "running"
        return "finished" if known.overview.extent.is_over else "stopped"

    def leaderboard(self, top: int | None = 10) -> pd.DataFrame:
        """The best trials, with their metrics and settings, above the reference lines.

        It has the rows and figures of `mmsr study leaderboard`, which measures the reference lines
        (popularity, item-kNN and EASE); here they are shown once they have been measured. Metrics
        are in [0, 1]. Trials that were stopped early follow the finished ones, without a place.

        Parameters
        ----------
        top : how many trials; None shows all.
        """
        if top is not None and (not is_whole(top) or top < 1):
            raise UserError(f"top={top!r}: give a whole number from 1, or None for all trials")
        known = self._now()
        objective = known.definition.objective
        found = known.rows(one.number for one in ranked(known.overview.standings)[:top])
        config = found[0].config if found else None
        lines = cached_lines(known, config) if config is not None else []
        return leaderboard_frame(found, objective, lines)

    def trials(self) -> pd.DataFrame:
        """All trials by number: state, score, settings, all metrics of the best epoch, error.

        `score` is the first objective, `seconds` the time that the trial trained. The columns of
        settings are named by their dotted config keys.
        """
        known = self._now()
        objective, running = known.definition.objective, known.folder.is_running()
        return trials_frame(rows(known.study), objective, running=running)

    def curves(self) -> pd.DataFrame:
        """Metrics by trial and epoch, one row for each; trials that were stopped early included.

        In another home than the one that the study was run from, only the objective is known.
        """
        return curves_frame(self._now())

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
        known = self._now()
        with _named_as_arguments():
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
        result = read_final(self._opened.folder.finalized).result
        if result is None:
            raise UserError(
                f"study {self.name!r} has no test figures: `mmsr study finalize {self.name}` opens "
                "test, once"
            )
        return finals_frame(result)

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
        file = Path(path)
        if file.exists() and not overwrite:
            raise UserError(f"{file} exists: name another file, or give overwrite=True")
        with _named_as_arguments():
            text = export_best(self._now(), trial, model)
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {file}: {reason_of(error)}") from None
        return file

    def __repr__(self) -> str:
        return as_text(self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._facts())

    def _facts(self) -> dict[str, str]:
        known = self._now()
        running, extent = known.folder.is_running(), known.overview.extent
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

    def _now(self) -> KnownStudy:
        """The study without what was read of it before."""
        return replace(self._opened)


@contextmanager
def _named_as_arguments() -> Iterator[None]:
    """Name arguments as Python does, in errors that name the options of a command."""
    try:
        yield
    except UserError as error:
        text = str(error).replace("--trial ", "trial=").replace("--model ", "model=")
        raise UserError(text) from None
