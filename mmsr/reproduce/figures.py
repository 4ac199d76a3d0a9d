"""The paper's figures, run again: rows and seeds as one study, measured on validation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.pace import Steps, progress_line
from mmsr.provenance import provenance
from mmsr.reproduce.collect import trials_of
from mmsr.reproduce.request import Request, name_of
from mmsr.reproduce.results import Figure, FigureRow
from mmsr.reproduce.tables import Row
from mmsr.robustness.request import RATES, parse_rates, parse_subsets
from mmsr.study.driver.exit_codes import FAILED
from mmsr.study.driver.reporting import Reporting
from mmsr.study.driver.run import run_plan
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.progress import n_over
from mmsr.study.storage.trials import TrialRow, rows
from mmsr.study.views.ending import show_unfinished

if TYPE_CHECKING:
    from mmsr.evaluation.sweep import Curves

MASK_SEEDS = (0,)


def reproduce_figure(request: Request, console: Console, folder: Path | None) -> int:
    """Train the missing runs of the figure's study, measure its models, and draw.

    Parameters
    ----------
    request : the rows and seeds.
    console : where to show the numbers.
    folder : where to write the figure; None takes the study's folder.

    Returns
    -------
    The exit code.

    Raises
    ------
    UserError : the name belongs to another study, the study is being run, or files cannot be
        written.
    """
    plan = request.plan
    reporting = Reporting(
        show_end=partial(show_unfinished, failures_too=True),
        name_of=lambda proposal: name_of(request, proposal.settings),
    )
    code = run_plan(plan, reporting, retried=plan.only)
    known = look_up(plan.name, plan.storage, plan.tracking)
    if n_over(known.study, plan.only) < plan.trials:
        return code or FAILED
    runs = trials_of(request, rows(known.study))
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
    with progress_line(console, "measuring") as tell:
        measured = tuple(
            _measure(request, known, row, found[row.label], tell)
            for row in request.rows
            if found[row.label]
        )
    from mmsr.reproduce.draw import show, write

    figure = _figure(request, known, measured)
    show(figure, console)
    for path in write(figure, folder or plan.folder.path):
        console.print(f"wrote {path}", soft_wrap=True)
    return code


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
    """Curves of a row, over the models of its seeds; ranks are cached with the study."""
    from mmsr.evaluation.sweep import Sweep, run_sweep
    from mmsr.study.results.knockouts import ranked
    from mmsr.study.results.measured_model import of_trial

    dataset = known.open_dataset()
    valid = dataset.valid()
    models = []
    for trial in trials:
        if trial.config is not None:  # always so: every finished trial has a config
            subject = of_trial(known, trial, trial.config, "a seed's")
            models.append(ranked(subject, subject.output, valid))

    steps = Steps()
    metric = known.definition.objective.removeprefix("valid/")
    sweep = Sweep(parse_subsets(None, dataset.modalities), parse_rates(RATES), MASK_SEEDS, metric)
    return run_sweep(
        sweep,
        lambda mask: [rank(mask) for rank in models],
        valid.users,
        lambda done, total: progress(f"point {done + 1} of {total}: {steps.at(done, total)}"),
    )


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
        **provenance(),
        rows=measured,
    )


def check_figure(request: Request) -> None:
    """Refuse a figure that the data set cannot give.

    Parameters
    ----------
    request : the rows and seeds.

    Raises
    ------
    UserError : figure 4, and the data set has no modalities.
    """
    if request.table.name == "fig4" and not request.plan.dataset.modalities:
        raise UserError(
            f"data set {request.plan.dataset.name!r} has no modalities: nothing can go missing"
        )
