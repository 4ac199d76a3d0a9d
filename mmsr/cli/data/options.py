"""Options that several commands of `mmsr data` have, and what they say at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmsr.console import Console

if TYPE_CHECKING:
    from mmsr.data import Prepared

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the data set if the name exists.")
]
Core = Annotated[
    int, typer.Option(metavar="N", help="Keep users and items with this many interactions or more.")
]
Protocol = Annotated[
    str,
    typer.Option(
        metavar="PROTOCOL",
        help="How histories are split: `ratio` (the last 20 % of each are test, the last 20 % of "
        "the rest validation), `leave-one-out` (the last item is test, the one before validation), "
        "`temporal` (at one moment for all users), `cold-items` (the same, but only items that do "
        "not occur before are targets).",
    ),
]


def show_prepared(prepared: Prepared, verb: str) -> None:
    """Say what a data set holds that was made, or that there was nothing to do.

    Parameters
    ----------
    prepared : the data set.
    verb : how it was made, e.g. ``"imported"``.
    """
    from mmsr.cli.views.data import summary

    console = Console()
    name = prepared.dataset.name
    if prepared.fresh:
        shown = summary(verb, name, prepared.dataset.manifest, prepared.rows)
        console.print(shown, soft_wrap=True)
    else:
        console.print(
            f"{name} is up to date: it was made from the same inputs and settings, nothing to do",
            soft_wrap=True,
        )
