"""`mmsr data demo`: generate a synthetic shop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsr.cli.data.options import Overwrite, Protocol, show_prepared


def demo(
    name: Annotated[str, typer.Option(metavar="NAME", help="Name for the data set.")] = "demo",
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed makes another shop.")] = 7,
    users: Annotated[int, typer.Option(metavar="N", help="Users of the shop.")] = 1200,
    items: Annotated[int, typer.Option(metavar="N", help="Items of the shop.")] = 1600,
    image: Annotated[
        float, typer.Option(metavar="X", help="How much image matters; 0: not at all.")
    ] = 6.0,
    text: Annotated[
        float, typer.Option(metavar="X", help="How much text matters; 0: not at all.")
    ] = 6.0,
    order: Annotated[
        float, typer.Option(metavar="X", help="Share of purchases that follow the order.")
    ] = 0.1,
    noise: Annotated[
        bool, typer.Option("--noise", help="Add a modality that says nothing about purchases.")
    ] = False,
    protocol: Protocol = "ratio",
    overwrite: Overwrite = False,
) -> None:
    """Generate a seeded synthetic shop and import it.

    Purchases depend partly on images, partly on texts and partly on the order of items, so a model
    without the images or the texts ranks worse (`benchmarks/demo_modalities.py`). The shop is
    written as tables and imported like any other data, with `--core 2`.
    """
    import tempfile

    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.data import DemoShop, ImportSettings, prepare, write_tables

    shop = DemoShop(
        users=users, items=items, image=image, text=text, order=order, noise=noise, seed=seed
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            name,
            write_tables(shop, Path(folder)),
            ImportSettings(protocol=protocol, core=2),
            overwrite=overwrite,
            reporter=ConsoleReporter(),
        )
    show_prepared(prepared, "generated")
