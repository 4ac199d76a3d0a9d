"""The group `mmsr data`."""

from __future__ import annotations

import typer

from mmsr.cli.data.codes import codes
from mmsr.cli.data.demo import demo
from mmsr.cli.data.export import export
from mmsr.cli.data.fetch import fetch
from mmsr.cli.data.import_ import import_
from mmsr.cli.data.listing import describe, list_
from mmsr.cli.data.prepare import prepare
from mmsr.cli.data.remove import remove
from mmsr.cli.data.rename import rename

app = typer.Typer(
    no_args_is_help=True,
    help="Data sets: fetch, prepare, import, list, describe, export, rename, remove.",
    rich_markup_mode="markdown",
)
app.command("fetch")(fetch)
app.command("prepare")(prepare)
app.command("import")(import_)
app.command("demo")(demo)
app.command("list")(list_)
app.command("describe")(describe)
app.command("remove")(remove)
app.command("rename")(rename)
app.command("codes")(codes)
app.command("export")(export)
