"""`mmsr recommend`: the best items for a history, for users of a file, or for all users."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsr.cli.options import Device
from mmsr.cli.serving.options import Load, naming_a_model
from mmsr.console import Console
from mmsr.errors import UserError, shown
from mmsr.urls import is_uri

if TYPE_CHECKING:
    from mmsr.serving.options import Options
    from mmsr.serving.recommender import Recommender


@naming_a_model
def recommend(
    load: Load,
    history: Annotated[
        str | None,
        typer.Option(metavar="ID,…", help="Item ids of one history, oldest first."),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Users, as CSV, TSV, JSONL or Parquet: a column `history` (lists of item ids, or "
            "texts of ids with blanks between them), a column `user_id`, or both. Users without "
            "histories are those of the data set.",
        ),
    ] = None,
    all_users: Annotated[
        bool,
        typer.Option("--all-users", help="All users of the model's data set that have a history."),
    ] = False,
    top: Annotated[int, typer.Option(metavar="N", help="Items per history.")] = 10,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Parquet file to write, with --users and such."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    seen: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Items of the history: `kept`, `masked` (not recommended), or `read_masked` (not "
            "those that the model reads). Default: training.seen of the model's config.",
        ),
    ] = None,
    new: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Items without training interactions: `kept`, or `masked` (not recommended).",
        ),
    ] = "kept",
    unknown: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Items or users that the data set does not have: `refused`, or `skipped` and "
            "counted.",
        ),
    ] = "refused",
    empty: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Histories without a known item: `refused`, or `skipped` and counted.",
        ),
    ] = "refused",
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show what the recommendations for a history rest on: effects of its items, and "
            "what attention read.",
        ),
    ] = False,
    picture: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw the explanation: a .png or .svg file to write."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Recommend items with a trained model: of a study, a checkpoint or an exported model.

    For a study that was finalized it takes the first refit of its best config, which was trained
    on train + validation; else the model of its best trial. It says which. Histories of the data
    set's users are those of development data: test stays closed.

    New items that have codes are scored by these where the model was trained with
    `model.cold_items=codes`. Else they were never a target of training, which pushes such items
    down; how far depends on the model and its scoring.

    Examples: `mmsr recommend demo --history item-0001,item-0002`,
    `mmsr recommend demo -o top.parquet --all-users`.
    """
    _check(history, users, all_users, output is not None)
    if history is None and (explain or picture is not None):
        raise UserError("--explain and --picture are for one history: give it with --history")
    target = None if output is None else _file("--output", output, (".parquet", ".pq"), force)
    drawing = None if picture is None else _file("--picture", picture, (".png", ".svg"), force)
    from mmsr.serving.options import Options

    wishes: dict[str, Any] = {"seen": seen, "new": new, "unknown": unknown, "empty": empty}
    options = Options(top=top, **wishes)
    if history is not None:
        _show_one(load(device), history, options, explain=explain, picture=drawing)
    elif target is not None:  # always so: it has been checked
        _write_many(load, device, users, options, target)


def _check(history: str | None, users: Path | None, all_users: bool, has_output: bool) -> None:
    """Check what is asked for before anything slow is imported."""
    given = [history is not None, users is not None, all_users]
    if sum(given) != 1:
        raise UserError(
            "for whom? give one of --history ID,… (one history), --users FILE and --all-users"
        )
    if history is not None and has_output:
        raise UserError("--output is for --users and --all-users; one history is shown")
    if history is None and not has_output:
        raise UserError("--output FILE is missing: name the Parquet file to write")
    if users is not None and not users.is_file():  # what reads it imports much
        raise UserError(f"--users {str(users)!r}: there is no such file")


def _file(option: str, given: str, endings: tuple[str, ...], force: bool) -> Path:
    """The file that an option names, which may be written."""
    path = Path(given)
    if is_uri(given):
        raise UserError(f"{option} is {shown(given)}: give a file of this machine")
    if path.suffix.lower() not in endings:
        raise UserError(f"{option} {given!r}: name a file that ends in {' or '.join(endings)}")
    if path.exists() and not force:
        raise UserError(f"{path} exists: name another file, or replace it with --force")
    return path


def _write_many(
    load: Load, device: str, users: Path | None, options: Options, target: Path
) -> None:
    """Write recommendations for the users of a file, or for all; a bad file is refused first."""
    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.cli.views.recommend import show_counts
    from mmsr.serving.users_file import USER, UsersFile, all_users
    from mmsr.serving.writing import write_recommendations

    console = Console()
    with ExitStack() as stack:
        file = None if users is None else stack.enter_context(UsersFile.opened(users))
        recommender = load(device)
        console.print(f"model: {recommender.origin}", soft_wrap=True)
        key, read = (USER, all_users) if file is None else (file.key, file.blocks)
        blocks = partial(read, recommender, options)
        started = time.perf_counter()
        counts = write_recommendations(recommender, blocks, target, options, key, ConsoleReporter())
        seconds = time.perf_counter() - started
    show_counts(counts, recommender, options, target, seconds, console)


def _show_one(
    recommender: Recommender,
    history: str,
    options: Options,
    *,
    explain: bool,
    picture: Path | None,
) -> None:
    from mmsr.cli.views.recommend import show_recommendations

    console = Console()
    ids = [one.strip() for one in history.split(",") if one.strip()]
    found = recommender.recommend([ids], **asdict(options))
    show_recommendations(recommender, ids, found, options, console)
    if found.empty or not (explain or picture is not None):
        return
    from mmsr.cli.views.explanation import show_explanation

    explanation = recommender.explain(ids, **asdict(options))
    if explain:
        show_explanation(recommender, explanation, console)
    if picture is not None:
        from mmsr.serving.picture import draw
        from mmsr.serving.writing import replacing_file

        with replacing_file(picture) as draft:
            draw(explanation, recommender.catalogue, recommender.origin, draft)
        console.print(f"wrote {picture}", soft_wrap=True)
