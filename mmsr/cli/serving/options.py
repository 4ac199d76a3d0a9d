"""Options that say which model is loaded; see `mmsr.serving.sources.load`."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.options import known_studies

Source = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Study by name, folder of a checkpoint, or folder of an exported model.",
        autocompletion=known_studies,
    ),
]
Trial = Annotated[
    int | None,
    typer.Option(
        "--trial",
        min=0,
        metavar="N",
        help="The model of this trial. Default: the refit of the best finalized trial, or else the "
        "model of the best trial.",
    ),
]
Refit = Annotated[
    bool | None,
    typer.Option(
        "--refit/--no-refit",
        help="Whether to take the refit of `mmsr study finalize` (trained on validation, too) or "
        "the trial's own model.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of the refit. Default: the first one."),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="Only trials of this model, in a study of several."
    ),
]
