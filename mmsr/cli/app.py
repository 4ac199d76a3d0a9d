"""The `mmsr` command. Command modules import slow packages only when a command runs."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from mmsr import paths
from mmsr.cli import best_config, model, reproduce, robustness, study, train
from mmsr.cli.care.disk import disk
from mmsr.cli.care.doctor import doctor
from mmsr.cli.data.app import app as data
from mmsr.cli.groups import OneLine
from mmsr.cli.serving.embed import embed
from mmsr.cli.serving.recommend import recommend
from mmsr.console import Console, tolerant_output
from mmsr.errors import UserError, one_line, reason_and_file
from mmsr.version import __version__

app = typer.Typer(
    cls=OneLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(data, name="data")
app.add_typer(model.app, name="model")
app.add_typer(study.app, name="study")
app.add_typer(best_config.app, name="best-config")
app.command("train")(train.train)
app.command("reproduce")(reproduce.reproduce)
app.command("robustness")(robustness.robustness)
app.command("recommend")(recommend)
app.command("embed")(embed)
app.command("disk")(disk)
app.command("doctor")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmsr {__version__}")
        raise typer.Exit


@app.callback()
def mmsr(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hyperparameter studies for multi-modal sequential recommendation.

    Start with `mmsr data demo` and `mmsr study new first --dataset demo`. Everything is kept under
    $MMSR_HOME, by default ~/.mmsr.
    """
    if "--help" not in sys.argv:
        _finish_changes()


def _finish_changes() -> None:
    """Finish removals and renames that were interrupted, if there are any."""
    with suppress(UserError, OSError, RuntimeError):  # of a home that cannot be used
        if not any(paths.changes().glob("*.json")):
            return
        from mmsr.care.pending import finish_changes

        finish_changes(
            lambda message: Console(stderr=True).print(f"note: {message}", soft_wrap=True)
        )


def main() -> None:
    """Run the command line: bad input gives one line on stderr and exit code 2."""
    tolerant_output()
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except OSError as error:  # e.g. a full disk
        told = one_line(f"{reason_and_file(error)}; run the command again when that is fixed")
        sys.stderr.write(f"error: {told}\n")
        sys.exit(1)
    except SystemExit as stop:
        if _is_interrupt(stop):
            sys.stderr.write("interrupted\n")
        raise


def _is_interrupt(stop: SystemExit) -> bool:
    """Whether typer exits because of Ctrl-C."""
    return isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt)


if __name__ == "__main__":
    main()
