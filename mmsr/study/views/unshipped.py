"""What the tracking server does not have of a study, on the terminal."""

from __future__ import annotations

from mmsr.console import Console
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
        console.print(line, soft_wrap=True)
