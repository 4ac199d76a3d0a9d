"""The paper's figures, drawn anew: rows and seeds as one study, measured on validation."""

from __future__ import annotations

import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from mmsr.errors import UserError
from mmsr.study.leaderboard import TrialRow, rows
from mmsr.study.lookup import KnownStudy, look_up
from mmsr.study.record import code_version
from mmsr.study.reproduce.collect import runs_of
from mmsr.study.reproduce.request import Request, name_of
from mmsr.study.reproduce.tables import Row
from mmsr.study.runner import run_plan
from mmsr.study.study import FAILED
from mmsr.study.succession import n_over
from mmsr.study.telling import Telling
from mmsr.study.tested import checkpoint_of
from mmsr.study.views import show_failures

if TYPE_CHECKING:
    from mmsr.config import Config
    from mmsr.data import Prefixes
    from mmsr.evaluation.sweep import Curves, Mask, Ranks
    from mmsr.models.mmsr import MMSR
    from mmsr.study.robustness.kept import KeptRanks

RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
MASK_SEEDS = (0,)


class FigureRow(BaseModel):
    """What was measured of one row, on validation targets."""

    model_config = ConfigDict(frozen=True)

    label: str
    settings: dict[str, object]
    trials: tuple[int, ...]
    """Of the seeds that finished."""
    mean: dict[str, float]
    """Metrics of the best epochs, mean over seeds."""
    std: dict[str, float]
    """Sample standard deviation; empty for one seed."""
    curves: dict[str, object] | None = None
    """Of figure 4: see `mmsr.evaluation.sweep.Curves`."""


class Figure(BaseModel):
    """A figure's numbers, with all that tells where they come from."""

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
    """Common to all rows."""
    command: str
    created_at: str
    code: dict[str, str]
    rows: tuple[FigureRow, ...]


def reproduce_figure(request: Request, console: Console, folder: Path | None) -> int:
    """Run what is left of the figure's study, measure its models, draw; returns the exit code.

    Raises
    ------
    UserError : the study exists and is another one, is being run, or files cannot be written.
    """
    plan = request.plan
    code = run_plan(plan, Telling(end=_show_end, name_of=lambda p: name_of(request, p.settings)))
    known = look_up(plan.name, plan.storage, plan.tracking)
    if n_over(known.study, plan.only) < plan.trials:
        return code or FAILED
    runs = runs_of(request, rows(known.study))
    found = {
        row.label: [
            runs[row.label, seed]
            for seed in request.seeds
            if runs[row.label, seed].state == "finished"
        ]
        for row in request.rows
    }
    if not any(found.values()):
        return FAILED
    with console.status("measuring", spinner="line") as status:
        tell = status.update if console.is_terminal else lambda message: None
        measured = tuple(
            _measure(request, known, row, found[row.label], tell)
            for row in request.rows
            if found[row.label]
        )
    from mmsr.study.reproduce.draw import show, write

    figure = _figure(request, known, measured)
    show(figure, console)
    for path in write(figure, folder or plan.folder.path):
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return code


def _show_end(plan: object, found: Sequence[TrialRow], console: Console) -> None:
    failed = [row for row in found if row.state in ("running", "waiting", "failed")]
    if failed:
        show_failures(plan, found, console)  # type: ignore[arg-type]


def _measure(
    request: Request,
    known: KnownStudy,
    row: Row,
    trials: Sequence[TrialRow],
    progress: Callable[[str], None],
) -> FigureRow:
    names = [name for name in trials[0].metrics if name.startswith("valid/")]
    values = {name: [trial.metrics[name] for trial in trials] for name in names}
    several = len(trials) > 1
    curves = None
    if request.table.name == "fig4":
        found = _curves(known, trials, lambda text: progress(f"{row.label}: {text}"))
        curves = found.model_dump(mode="json")
    return FigureRow(
        label=row.label,
        settings=dict(row.settings),
        trials=tuple(trial.number for trial in trials),
        mean={name: statistics.fmean(found) for name, found in values.items()},
        std={name: statistics.stdev(found) for name, found in values.items()} if several else {},
        curves=curves,
    )


def _curves(
    known: KnownStudy, trials: Sequence[TrialRow], progress: Callable[[str], None]
) -> Curves:
    """Curves of a row, its seeds' models together; ranks are kept with the study."""
    from mmsr.evaluation.sweep import Sweep, run_sweep
    from mmsr.study.robustness.kept import KeptRanks, model_key
    from mmsr.training import load_best_model

    dataset = known.open_dataset()
    valid, everything = dataset.valid(), dataset.modalities
    models: list[Callable[[Mask], Ranks]] = []
    for trial in trials:
        if trial.config is None:  # every trial that has finished has one
            continue
        folder = checkpoint_of(known, trial)
        settings = {"data": dataset.content_hash, "config": trial.config.to_dict()}
        key = model_key(folder / "best.safetensors", {**settings, "targets": "valid"})
        kept = KeptRanks(known.folder.path / "robustness" / "ranks", key)
        model = load_best_model(folder, trial.config, dataset)
        models.append(partial(_rank, kept, model, valid, trial.config))

    def rank(mask: Mask) -> list[Ranks]:
        return [one(mask) for one in models]

    alone = [(modality,) for modality in everything]
    subsets = (*alone, everything) if len(everything) > 1 else tuple(alone)
    metric = known.definition.objective.removeprefix("valid/")
    sweep = Sweep(subsets, RATES, MASK_SEEDS, metric)
    return run_sweep(
        sweep, rank, valid.users, lambda done, total: progress(f"point {done + 1} of {total}")
    )


def _rank(kept: KeptRanks, model: MMSR, prefixes: Prefixes, config: Config, mask: Mask) -> Ranks:
    return kept.get(str(mask), lambda: mask.rank(model, prefixes, config))


def _figure(request: Request, known: KnownStudy, measured: tuple[FigureRow, ...]) -> Figure:
    base = request.plan.base.flat()
    varied = {"dataset", "seed", "training.threads", *request.table.rows[0].settings}
    return Figure(
        figure=request.table.name,
        title=request.table.title,
        metric=known.definition.objective.removeprefix("valid/"),
        study=known.name,
        dataset=known.definition.dataset,
        dataset_hash=known.definition.dataset_hash,
        protocol=known.definition.protocol,
        seeds=request.seeds,
        epochs=request.plan.base.training.epochs,
        settings={key: value for key, value in base.items() if key not in varied},
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code=code_version(),
        rows=measured,
    )


def check_figure(request: Request) -> None:
    """Refuse a figure that the data cannot give.

    Raises
    ------
    UserError : figure 4 of data without modalities.
    """
    if request.table.name == "fig4" and not request.plan.dataset.modalities:
        raise UserError(
            f"data set {request.plan.dataset.name!r} has no modalities: nothing can go missing"
        )
