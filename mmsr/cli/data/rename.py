"""`mmsr data rename`: give a data set another name."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.options import known_datasets
from mmsr.console import Console


def rename(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="Data set by name.", autocompletion=known_datasets),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
) -> None:
    """Rename a data set, with its test part and the record of its openings.

    One that studies need is refused: they find it by its name.
    """
    from mmsr.care.changes import carry_out
    from mmsr.care.datasets import renaming

    carry_out(renaming(old, new))
    Console(soft_wrap=True).print(f"renamed data set {old} to {new}")
