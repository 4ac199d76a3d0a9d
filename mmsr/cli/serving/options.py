"""The argument and options that say which model is loaded, of every command that loads one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsr.cli.options import StudyStorage, known_studies

if TYPE_CHECKING:
    from mmsr.serving.recommender import Recommender

Load = Callable[[str], "Recommender"]
"""Loads the model that was named, on the device that is named."""


def naming_a_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument and options that name a trained model.

    Parameters
    ----------
    command : its first parameter is a `Load`, in place of them.
    """
    _, name, *options = inspect.signature(_load, eval_str=True).parameters.values()
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    named = [one.name for one in (name, *options)]

    def called(**given: Any) -> None:
        load = partial(_load, **{key: given.pop(key) for key in named})
        command(load, **given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    signature = inspect.Signature([name, *own, *options])
    called.__signature__ = signature  # type: ignore[attr-defined]  # read by typer
    return called


def _load(
    device: str,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Study by name, folder of a checkpoint, or folder of an exported model.",
            autocompletion=known_studies,
        ),
    ],
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            min=0,
            metavar="N",
            help="The model of this trial. Default: the refit of the best finalized trial, or else "
            "the model of the best trial.",
        ),
    ] = None,
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Whether to take the refit of `mmsr study finalize` (trained on validation, too) "
            "or the trial's own model.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the refit. Default: the first one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="Only trials of this model, in a study of several."
        ),
    ] = None,
    storage: StudyStorage = None,
) -> Any:  # a `Recommender`: the signature is evaluated, and its module is slow to import
    from mmsr.serving.sources import load

    return load(
        name, trial=trial, refit=refit, seed=seed, model=model, storage=storage, device=device
    )
