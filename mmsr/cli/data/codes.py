"""`mmsr data codes`: what the codes of a data set hold."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmsr.cli.options import ConfigFile, Settings, known_datasets
from mmsr.config import Config, parse_settings, read_yaml
from mmsr.console import Console
from mmsr.errors import UserError

_EXAMPLES = 3


def codes(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Data set by name.", autocompletion=known_datasets)
    ],
    modality: Annotated[
        str | None,
        typer.Argument(metavar="MODALITY", help="The modality. Default: all that the config uses."),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Show how many items are linked to each code, and those nearest to its centre.

    Codes are made as a config says: the default one, or `--config`, with the changes of `--set`.
    They are computed anew, which takes seconds to minutes. Test is not read.

    Examples: `mmsr data codes demo`, `mmsr data codes demo image --set graph.clustering=residual`.
    """
    tree: dict[str, Any] = read_yaml(config) if config else {}
    full = Config.from_dict({**tree, "dataset": name}, source=str(config or "config"))
    full = full.replace(parse_settings(settings or []))
    if modality is not None:
        full = full.replace({"graph.modalities": [modality], "graph.missing.modalities": None})

    from mmsr.cli.views.codes import code_contents
    from mmsr.data import Dataset
    from mmsr.graph.contents import contents_of

    dataset, console = Dataset.open(name), Console()
    if not dataset.modalities:
        raise UserError(f"data set {name!r} has no modality, so it has no codes")
    with console.status("computing codes", spinner="line"):
        found = contents_of(dataset, full.graph, _EXAMPLES)
    console.print(code_contents(dataset, found))
