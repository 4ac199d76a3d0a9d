"""`mmsr data remove`: remove data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.care.confirm import Yes, confirm
from mmsr.cli.options import known_datasets
from mmsr.console import Console
from mmsr.format import plural


def remove(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Data sets by name.", autocompletion=known_datasets),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Remove it even if studies need it.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove data sets with their test parts, after asking.

    One that an import is writing is refused, and one that studies need. The record of test's
    openings stays: where the same data are imported again, under whatever name, the openings still
    count.
    """
    from mmsr.care.changes import carry_out
    from mmsr.care.datasets import described, removal

    removals = [removal(name, force=force) for name in dict.fromkeys(names)]
    console = Console(soft_wrap=True)
    for change in removals:
        console.print(described(change.name))
    confirm(f"Remove {plural(len(removals), 'data set')}?", yes)
    for change in removals:
        notes = carry_out(change)
        console.print(f"removed data set {change.name}")
        for note in notes:
            console.print(note)
