"""Tables and lines about a study's trials: the leaderboard, the Pareto front, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from mmsr.console import Console
from mmsr.format import plural, seconds, short
from mmsr.study.results.pareto import FRONT, pareto_front
from mmsr.study.results.references import ReferenceLine
from mmsr.study.search.objectives import shown
from mmsr.study.storage.trials import Ranked, TrialRow, ranked
from mmsr.study.views.standings import (
    MOST_OF_FRONT,
    chosen_on,
    front_heads,
    metric_names,
    model_standings,
)

STYLES = {"finished": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}
WORDS = {"pruned": "stopped early"}
"""What tables call a state that has another name in records."""


def leaderboard(
    found: Sequence[TrialRow],
    objective: str,
    title: str,
    top: int,
    lines: Sequence[ReferenceLine] = (),
    *,
    against: Sequence[str] = (),
) -> Table:
    """Table of the best trials; `cut` marks trials that were stopped early, metrics are in percent.

    The reference lines stand below, by name. Where warm and cold targets were ranked apart, the
    metric that ranks the trials is shown for each.

    Parameters
    ----------
    found : the trials of a study.
    objective : metric that ranks them.
    title : title of the table.
    top : number of trials to show.
    lines : the reference lines; those without metrics are not shown here.
    against : further objectives of the study.
    """
    part = objective.partition("/")[0]
    names = metric_names(found, objective)
    several = any(row.model is not None for row in found)
    table = Table(title=title, title_justify="left", title_style="bold", expand=False)
    table.add_column("#", justify="right")
    table.add_column("trial", justify="right")
    if several:
        table.add_column("model", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    measured = any(row.energy.kwh is not None for row in found)
    if measured:
        table.add_column("kWh", justify="right", no_wrap=True)
    for place, row in enumerate(ranked(found, (objective, *against))[:top], start=1):
        pruned = row.state == "pruned"
        values = [row.metrics.get(f"{part}/{name}") for name in names]
        table.add_row(
            "cut" if pruned else str(place),
            str(row.number),
            *([row.model or ""] if several else []),
            *("" if value is None else f"{100 * value:.2f}" for value in values),
            f"{row.best_epoch} of {row.epochs}",
            seconds(row.seconds),
            *([kwh_text(row.energy.kwh)] if measured else []),
            style="dim" if pruned else "bold" if place == 1 else "",
        )
    if lines:
        table.add_section()
    for line in lines:
        if line.metrics is not None:
            figures = (line.metrics.get(name) for name in names)
            cells = ("" if value is None else f"{100 * value:.2f}" for value in figures)
            label = (line.label, "") if several else (line.label,)
            table.add_row("", *label, *cells, "", "", *([""] if measured else []), style="dim")
    return table


def kwh_text(kwh: float | None) -> str:
    """Energy in a cell of a table; empty where it was not measured.

    Parameters
    ----------
    kwh : in kWh.
    """
    return "" if kwh is None else short(kwh)


def by_model(found: Sequence[TrialRow], objectives: Sequence[str], models: Sequence[str]) -> Table:
    """Table of a study's models, best first: best value, trials and hours of each.

    Parameters
    ----------
    found : the trials of the study.
    objectives : its objectives; the first one ranks them.
    models : names of the models.
    """
    objective = objectives[0]
    title = f"models by {objective} ({chosen_on(objective)}, %)"
    table = Table(title=title, title_justify="left", title_style="bold", expand=False)
    table.add_column("model", no_wrap=True)
    for column in ("best", "trial", "trials", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("how they ended")
    for one in model_standings(found, objectives, models):
        cells = (
            "" if one.best is None else f"{100 * one.best:.2f}",
            "" if one.first is None else str(one.first.number),
            str(len(one.trials)),
            seconds(one.seconds),
        )
        table.add_row(one.name, *cells, summary(one.trials))
    return table


def show_left_out(lines: Sequence[ReferenceLine], console: Console) -> None:
    """Show which reference lines the leaderboard lacks, and why.

    Parameters
    ----------
    lines : the reference lines.
    console : where to show it.
    """
    by_reason: dict[str, list[str]] = {}
    for line in lines:
        if line.metrics is None:
            by_reason.setdefault(line.left_out, []).append(line.label)
    for reason, labels in by_reason.items():
        text = f"not measured: {', '.join(labels)} ({reason})"
        console.print(text, style="dim", soft_wrap=True)


def settings_text(settings: dict[str, Any]) -> str:
    """Settings as a short text.

    Parameters
    ----------
    settings : values by dotted config key.
    """
    return ", ".join(f"{_leaf(key)} {short(value)}" for key, value in settings.items())


def summary(found: Sequence[Ranked], *, running: bool = True) -> str:
    """Number of trials in each state, in words.

    Parameters
    ----------
    found : the trials of a study.
    running : whether a driver runs the study now.
    """
    states = ("finished", "pruned", "failed", "running", "interrupted", "waiting")
    counts = dict.fromkeys(states, 0)
    for row in found:
        counts[state_of(row, running=running)] += 1
    told = [f"{n} {WORDS.get(state, state)}" for state, n in counts.items() if n]
    return ", ".join(told) or "no trials"


def state_of(row: Ranked, *, running: bool) -> str:
    """The state of a trial, as it is shown.

    Parameters
    ----------
    row : the trial.
    running : whether a driver runs the study now; no trial runs without one.
    """
    return "interrupted" if row.state == "running" and not running else row.state


def _leaf(key: str) -> str:
    """The last part of a dotted key, with the one before if the last alone says too little."""
    parts = key.split(".")
    return ".".join(parts[-2:]) if parts[-1] in ("name", "dropout", "rate", "per") else parts[-1]


def show_front(
    found: Sequence[TrialRow], objectives: Sequence[str], console: Console, finished: int
) -> None:
    """Show the Pareto front as a table, its settings, and which trial other commands take.

    A long front is cut off.

    Parameters
    ----------
    found : the trials of a study, at least those on the front.
    objectives : its objectives.
    console : where to show it.
    finished : how many of its trials have finished.
    """
    front = pareto_front(found, objectives)
    if not front:
        return
    table = Table(
        title=f"Pareto front: {len(front)} of {plural(finished, 'finished trial')}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("trial", justify="right")
    for head in front_heads(objectives):
        table.add_column(head, justify="right")
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in front[:MOST_OF_FRONT]:
        values = [shown(name, row.metrics[name]) for name in objectives]
        epoch = f"{row.best_epoch} of {row.epochs}"
        table.add_row(str(row.number), *values, epoch, seconds(row.seconds))
    console.print(table)
    for row in front[:MOST_OF_FRONT]:
        text = f"trial {row.number}: {settings_text(row.settings)}"
        console.print(text, soft_wrap=True)
    if (left := len(front) - MOST_OF_FRONT) > 0:
        console.print(f"and {left:,} more: {FRONT} in the study's folder has all", soft_wrap=True)
    console.print(
        f"export and finalize take trial {front[0].number}, the best in {objectives[0]}; "
        "--trial N takes another",
        soft_wrap=True,
    )


def facts(told: Mapping[str, str]) -> Table:
    """A table of two columns: names, and what there is to say about each.

    Parameters
    ----------
    told : texts by name.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for thing, text in told.items():
        table.add_row(thing, text)
    return table
