"""`mmsr data prepare`: make a data set of the files of a public one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsr.cli.data.options import Core, Overwrite, Protocol, show_prepared
from mmsr.cli.options import known_public


def prepare(
    public: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Public data set.", autocompletion=known_public),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="DATASET",
            help="Name for the data set. Default: the public one's.",
        ),
    ] = None,
    protocol: Protocol = "ratio",
    core: Core = 5,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder with the files under their published names. Default: where `mmsr data "
            "fetch` puts them.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a data set of the files of a public one.

    The files are read as a stream, and their rows are counted. Rules:

    - A review, rating or pair is one interaction, whatever its stars. One without user, item or
      time is left out, and so is one that repeats user, item and time.

    - Metadata without an id, of an item without interactions, or of an item that an earlier line
      has listed is left out. Tags and entities of HTML become plain text.

    - An image vector of an item without interactions, or of an item that has one already, is left
      out, and so is one with numbers that are not finite: its item lacks the modality.

    - Everything else is an error that names the file and the line: a line that is no object, or has
      more or fewer fields; an id or time of another kind; a record that is cut; a damaged archive.

    - Amazon 2023 is read from the 5-core ratings, or from the reviews if these alone are there.

    The counts are compared with table 1 of the paper, where it has the data set. Repeating a
    command does nothing; other files or settings under the same name need `--overwrite`.
    """
    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.data import ImportSettings
    from mmsr.data.catalogue.prepare import prepare as prepare_public

    prepared = prepare_public(
        public,
        name,
        settings=ImportSettings.checked(protocol=protocol, core=core),
        source=source,
        overwrite=overwrite,
        reporter=ConsoleReporter(),
    )
    show_prepared(prepared, "prepared")
