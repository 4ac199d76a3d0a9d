"""`mmsr data list` and `describe`: which data sets there are, and what one holds."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr import paths
from mmsr.cli.options import known_datasets
from mmsr.cli.output import AsCsv, AsJson, check_format, flattened, write_csv, write_json
from mmsr.cli.views import records
from mmsr.console import Console
from mmsr.errors import UserError


def list_(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the prepared data sets."""
    for_program = check_format(as_json, as_csv)
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
    if for_program:
        found = [records.of_manifest(name, manifest) for name, manifest in manifests.items()]
        write_json(found) if as_json else write_csv(found, records.DATASETS)
    elif manifests:
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
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a data set's size, histories, modalities, splits and origin.

    Also shows when its test part was opened, by whom and what for. Neither histories nor the test
    part are read.
    """
    from mmsr.cli.views.data import description
    from mmsr.data import Dataset
    from mmsr.data.openings import openings, set_apart_at

    for_program = check_format(as_json, as_csv)
    dataset = Dataset.open(name)
    if for_program:
        opened, since = openings(dataset), set_apart_at(dataset)
        tree = records.of_dataset(name, dataset.manifest, opened, since)
        write_json(tree) if as_json else write_csv(flattened(tree), ("key", "value"))
        return
    shown = description(name, dataset.manifest, openings(dataset), set_apart_at(dataset))
    Console().print(shown)
