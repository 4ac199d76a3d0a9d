"""`mmsr study report`: all that is known of a study, as one page and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsr.cli.options import Device, StudyName, StudyStorage, StudyTracking
from mmsr.console import Console


def report(
    name: StudyName,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Page to write; the Markdown file stands beside it. Default: in the study's "
            "folder.",
        ),
    ] = None,
    intervals: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Measure the interval of the score of the N best trials, by ranking validation "
            "once with each.",
        ),
    ] = 5,
    device: Device = "auto",
    storage: StudyStorage = None,
    tracking_uri: StudyTracking = None,
) -> None:
    """Write a study's report: one page that needs no network, and the same as Markdown.

    It is also attached to the study's run in MLflow, unless the study is being run.
    """
    from mmsr.report.write import check_output
    from mmsr.study.storage.known_study import look_up

    if output is not None:
        check_output(output)
    known = look_up(name, storage, tracking_uri)
    from mmsr.report.facts import gather
    from mmsr.report.make import page_of
    from mmsr.report.write import write
    from mmsr.study.views.unshipped import show_unshipped

    console = Console(soft_wrap=True)
    with console.status("reading the study", spinner="line") as status:
        tell = status.update if console.is_terminal else lambda message: None
        facts = gather(known, intervals=intervals, device=device, notice=tell)
        page = page_of(facts, tell)
        tell("writing")
        done = write(page, known, output)
    for path in done.files:
        console.print(f"wrote {path}")
    if done.left is None:
        console.print(f"not attached to the study's run in MLflow: {done.not_attached}")
    else:
        show_unshipped(done.left, name, console)
        if not done.left.can_be_sent:
            console.print("attached to the study's run in MLflow")
