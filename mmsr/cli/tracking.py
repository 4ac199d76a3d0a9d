"""`mmsr tracking`: deliver to MLflow what waits; and how `mmsr train` is recorded there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmsr.config import Config
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.urls import Url

if TYPE_CHECKING:
    from mmsr.data import Dataset
    from mmsr.tracking import Unshipped
    from mmsr.trainings.reporting import TrackedTraining

app = typer.Typer(no_args_is_help=True, help="Deliver to MLflow what waits.")


@app.callback()
def tracking() -> None:
    """Deliver to MLflow what waits."""


@app.command()
def sync() -> None:
    """Send to MLflow what waits in the journals of all studies and trainings of this $MMSR_HOME.

    Runs that a dead process left running are closed. The exit code is 1 if something is left.
    """
    from mmsr.trainings.sync import deliver_all

    console = Console(soft_wrap=True)
    complete, n = True, 0
    for delivery in deliver_all(lambda message: console.print(message, style="dim")):
        n += 1
        complete &= delivery.is_complete
        for line in delivery.told():
            console.print(line)
    if not complete:
        console.print("give the command again when that is mended: nothing is lost")
        raise typer.Exit(1)
    if n == 0:
        console.print("nothing waits to be sent")


def tracking_place(track: bool | None, given: str | None, console: Console) -> Url | None:
    """Where `mmsr train` records its run; None records nothing.

    Parameters
    ----------
    track : whether to record; None records where a tracking URI is set.
    given : the tracking URI that was given, if one was.
    console : where to say that the server does not answer.

    Raises
    ------
    UserError : MLflow cannot use the URI, or the options contradict each other.
    """
    if track is False and given is not None:
        raise UserError("--no-track records nothing: leave out --tracking-uri, or --no-track")
    named = given is not None or bool(os.environ.get("MLFLOW_TRACKING_URI"))
    if not (named if track is None else track):
        return None
    from mmsr.tracking import check_tracking, default_uri

    uri = Url.parse(given or default_uri(), "tracking URI")
    if (away := check_tracking(uri)) is not None:
        console.print(f"note: {away}; the run is recorded, and `mmsr tracking sync` sends it")
    return uri


@contextmanager
def recorded_training(
    console: Console,
    config: Config,
    data: Dataset,
    checkpoint: Path | None,
    place: Url | None,
    *,
    resumed: bool,
) -> Iterator[TrackedTraining | None]:
    """Record the training inside this context, if there is a place for it.

    Parameters
    ----------
    console : where to say what could not be sent.
    config, data, checkpoint : what is trained, and the folder of its checkpoint.
    place : where to record it; None records nothing.
    resumed : whether the training goes on from the checkpoint.
    """
    if place is None:
        yield None
        return
    from mmsr.trainings.reporting import tracked

    def ended(left: Unshipped) -> None:
        for line in left.told():
            console.print(line)
        if left.can_be_sent:
            console.print("`mmsr tracking sync` sends it")

    notice = partial(console.print, style="dim")
    with tracked(
        config, data, place, checkpoint, resumed=resumed, notice=notice, ended=ended
    ) as training:
        yield training
