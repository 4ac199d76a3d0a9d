"""`mmsr data export`: write a data set for other libraries."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.options import known_datasets
from mmsr.console import Console


def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Data set by name.", autocompletion=known_datasets)
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="`recbole` (atomic files and a config), `parquet` (tables that `mmsr data import` "
            "reads) or `rectools` (its columns, as Parquet).",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to make.")
    ],
    with_test: Annotated[
        bool,
        typer.Option(
            "--with-test",
            help="Open the test part, which is recorded, and export it, too.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the folder if it is an earlier export.")
    ] = False,
) -> None:
    """Write a data set for other libraries, with its split, so that they check our numbers.

    Without `--with-test`, development data alone is written: train and validation. The folder gets
    a README that says how its files are read.
    """
    from mmsr.cli.views.data import exported
    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.data import Dataset
    from mmsr.data.exporters.export import export as write

    reporter = ConsoleReporter()
    done = write(
        Dataset.open(name), to, output, with_test=with_test, overwrite=overwrite, reporter=reporter
    )
    Console().print(exported(done), soft_wrap=True)
