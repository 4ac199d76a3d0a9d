"""Options and arguments that several commands have, and what completes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mmsr import paths


def known_datasets() -> list[str]:
    """Names that complete a data set's: those on this machine."""
    return _folders_with("manifest.json", paths.datasets)


def known_studies() -> list[str]:
    """Names that complete a study's."""
    return _folders_with("study.json", paths.studies)


def known_public() -> list[str]:
    """Names that complete a public data set's."""
    from mmsr.data.catalogue.entries import names

    return names()


def _folders_with(file: str, parent: Callable[[], Path]) -> list[str]:
    """Names of the folders that have a file; none where that cannot be told.

    It runs at every press of the tab key, so it only looks at names, and an error has no place.
    """
    try:
        found = [path.parent.name for path in parent().glob(f"*/{file}")]
    except (OSError, RuntimeError):  # RuntimeError: `~` without a home
        return []
    return sorted(name for name in found if paths.NAME.fullmatch(name))


StudyName = Annotated[
    str, typer.Argument(metavar="NAME", help="Study by name.", autocompletion=known_studies)
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="YAML config, e.g. from `mmsr best-config export`."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a config key; repeatable."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Ray cluster to join, e.g. auto. Default: Ray on this machine.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, show what would run, run nothing.")
]
Notify = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="URL",
        help="Send a notice there when it ends, fails or waits. Default: $MMSR_NOTIFY.",
        show_default=False,
    ),
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
