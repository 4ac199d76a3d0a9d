"""`mmsr data list` and `describe`: which data sets there are, and what one holds."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr import paths
from mmsr.cli.options import known_datasets
from mmsr.console import Console
from mmsr.errors import UserError


def list_() -> None:
    """List the prepared data sets."""
    from mmsr.cli.views.data import overview
    from mmsr.data import catalog

    console = Console()
    manifests = {}
    names = catalog.names()
    for name in names:
        try:
            manifests[name] = catalog.manifest(name)
        except UserError as error:
            Console(stderr=True).print(f"note: {error}", soft_wrap=True)
    if manifests:
        console.print(overview(manifests))
    elif not names:
        console.print(
            f"no data sets yet in {paths.searched()}: run `mmsr data demo`, or `mmsr data import "
            "--help`",
            soft_wrap=True,
        )


def describe(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Data set by name.", autocompletion=known_datasets)
    ],
) -> None:
    """Show a data set's size, histories, modalities, splits and origin.

    Also shows when its test part was opened, by whom and what for. Neither histories nor the test
    part are read.
    """
    from mmsr.cli.views.data import description
    from mmsr.data import Dataset
    from mmsr.data.openings import openings, set_apart_at

    dataset = Dataset.open(name)
    shown = description(name, dataset.manifest, openings(dataset), set_apart_at(dataset))
    Console().print(shown)
