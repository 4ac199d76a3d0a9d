"""`mmsr robustness`: what missing modalities cost a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsr.cli.options import Device, StudyStorage, StudyTracking, known_studies
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.robustness.request import RATES


def robustness(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Study by name, a checkpoint folder, or a config file.",
            autocompletion=known_studies,
        ),
    ],
    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="SUBSET,…",
            help="What goes missing: modalities by name, a+b for several together, both or all. "
            "Default: each by itself, and all.",
        ),
    ] = None,
    rates: Annotated[
        str,
        typer.Option(metavar="RATE,…", help="Shares of items that lack it, from 0 to 1."),
    ] = RATES,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Masks of each rate, each with its own seed.")
    ] = 3,
    way: Annotated[
        str,
        typer.Option(
            metavar="WAY",
            help="`item`: a seeded choice of items lacks it; `access`: each occurrence of an item "
            "loses it by chance, as in the paper authors' code.",
        ),
    ] = "item",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where results go. Default: a folder under $MMSR_HOME.",
        ),
    ] = None,
    device: Device = "auto",
    storage: StudyStorage = None,
    tracking_uri: StudyTracking = None,
) -> None:
    """Measure how a model ranks as modalities go missing, and what it loses when they are
    knocked out.

    For a study, it takes the trial that was finalized, or else the best one; a config is trained
    first. Only validation targets are ranked: `mmsr study finalize --robustness` alone opens test.
    Curves with bands are written as JSON, PNG and an interactive page; those of a study are also
    recorded in MLflow, as its nested run `robustness`.
    """
    from mmsr.robustness.request import make_sweep
    from mmsr.study.results.measured_model import find_subject
    from mmsr.tracking import check_tracking

    if output is not None and output.exists() and not output.is_dir():
        raise UserError(f"--output {str(output)!r} is a file: name a folder")
    subject = find_subject(name, storage, tracking_uri)
    if subject.known is not None:
        check_tracking(subject.known.tracking)
    sweep = make_sweep(
        subject.modalities,
        subsets=modalities,
        rates=rates,
        seeds=seeds,
        way=way,
        metric=subject.metric,
        others=subject.dataset.modalities,
    )
    from mmsr.pace import progress_line
    from mmsr.robustness.run import measure, write
    from mmsr.robustness.view import show_results

    folder = output or subject.output
    console = Console()
    with progress_line(console, "loading") as tell:
        results = measure(subject, sweep, folder, device=device, progress=tell)
        files = write(results, folder)
    show_results(results, console)
    for path in files:
        console.print(f"wrote {path}", soft_wrap=True)
    if subject.known is None:
        return
    from mmsr.robustness.record import record_robustness
    from mmsr.study.views.unshipped import show_unshipped

    left = record_robustness(subject.known, results, files)
    show_unshipped(left, subject.known.name, console)
