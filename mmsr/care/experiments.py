"""The experiment of a study in MLflow, which is renamed with the study where that harms nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.tracking import check_tracking
from mmsr.tracking.base import KEY_TAG
from mmsr.tracking.databases import recorded, sqlite_file
from mmsr.tracking.mlflow_place import (
    artifacts_here,
    artifacts_of,
    for_mlflow,
    move_artifacts,
    prepare_environment,
)
from mmsr.urls import Url

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 1000
"""Runs that are asked for at once."""
_NONE = "there is no store"


def check_can_rename(uri: Url, new: str) -> None:
    """Refuse a name that an experiment of a reachable MLflow has.

    Parameters
    ----------
    uri : tracking URI.
    new : the name that the study is to have.

    Raises
    ------
    UserError : there is such an experiment.
    """
    if _away(uri) is None and _client(uri).get_experiment_by_name(new) is not None:
        raise UserError(f"{uri} has an experiment {new!r} already: choose another name")


def rename(uri: Url, name: str, new: str, uid: str) -> list[str]:
    """Rename the experiment of a study, and move its files if they are in the home.

    An experiment stays as it is if MLflow does not answer, or if runs of another study are in it.

    Parameters
    ----------
    uri : tracking URI.
    name, new : the study's name, and the one that it gets.
    uid : the study's id, which marks its runs.

    Returns
    -------
    Why it keeps its name, if it does.
    """
    if (away := _away(uri)) is not None:
        return [] if away == _NONE else [_stays(name, new, away)]
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client = _client(uri)
        found = client.get_experiment_by_name(name)
        if found is not None:
            if not _is_of(client, found.experiment_id, uid):
                return [_stays(name, new, f"{uri} has runs of another study in it")]
            artifacts_here(uri, name, found.artifact_location)
            client.rename_experiment(found.experiment_id, new)
        _move_files(uri, client, name, new)
    except (MlflowException, SQLAlchemyError) as error:
        return [_stays(name, new, uri.scrub(str(error).partition("\n")[0])[:100])]
    return []


def _away(uri: Url) -> str | None:
    """Why nothing can be asked of MLflow; None if it answers."""
    file = sqlite_file(uri) if uri.kind == "database" else None
    if file is not None and not (file.exists() and file.stat().st_size):
        return _NONE  # MLflow would make the file
    try:
        return check_tracking(uri)
    except UserError as error:
        return str(error)


def _client(uri: Url) -> MlflowClient:
    prepare_environment()
    from mlflow import MlflowClient

    prepare_environment()  # the import has set its own log levels
    return MlflowClient(for_mlflow(uri).reveal())


def _is_of(client: MlflowClient, experiment: str, uid: str) -> bool:
    """Whether all runs of an experiment, removed ones too, are of the study with this id."""
    from mlflow.entities import ViewType

    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment], run_view_type=ViewType.ALL, max_results=_PAGE, page_token=token or None
        )
        if any(not run.data.tags.get(KEY_TAG, "").startswith(f"{uid}/") for run in page):
            return False
        token = page.token or None
    return True


def _move_files(uri: Url, client: MlflowClient, name: str, new: str) -> None:
    """Move the files of an experiment of the home's own store, and let the store name them anew."""
    experiment = client.get_experiment_by_name(new)
    old, there = artifacts_of(name), artifacts_of(new)
    if experiment is None or recorded(uri) == str(uri):
        return
    move_artifacts(uri, old.as_uri(), there.as_uri(), int(experiment.experiment_id))
    _move(old, there)


def _move(old: Path, new: Path) -> None:
    if not old.is_dir():
        return
    new.mkdir(parents=True, exist_ok=True)
    for run in old.iterdir():
        run.rename(new / run.name)
    old.rmdir()


def _stays(name: str, new: str, why: str) -> str:
    return (
        f"MLflow's experiment keeps the name {name!r} ({why}): rename it with `mlflow experiments "
        f"rename`, or further runs go to a new experiment {new!r}"
    )
