"""The group `mmsr data`."""

from __future__ import annotations

import typer

from mmsr.cli.data.demo import demo
from mmsr.cli.data.export import export
from mmsr.cli.data.import_ import import_
from mmsr.cli.data.listing import describe, list_

app = typer.Typer(
    no_args_is_help=True,
    help="Import, generate, list, describe and export data sets.",
    rich_markup_mode="markdown",
)
app.command("import")(import_)
app.command("demo")(demo)
app.command("list")(list_)
app.command("describe")(describe)
app.command("export")(export)
