"""The front of a study of several objectives: trials than which no other is better in all."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mmsr.study.search.objectives import dominates, minimised, shown
from mmsr.study.storage.trials import TrialRow, ranked, seconds, settings_text


def pareto_front(found: Sequence[TrialRow], objectives: Sequence[str]) -> list[TrialRow]:
    """Finished trials that no other dominates, best first by the first objective."""
    finished = [row for row in ranked(found) if row.state == "finished"]
    values = {row.number: [row.metrics[name] for name in objectives] for row in finished}
    return [
        row
        for row in finished
        if not any(dominates(other, values[row.number], objectives) for other in values.values())
    ]


def show_front(found: Sequence[TrialRow], objectives: Sequence[str], console: Console) -> None:
    """Show the front as a table, its settings, and which of it other commands take."""
    front = pareto_front(found, objectives)
    if not front:
        return
    finished = sum(row.state == "finished" for row in found)
    table = Table(
        title=f"Pareto front: {len(front)} of {finished} finished trials",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("trial", justify="right")
    for name in objectives:
        percent = ", %" if name.startswith("valid/") else ""
        table.add_column(f"{name}{percent} {'↓' if minimised(name) else '↑'}", justify="right")
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in front:
        values = [shown(name, row.metrics[name]) for name in objectives]
        epoch = f"{row.best_epoch} of {row.epochs}"
        table.add_row(str(row.number), *values, epoch, seconds(row.seconds))
    console.print(table)
    for row in front:
        text = f"trial {row.number}: {settings_text(row.settings)}"
        console.print(text, markup=False, soft_wrap=True)
    console.print(
        f"export and finalize take trial {front[0].number}, the best in {objectives[0]}; "
        "--trial N takes another",
        soft_wrap=True,
    )


def front_tags(found: Sequence[TrialRow], objectives: Sequence[str]) -> dict[str, str]:
    """The front as tags of the study's run; none where there is one objective."""
    if len(objectives) == 1:
        return {}
    front = pareto_front(found, objectives)
    values = [
        f"{row.number}: "
        + ", ".join(f"{name} {shown(name, row.metrics[name])}".strip() for name in objectives)
        for row in front
    ]
    return {
        "mmsr.pareto_trials": " ".join(str(row.number) for row in front),
        "mmsr.pareto": "; ".join(values),
    }
