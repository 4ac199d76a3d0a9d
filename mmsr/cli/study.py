"""`mmsr study`: write study files, look at studies."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mmsr import paths
from mmsr.cli import finalize
from mmsr.cli.groups import Studies
from mmsr.cli.options import StudyName, known_datasets
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import percent, seconds

app = typer.Typer(
    cls=Studies, no_args_is_help=True, help="Write, list, inspect and finalize studies."
)
app.command("finalize")(finalize.finalize)

Storage = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Optuna's database; default: where the study was run."),
]


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the study and, without .py, of the file.")
    ],
    dataset: Annotated[
        str,
        typer.Option(
            metavar="DATASET",
            help="Data set that the study searches on.",
            autocompletion=known_datasets,
        ),
    ],
) -> None:
    """Write a commented study file NAME.py into the current folder."""
    from mmsr.study.planning.study_file import write_study_file

    path = write_study_file(name, dataset)
    console = Console()
    console.print(f"wrote {path}; check it with: python {path} --dry-run", soft_wrap=True)
    console.print(f"then run it with: python {path}", soft_wrap=True)


@app.command("list")
def list_() -> None:
    """List the studies that were run from this $MMSR_HOME."""
    from mmsr.study.storage.folder import HOW_TO_START, find_study, study_names

    console = Console()
    names = study_names()
    if not names:
        console.print(f"no studies yet in {paths.searched()}: {HOW_TO_START}", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("study", "data set", "objective", "state", "trials", "best, %"):
        table.add_column(column, justify="right" if column == "best, %" else "left")
    for name in names:
        try:
            folder, record = find_study(name)
        except UserError as error:
            Console(stderr=True).print(f"note: {error}", soft_wrap=True)
            continue
        state, trials, value = _overview(name)
        state = "running" if folder.is_running() else state
        table.add_row(name, record.dataset, record.objective, state, trials, value)
    console.print(table)


@app.command()
def status(name: StudyName, storage: Storage = None) -> None:
    """Show how far a study has come, and every trial's state."""
    from mmsr.study.storage.definition import NOT_RECORDED, TRAINER
    from mmsr.study.storage.known_study import look_up
    from mmsr.study.storage.progress import progress_of
    from mmsr.study.views.tables import STYLES, state_of, summary
    from mmsr.tracking.databases import without_password

    console = Console()
    known = look_up(name, storage)
    progress = progress_of(known.study)
    running = known.folder.is_running()
    state = "running" if running else "finished" if progress.is_over else "stopped"
    console.print(
        f"study {name}: {state}, {progress.over} of {progress.wanted} trials done; "
        f"{summary(progress.rows, running=running)}"
    )
    if progress.used_up is not None:
        console.print(progress.used_up)
    definition = known.definition
    console.print(
        f"{', '.join(definition.objectives)} on {definition.dataset} ({definition.protocol}), "
        f"storage {without_password(known.storage)}, tracking {without_password(known.tracking)}",
        soft_wrap=True,
    )
    if definition.trainer != TRAINER:
        console.print(f"trainer {definition.trainer or NOT_RECORDED}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "state", "epoch", "objective, %", "time", "error"):
        table.add_column(column, justify="left" if column in ("state", "error") else "right")
    for row in progress.rows:
        shown = state_of(row, running=running)
        table.add_row(
            str(row.number),
            Text(shown, style=STYLES.get(shown, "dim")),
            str(row.epochs or ""),
            percent(row.value),
            seconds(row.seconds),
            row.error or "",
        )
    console.print(table)
    record = known.folder.read_record()
    if state == "stopped" and record is not None:
        where = f" (in {record.directory})" if record.directory else ""
        console.print(f"resume with: {record.command}{where}", soft_wrap=True)


@app.command()
def leaderboard(
    name: StudyName,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many trials.")] = 10,
    storage: Storage = None,
) -> None:
    """Show the best trials of a study by its objective, with their settings."""
    from mmsr.study.storage.known_study import look_up
    from mmsr.study.storage.trials import ranked, rows
    from mmsr.study.views.tables import chosen_on, leaderboard, settings_text, show_front

    console = Console()
    known = look_up(name, storage)
    found = rows(known.study)
    objective = known.definition.objective
    if not ranked(found):
        console.print(f"study {name} has no finished trial yet")
        return
    if known.definition.against:
        show_front(found, known.definition.objectives, console)
    title = f"{name}: {objective} ({chosen_on(objective)}, %)"
    console.print(leaderboard(found, objective, title, top))
    for row in ranked(found)[:top]:
        text = f"trial {row.number}: {settings_text(row.settings)}"
        console.print(text, soft_wrap=True)
    if known.folder.knockouts.exists():
        from mmsr.study.results.knockouts import read_knockouts
        from mmsr.study.views.ending import say

        if (found_out := read_knockouts(known)) is not None:
            say(found_out, console)


def _overview(name: str) -> tuple[str, str, str]:
    """State, trials and best value of a study; only a reason where its storage cannot be read."""
    from mmsr.study.storage.known_study import look_up
    from mmsr.study.storage.progress import progress_of

    try:
        known = look_up(name)
    except UserError:
        return "storage unavailable", "", ""
    progress = progress_of(known.study)
    state = "finished" if progress.is_over else "stopped"
    return state, f"{progress.over} of {progress.wanted}", percent(progress.best)
