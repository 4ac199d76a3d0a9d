"""The results of a reproduction: figures of every row, and which rows differ from the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.errors import UserError
from mmsr.study.results.comparison import SeedComparison
from mmsr.study.results.held_out import Opening
from mmsr.study.storage.definition import TEST_SELECTED

ADVICE = "move it away, or give another --output or --name"
"""What to do with a file that cannot be gone on from."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class SeedFigures(_Frozen):
    """One run of a row: a seed, trained to choose the epoch, then refitted."""

    seed: int
    study: str
    """The study that ran it: another table's where the same run was taken over."""
    trial: int
    """Number of the run in that study."""
    error: str | None
    """Why it failed; None if it finished."""
    epochs: int
    """Epochs on the training part; of both stages together if the run failed."""
    chosen_epoch: int | None
    """The best of them on validation; the refit on train + validation had as many."""
    stopped_by: str | None
    """What ended training on the training part: `patience`, or the `limit` of epochs; None if the
    run failed."""
    best_epochs: dict[str, int]
    """Tested epoch of the refit, by metric: the chosen one unless the figures are TEST-SELECTED."""
    training_seconds: float | None
    """Both stages together."""
    validation: dict[str, float]
    test: dict[str, float]
    """Test metrics in [0, 1]; empty if the run failed."""
    test_masked: dict[str, float] = {}
    """The same with the items of each history taken out of the ranking, where that was measured."""
    commit: str | None


class SearchFigures(_Frozen):
    """What the search of one model took, and what it chose."""

    model: str
    trials: int
    """Trials that were begun."""
    finished: int
    epochs: int
    """Epochs of all trials together."""
    seconds: float
    """Seconds of training, all trials together."""
    space: str
    """Size of the search space, in words."""
    known: int
    """Number of known settings that were tried first; the authors' are the first of them."""
    asked: int
    """Trials that were asked for, of each model."""
    trial: int | None
    """Number of the best trial on validation; None if none finished."""
    value: float | None
    """Its objective."""
    error: str = ""
    """Why the first trial failed, if none finished."""


class LineFigures(_Frozen):
    """A reference model, which is not trained: it ranks test with train + validation known."""

    label: str
    kept: dict[str, float] = {}
    masked: dict[str, float] = {}
    left_out: str = ""
    """Why it has no figures."""


class RowFigures(_Frozen):
    """One row of the table."""

    label: str
    settings: dict[str, Any]
    """Config values that not all rows share, by dotted key."""
    seeds: tuple[SeedFigures, ...]
    """Empty for a row that was not run yet."""
    mean: dict[str, float]
    """Test metrics, mean over the seeds that finished."""
    std: dict[str, float]
    """Sample standard deviation over them; empty for a single one."""
    published: dict[str, float]
    """The paper's figures in percent, by metric."""
    comparisons: dict[str, SeedComparison]
    """Comparison with the reference, by metric; empty for the reference itself, and where it or
    the row has fewer than three seeds."""
    mean_masked: dict[str, float] = {}
    std_masked: dict[str, float] = {}
    against_baseline: dict[str, SeedComparison] = {}
    """Comparison with the best baseline; that of the reference is among the baseline's own."""
    search: SearchFigures | None = None
    """What the row's search took, where each row was searched."""

    @property
    def finished(self) -> tuple[SeedFigures, ...]:
        """The runs that gave figures."""
        return tuple(seed for seed in self.seeds if seed.error is None)

    @property
    def failed(self) -> tuple[SeedFigures, ...]:
        """The runs that failed."""
        return tuple(seed for seed in self.seeds if seed.error is not None)

    @property
    def training_seconds(self) -> float:
        """Seconds of training, all runs together."""
        return sum(seed.training_seconds or 0.0 for seed in self.seeds)


class Results(_Frozen):
    """A reproduced table, with its provenance."""

    table: str
    title: str
    selection: str
    """How the best epochs were chosen: on `validation`, or `TEST-SELECTED`."""
    study: str
    command: str
    created_at: str
    dataset: str
    dataset_hash: str
    protocol: str
    features: dict[str, str]
    """Width and source of the items' features, by modality."""
    n_users: int
    """Number of users with test targets."""
    epochs: int
    """Most epochs of every run on the training part."""
    patience: int
    config: dict[str, Any]
    """Config values that all rows share, by dotted key."""
    code: dict[str, str]
    """Commit and versions of the newest call."""
    published_dataset: str
    published_stands_in: bool
    reference: str
    test_opened: tuple[Opening, ...]
    """The openings of test for these runs, by time."""
    rows: tuple[RowFigures, ...]
    best_baseline: str | None = None
    """Label of the row that was best on validation but for the reference, where rows are models."""
    share: str = ""
    """How trials were shared out among the models."""
    objective: str = ""
    """What their searches maximised."""
    lines: tuple[LineFigures, ...] = ()
    given: dict[str, Any] = {}
    """What was set for all models, by dotted key; rows that are added have to have the same."""

    @property
    def test_selected(self) -> bool:
        """Whether the best epochs were chosen on test."""
        return self.selection == TEST_SELECTED.upper()

    def settings_of(self, row: RowFigures) -> dict[str, Any]:
        """The whole config of a row, but data set, seed and threads, by dotted key.

        Parameters
        ----------
        row : one of the rows.
        """
        return {**self.config, **row.settings}


def read_results(path: Path) -> Results | None:
    """The results in a table's JSON file; None if there is no such file.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError : it cannot be read.
    """
    if not path.exists():
        return None
    try:
        return Results.model_validate_json(path.read_text())
    except (OSError, ValueError):
        raise UserError(
            f"{path} cannot be read, or another version of mmsr wrote it: {ADVICE}"
        ) from None


class FigureRow(BaseModel):
    """The measurements of one row, on validation targets."""

    model_config = ConfigDict(frozen=True)

    label: str
    settings: dict[str, object]
    trials: tuple[int, ...]
    """Numbers of the trials, one for each seed that finished."""
    mean: dict[str, float]
    """Metrics of the best epochs, mean over seeds."""
    std: dict[str, float]
    """Sample standard deviation; empty for one seed."""
    curves: dict[str, object] | None = None
    """Curves of figure 4 as JSON; see `mmsr.evaluation.sweep.Curves`."""


class Figure(BaseModel):
    """A figure's numbers, with their provenance."""

    model_config = ConfigDict(frozen=True)

    figure: str
    title: str
    part: str = "validation"
    metric: str
    study: str
    dataset: str
    dataset_hash: str
    protocol: str
    seeds: tuple[int, ...]
    epochs: int
    settings: dict[str, object]
    """Config values that all rows share, by dotted key."""
    command: str
    created_at: str
    code: dict[str, str]
    rows: tuple[FigureRow, ...]
