"""`mmsr data fetch`: get the files of public data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.options import known_public
from mmsr.console import Console


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Public data sets. Default: list those that there are.",
            autocompletion=known_public,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Base URL of a mirror, or a folder, with the files under their published names. "
            "Default: the publishers.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE", help="Only this file, e.g. `reviews`; repeatable."),
    ] = None,
) -> None:
    """Fetch the files of public data sets into $MMSR_HOME/downloads.

    Each file is verified: its size and checksum where they are published, and in any case the
    SHA-256 of its first download, which is kept beside it. Files that are there are only verified.

    An interrupted download goes on where it ended when the command is run again. Where a
    connection breaks or a server is busy, it is tried again after a pause.
    """
    from mmsr.cli.views.catalogue import fetched, overview
    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.data.catalogue import entries
    from mmsr.data.catalogue.fetch import fetch as fetch_files

    console = Console()
    if not names:
        console.print(overview([entries.entry(name) for name in entries.names()]))
        return
    reporter = ConsoleReporter()
    try:
        files = fetch_files(names, source=source, roles=only or (), reporter=reporter)
    except KeyboardInterrupt:
        reporter.note("what has come is kept: the same command goes on from there")
        raise
    for line in fetched(files):
        console.print(line, soft_wrap=True)
