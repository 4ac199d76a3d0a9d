"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML config, e.g. from `mmsr best-config export`."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a config key; repeatable."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Ray cluster to join, e.g. auto. Default: Ray on this machine."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, show what would run, run nothing.")
]
StudyStorage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="Optuna's database; default: where the study was run."
    ),
]
StudyTracking = Annotated[
    str | None,
    typer.Option("--tracking-uri", metavar="URI", help="MLflow; default: where the study was run."),
]
