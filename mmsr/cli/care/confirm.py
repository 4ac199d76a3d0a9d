"""How a command asks before it removes something."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mmsr.console import Console
from mmsr.errors import UserError

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, e.g. in a script.")]


def confirm(question: str, yes: bool) -> None:
    """Ask the user, unless the answer was given beforehand; end the command where it is no.

    Parameters
    ----------
    question : what is asked.
    yes : whether `--yes` was given.

    Raises
    ------
    UserError : there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask on, so nothing was removed: give --yes")
    if not typer.confirm(question):
        Console().print("nothing was removed")
        raise typer.Exit(1)
