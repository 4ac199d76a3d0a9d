"""`mmsr disk`: what is how large, and what can go."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer
from rich.table import Table

from mmsr import paths
from mmsr.cli.care.confirm import Yes, confirm
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import data_size


def disk(
    free: Annotated[bool, typer.Option("--free", help="Remove what can go, after asking.")] = False,
    yes: Yes = False,
) -> None:
    """Show what in $MMSR_HOME is how large, and what of it can go.

    What can go: leftovers of killed imports, removals and writers; files that serve to resume
    trials that have finished, and checkpoints of trials that were stopped early; codes and
    prefixes that fit no data set. What a running study or an import uses is left alone.
    """
    from mmsr.care.changes import check_local
    from mmsr.care.leftovers import leftovers
    from mmsr.care.sizes import used, used_in_store

    if free:
        check_local("mmsr disk --free")
    console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("what", "name", "size", ""):
        table.add_column(column, justify="right" if column == "size" else "left")
    found, store = used(), paths.remote()
    if store is not None:
        there = used_in_store(store)
        for one in there:
            table.add_row(one.kind, one.name, data_size(one.n_bytes), "in the store")
        total = data_size(sum(one.n_bytes for one in there))
        console.print(f"{paths.searched()}: {total}; this machine's copies are in {paths.home()}")
    for one in found:
        table.add_row(one.kind, one.name, data_size(one.n_bytes), one.detail)
    console.print(table) if table.row_count else None
    total, space = data_size(sum(one.n_bytes for one in found)), _free_space()
    console.print(f"{paths.home()}: {total}{space}")
    if store is not None:
        return
    left = leftovers(lambda message: notes.print(f"note: {message}"))
    for some in left:
        console.print(f"can go: {some.what}, {data_size(some.n_bytes)}")
    if not left:
        console.print("nothing of it can go")
        return
    if not free:
        console.print("remove it with: mmsr disk --free")
        return
    confirm(f"Remove {data_size(sum(some.n_bytes for some in left))}?", yes)
    gone = 0
    for some in left:
        try:
            some.remove()
        except UserError as error:
            notes.print(f"note: {error}")
        gone += some.gone
    console.print(f"removed {data_size(gone)}")


def _free_space() -> str:
    try:
        return f", {data_size(shutil.disk_usage(paths.home()).free)} free on its disk"
    except OSError:
        return ""
