"""`mmsr embed`: the vectors of items and users as files."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.options import Device
from mmsr.cli.serving.options import Load, naming_a_model
from mmsr.console import Console
from mmsr.format import plural


@naming_a_model
def embed(
    load: Load,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to make.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the folder if it holds earlier vectors.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Write the vectors of all items, and of all users that have a history, for other programs.

    The score of a user and an item is the inner product of their vectors, for every model; items of
    the history are not left out of it. Each kind is written as Parquet and as `.npy` with a text
    file of ids, a line for each row. Histories are those of development data: test stays closed.
    """
    from mmsr.serving.embedding import check_output, write_vectors

    target = check_output(output, force=force)
    from mmsr.cli.views.progress import ConsoleReporter

    recommender = load(device)
    console = Console()
    console.print(f"model: {recommender.origin}", soft_wrap=True)
    done = write_vectors(recommender, target, ConsoleReporter())
    console.print(
        f"wrote {output}: vectors of {plural(done.items, 'item')} and "
        f"{plural(done.users, 'user')}, {done.width} wide",
        soft_wrap=True,
    )
    if done.empty:
        console.print(f"left out: {plural(done.empty, 'user')} without a history", soft_wrap=True)
    console.print(
        "score: inner product of a user's and an item's vector; items of the history are not left "
        f"out (training.seen: {recommender.config.training.seen})",
        style="dim",
        soft_wrap=True,
    )
