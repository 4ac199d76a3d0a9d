"""The results of a reproduction: figures of every row, and which rows differ from the reference."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from mmsr.study.results.comparison import Comparison


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class SeedFigures(_Frozen):
    """One run of a row."""

    seed: int
    trial: int
    """Number of the run in the study."""
    error: str | None
    """Why it failed; None if it finished."""
    epochs: int
    best_epochs: dict[str, int]
    """Tested epoch, by metric; the same for all metrics unless they are TEST-SELECTED."""
    training_seconds: float | None
    validation: dict[str, float]
    test: dict[str, float]
    """Test metrics in [0, 1]; empty if the run failed."""
    commit: str | None


class RowFigures(_Frozen):
    """One row of the table."""

    label: str
    settings: dict[str, Any]
    """Config values that not all rows share, by dotted key."""
    seeds: tuple[SeedFigures, ...]
    mean: dict[str, float]
    """Test metrics, mean over the seeds that finished."""
    std: dict[str, float]
    """Sample standard deviation over them; empty for a single one."""
    published: dict[str, float]
    """The paper's figures in percent, by metric."""
    comparisons: dict[str, Comparison]
    """Comparison with the reference, by metric; empty for the reference itself, or without one."""

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
    n_users: int
    """Number of users with test targets; comparisons are paired over them."""
    seeds: tuple[int, ...]
    epochs: int
    """Most epochs of every run."""
    patience: int
    config: dict[str, Any]
    """Config values that all rows share, by dotted key."""
    code: dict[str, str]
    """Commit and versions."""
    published_dataset: str
    published_stands_in: bool
    reference: str
    test_opened: tuple[str, ...]
    """Times of the openings; empty for TEST-SELECTED results, which open test after every epoch."""
    rows: tuple[RowFigures, ...]

    @property
    def test_selected(self) -> bool:
        """Whether the best epochs were chosen on test."""
        return self.selection != "validation"


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
