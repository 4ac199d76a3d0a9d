"""`mmsr best-config`: a study's best config as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsr.cli.options import StudyName, StudyStorage
from mmsr.console import deliver

app = typer.Typer(no_args_is_help=True, help="Export a study's best config, to train it again.")


@app.callback()
def best_config() -> None:
    """Export a study's best config, to train it again."""


@app.command()
def export(
    name: StudyName,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="File to write; - is stdout.")
    ] = "-",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    trial: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Number of the trial. Default: the best one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Best trial of this model, in a study of several. Default: of all.",
        ),
    ] = None,
    storage: StudyStorage = None,
) -> None:
    """Write the best finished trial's config and where it comes from.

    With several objectives, the best trial is the best in the first one; --trial takes another.
    `mmsr train --config FILE` repeats the trial and shows both results side by side.
    """
    from mmsr.study.results.export import check_new, export_best, write_config
    from mmsr.study.storage.known_study import look_up

    path = Path(output)
    if output != "-":
        check_new(path, force, "replace it with --force")
    text = export_best(look_up(name, storage), trial, model)
    if output == "-":
        deliver(text)
        return
    write_config(path, text)
    typer.echo(f"wrote {output}; replay it with: mmsr train --config {output}")
