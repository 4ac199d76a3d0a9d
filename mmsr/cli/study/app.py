"""`mmsr study`: write study files, look at studies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mmsr import paths
from mmsr.cli.care import study as care
from mmsr.cli.groups import Studies
from mmsr.cli.options import StudyName, StudyTracking, known_datasets
from mmsr.cli.output import AsCsv, AsJson, check_format, write_csv, write_json
from mmsr.cli.study import compare, finalize, report
from mmsr.cli.views import records
from mmsr.console import Console
from mmsr.format import percent, plural, seconds

if TYPE_CHECKING:
    from mmsr.study.results.references import ReferenceLine
    from mmsr.study.storage.known_study import KnownStudy
    from mmsr.study.storage.trials import TrialRow

app = typer.Typer(
    cls=Studies,
    no_args_is_help=True,
    help="Write, list, inspect, finalize, rename and remove studies.",
)
app.command("finalize")(finalize.finalize)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("remove")(care.remove)
app.command("rename")(care.rename)

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
def list_(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the studies that were run from this $MMSR_HOME."""
    for_program = check_format(as_json, as_csv)
    from mmsr.study.storage.folder import HOW_TO_START, study_names
    from mmsr.study.views.studies import study_lines

    console = Console()
    names = study_names()
    if for_program:
        lines, notes = study_lines(names)
        found = [records.of_study_line(line) for line in lines]
        write_json(found) if as_json else write_csv(found, records.STUDIES)
        _note(notes)
        return
    if not names:
        console.print(f"no studies yet in {paths.searched()}: {HOW_TO_START}", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("study", "data set", "objective", "state", "trials", "best, %"):
        table.add_column(column, justify="right" if column == "best, %" else "left")
    lines, notes = study_lines(names)
    for line in lines:
        table.add_row(*line.cells)
    console.print(table)
    _note(notes)


def _note(notes: list[str]) -> None:
    for note in notes:
        Console(stderr=True).print(f"note: {note}", soft_wrap=True)


@app.command()
def status(
    name: StudyName,
    last: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many of the newest trials.")
    ] = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    storage: Storage = None,
) -> None:
    """Show how far a study has come, and its trials' states."""
    from mmsr.study.storage.definition import NOT_RECORDED, TRAINER
    from mmsr.study.storage.known_study import look_up, unshipped_of
    from mmsr.study.views.tables import STYLES, WORDS, state_of, summary

    for_program = check_format(as_json, as_csv)
    console = Console()
    known = look_up(name, storage)
    progress, found = known.overview.extent, known.overview.standings
    running = known.folder.is_running()
    state = "running" if running else "finished" if progress.is_over else "stopped"
    if for_program:
        states = {one.number: state_of(one, running=running) for one in found[-last:]}
        tree = records.of_status(known, state, states)
        write_json(tree) if as_json else write_csv(tree["trials"], records.TRIALS)
        return
    console.print(
        f"study {name}: {state}, {progress.over} of {plural(progress.wanted, 'trial')} done; "
        f"{summary(found, running=running)}"
    )
    if progress.used_up is not None:
        console.print(progress.used_up)
    definition = known.definition
    console.print(
        f"{', '.join(definition.objectives)} on {definition.dataset} ({definition.protocol}), "
        f"storage {known.storage}, tracking {known.tracking}",
        soft_wrap=True,
    )
    if definition.trainer != TRAINER:
        console.print(f"trainer {definition.trainer or NOT_RECORDED}", soft_wrap=True)
    for line in unshipped_of(known).told(None if running else name):
        console.print(line, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "state", "epoch", "objective, %", "time", "error"):
        table.add_column(column, justify="left" if column in ("state", "error") else "right")
    for row in known.rows(one.number for one in found[-last:]):
        shown = state_of(row, running=running)
        table.add_row(
            str(row.number),
            Text(WORDS.get(shown, shown), style=STYLES.get(shown, "dim")),
            str(row.epochs or ""),
            percent(row.value),
            seconds(row.seconds),
            row.error or "",
        )
    console.print(table)
    if (left := len(found) - last) > 0:
        are = "is" if left == 1 else "are"
        console.print(
            f"{plural(left, 'older trial')} {are} not shown; --last {len(found)} shows all"
        )
    for number in known.overview.outside[-last:]:
        reason = known.reason_outside(number)
        console.print(
            f"trial {number} is another client's and does not count: {reason}",
            soft_wrap=True,
        )
    record = known.folder.read_record()
    if state == "stopped" and record is not None:
        where = f" (in {record.directory})" if record.directory else ""
        console.print(f"{record.resumption}{where}", soft_wrap=True)


@app.command()
def sync(name: StudyName, storage: Storage = None, tracking_uri: StudyTracking = None) -> None:
    """Send to MLflow what a study has recorded and MLflow does not have yet.

    It is of use after MLflow was away or refused something, and for another MLflow than before,
    which gets everything. The exit code is 1 if something is left.
    """
    from mmsr.study.storage.known_study import check_journal, look_up, ship
    from mmsr.study.views.unshipped import show_unshipped
    from mmsr.tracking import check_tracking

    console = Console(soft_wrap=True)
    known = look_up(name, storage, tracking_uri)
    check_journal(known)
    if (away := check_tracking(known.tracking)) is not None:
        console.print(f"{away}; events wait: give the command again when it answers")
        raise typer.Exit(1)
    with known.folder.locked():
        left = ship(known, console.print, always=True)
    show_unshipped(left, name, console)
    if left.can_be_sent:
        raise typer.Exit(1)
    console.print("tracking: nothing waits to be sent")


@app.command()
def leaderboard(
    name: StudyName,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many trials.")] = 10,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    storage: Storage = None,
) -> None:
    """Show the best trials of a study, with their settings, above the reference lines.

    Popularity, item-kNN and EASE are measured once per data set, which may take a minute; not
    while the study is being run.
    """
    from mmsr.study.results.pareto import pareto_front
    from mmsr.study.storage.known_study import look_up
    from mmsr.study.storage.trials import ranked, rows
    from mmsr.study.views.energy import show_energy
    from mmsr.study.views.standings import chosen_on
    from mmsr.study.views.tables import (
        by_model,
        leaderboard,
        settings_text,
        show_front,
        show_left_out,
    )
    from mmsr.tracking.energy import UNMEASURED

    for_program = check_format(as_json, as_csv)
    console = Console()
    known = look_up(name, storage)
    found = known.overview.standings
    objective, objectives = known.definition.objective, known.definition.objectives
    best = known.rows(one.number for one in ranked(found, objectives)[:top])
    if for_program:
        on_front = [row.number for row in pareto_front(found, objectives)]
        tree = records.of_leaderboard(known, best, _lines(known, best), on_front)
        write_json(tree) if as_json else write_csv(records.places(tree), records.PLACES)
        return
    if not best:
        console.print(f"study {name} has no finished trial yet")
        return
    if known.definition.against:
        finished = sum(one.state == "finished" for one in found)
        front = known.rows(one.number for one in pareto_front(found, objectives))
        show_front(front, objectives, console, finished)
    if models := known.definition.models:
        console.print(by_model(rows(known.study), objectives, models))
    title = f"{name}: {objective} ({chosen_on(objective)}, %)"
    lines = _lines(known, best)
    console.print(leaderboard(best, objective, title, top, lines, against=objectives[1:]))
    show_left_out(lines, console)
    for row in best:
        text = f"trial {row.number}: {settings_text(row.settings)}"
        console.print(text, soft_wrap=True)
    if any(row.energy != UNMEASURED for row in best):
        show_energy(rows(known.study), console)
    if known.folder.knockouts.exists():
        from mmsr.study.results.knockouts import read_knockouts
        from mmsr.study.views.ending import say

        if (found_out := read_knockouts(known)) is not None:
            say(found_out, console)


def _lines(known: KnownStudy, best: Sequence[TrialRow]) -> list[ReferenceLine]:
    """The reference lines of a study, measured where that is fitting."""
    from mmsr.study.results.references import WHEN_ASKED, cached_lines, measured_lines

    if not best or (config := best[0].config) is None:
        return []
    # A running study gets the whole machine, and no data set is fetched just to look.
    if known.folder.is_running() or paths.remote() is not None:
        return cached_lines(known, config)
    return measured_lines(
        known, config, WHEN_ASKED, partial(Console(stderr=True).print, style="dim")
    )
