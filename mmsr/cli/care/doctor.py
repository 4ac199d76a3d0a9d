"""`mmsr doctor`: whether everything works here."""

from __future__ import annotations

import typer
from rich.text import Text

from mmsr.console import Console

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor() -> None:
    """Check versions, home, disk, GPU, Ray, storage, tracking and clock, within seconds.

    A line for each, with what to do about it. The exit code is 1 if one fails. Ray is not started.
    """
    from mmsr.care.checks import CHECKS
    from mmsr.care.doctor import Verdict, examine

    console = Console(soft_wrap=True)
    found = examine(CHECKS)
    for name, one in found.items():
        told = one.text + (f": {one.remedy}" if one.remedy else "")
        verdict = (f"{one.verdict:5}", _STYLES[one.verdict])
        console.print(Text.assemble(verdict, f"{name:9} {told}"))
    if any(one.verdict is Verdict.FAIL for one in found.values()):
        raise typer.Exit(1)
