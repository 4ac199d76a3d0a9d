"""What the tracking server does not have of a study, on the terminal."""

from __future__ import annotations

from rich.console import Console

from mmsr.tracking import Unshipped


def show_unshipped(left: Unshipped, study: str, console: Console) -> None:
    """Say what could not be shipped, and how to send it; nothing where all was.

    Parameters
    ----------
    left : what could not be shipped.
    study : name of the study.
    console : where to say it.
    """
    for line in left.told(study):
        show_note(console, line)


def show_note(console: Console, message: str) -> None:
    """Print a message that may hold text from a server.

    Parameters
    ----------
    console : where to print it.
    message : the message, which is no markup.
    """
    console.print(message, markup=False, soft_wrap=True)
