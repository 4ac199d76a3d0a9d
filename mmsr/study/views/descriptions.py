"""Descriptions of studies and runs in Markdown, as the tracking server's pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmsr.format import plural, seconds
from mmsr.study.results.pareto import pareto_front
from mmsr.study.search.objectives import in_words, shown
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.progress import Progress
from mmsr.study.storage.trials import TrialRow, finished
from mmsr.study.views.run_names import number, run_name
from mmsr.study.views.tables import summary
from mmsr.study.workers.messages import Ending, Proposal
from mmsr.tracking import RunState

LONGEST = 4900
"""Most characters of a description: MLflow keeps 5000 of a tag."""
_TOP = 5
_ORIGINS = {
    "known": "settings that were given",
    "proposed": "proposed by the search",
    "retry": "tried again",
    "warm start": "settings of another study",
    "outside": "settings of another client",
}


def study_text(
    name: str,
    definition: Definition,
    progress: Progress,
    profile: Mapping[str, int],
    sampler: str,
    command: str,
    *,
    running: bool,
) -> str:
    """Describe a study: data, protocol, command, space, and what it has found so far.

    Parameters
    ----------
    name, definition : the study's.
    progress : how far it is.
    profile : counts of its data set, by what is counted.
    sampler : the search method, in words.
    command : the command that runs it.
    running : whether a driver runs it.
    """
    sizes = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in profile.items())
    lines = [
        f"Study **{name}**, {in_words(definition.objectives)}.",
        "",
        *table(
            ("", ""),
            [
                ("data", f"{code(definition.dataset)}: {sizes}"),
                ("content", code(definition.dataset_hash[:12])),
                (
                    "protocol",
                    f"{code(definition.protocol)}, compared on validation; no trial sees test",
                ),
                ("search", f"{sampler}; pruner: {definition.pruner}"),
                ("trials", _trials(progress, running=running)),
                ("command", code(command)),
            ],
        ),
    ]
    leaders = finished(progress.rows, definition.objectives)
    best = leaders[0] if leaders else None
    if best is not None:
        values = _values(best.metrics, definition.objectives)
        found = f"{values} at epoch {best.best_epoch} of {best.epochs}"
        lines += ["", f"**Best: trial {best.number}**, {found}", ""]
        lines += _leaders(leaders[:_TOP], definition)
    if len(definition.objectives) > 1 and leaders:
        front = pareto_front(leaders, definition.objectives)
        lines += ["", f"Pareto front: {plural(len(front), 'trial')}, in `pareto_front.csv`."]
    own = best.settings if best is not None else {}
    if best is not None and best.model and definition.models:
        own = {f"{best.model}/{key}": value for key, value in own.items()}
    rows = [
        (code(k), code(v), code(_value(own[k])) if k in own else "")
        for k, v in definition.space.items()
    ]
    space = table(("setting", "space", "best" if best is not None else ""), rows)
    return _within([*lines, ""], space)


def trial_text(study: str, proposal: Proposal, dataset: str, result: str = "") -> str:
    """Describe a trial: its settings, where they come from, and how it ended.

    Parameters
    ----------
    study, proposal : name of the study, and the trial.
    dataset : name of the data set.
    result : how it ended, in Markdown; none while it is running.
    """
    trial, origin = proposal.number, _ORIGINS.get(proposal.origin, proposal.origin)
    lines = [f"Trial **{trial}** of study **{study}** on {code(dataset)}: {origin}."]
    if proposal.follows is not None:
        lines[0] += f" It continues trial {proposal.follows}, which was interrupted."
    lines += ["", result] if result else []
    rows = [(code(key), code(_value(value))) for key, value in proposal.settings.items()]
    return _within([*lines, ""], table(("setting", "value"), rows))


def ending_text(ending: Ending, objectives: Sequence[str]) -> str:
    """How a trial ended, in Markdown.

    Parameters
    ----------
    ending : how it ended.
    objectives : the study's objectives.
    """
    words = {RunState.PRUNED: "Stopped early", RunState.INTERRUPTED: "Interrupted"}
    how = words.get(ending.state, ending.state.value.capitalize())
    report = ending.report
    if report is None:
        return f"{how}."
    values = _values(report.best_metrics, objectives)
    return f"{how} after epoch {report.epoch}: **{values} at epoch {report.best_epoch}**."


def code(text: object) -> str:
    """A text as code in a table of Markdown, whatever its characters.

    Parameters
    ----------
    text : the text; it becomes one line.
    """
    line = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


def _trials(progress: Progress, *, running: bool) -> str:
    done = f"{progress.over} of {progress.wanted} done"
    used = f"; {progress.used_up}" if progress.used_up else ""
    return f"{done}: {summary(progress.rows, running=running)}{used}" if progress.rows else done


def _values(metrics: Mapping[str, float], objectives: Sequence[str]) -> str:
    return ", ".join(
        f"{name} {shown(name, metrics[name])}{' %' if name.startswith('valid/') else ''}"
        for name in objectives
        if name in metrics
    )


def _leaders(found: Sequence[TrialRow], definition: Definition) -> list[str]:
    several = bool(definition.models)
    rows = []
    for row in found:
        name = run_name(row.config, row.settings, model=several) if row.config else ""
        values = (shown(o, row.metrics[o]) for o in definition.objectives if o in row.metrics)
        rows.append((str(row.number), *values, seconds(row.seconds), name.replace("|", "\\|")))
    names = (f"{o}, %" if o.startswith("valid/") else o for o in definition.objectives)
    return table(("trial", *names, "time", "settings"), rows)


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown.

    Parameters
    ----------
    head : names of the columns.
    rows : cells of each row.
    """
    every = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in every]


def _within(lines: Sequence[str], rows: Sequence[str]) -> str:
    """The lines and as many rows of a table as there is room for."""
    text = "\n".join(lines)
    for place, row in enumerate(rows):
        if len(text) + len(row) + 40 > LONGEST:
            left = len(rows) - place
            return f"{text}\n\n… {plural(left, 'more row')}"[:LONGEST]
        text += f"\n{row}"
    return text[:LONGEST]
