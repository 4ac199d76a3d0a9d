"""MLflow's settings here, how a new store is made, and the page that shows a study."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlencode, urlsplit

from mmsr import paths
from mmsr.tracking.base import KEY_TAG
from mmsr.tracking.databases import connect_arguments, recorded, sqlite_file
from mmsr.urls import Url, sqlite_url

_TRAINING = {"workflowType": "machine_learning"}
"""Part of an address that opens MLflow's side for models that are trained."""


def metric_name(name: str) -> str:
    """MLflow's name of the metric `name`, without `@`: `valid/mrr@20` is `valid/mrr_at_20`."""
    return name.replace("@", "_at_")


def prepare_environment() -> None:
    """Keep MLflow quiet, without helper processes and long retries; call it before the import."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    for logger in ("alembic", "mlflow"):  # their errors are raised, too, and reported then
        logging.getLogger(logger).setLevel(logging.CRITICAL)


def for_mlflow(uri: str | Url) -> Url:
    """The tracking URI as MLflow is given it.

    Of a `sqlite:///` URL, MLflow makes the folder whose name is not decoded; it makes none where
    the driver is named.
    """
    url = Url.parse(uri, "tracking URI")
    if "%" not in url.reveal() or not url.reveal().startswith("sqlite:///"):
        return url
    named = url.reveal().replace("sqlite:", "sqlite+pysqlite:", 1)  # a file has no secrets
    return Url("database", named, named)


def artifacts_here(uri: Url, experiment: str, there: str) -> None:
    """Let the store of a home that was moved or copied name the files of this home.

    MLflow records their whole paths, and has no call to change them.

    Parameters
    ----------
    uri : tracking URI; nothing is done unless it names a store in the home.
    experiment : name of an experiment.
    there : where its files are, as MLflow says.
    """
    here = artifacts_of(experiment)
    old, new = (place.removesuffix(f"/{experiment}") for place in (there, here.as_uri()))
    ours = recorded(uri) != str(uri) and there.endswith(f"/mlartifacts/{experiment}")
    if old == new or not ours or (_path(there).exists() and not here.exists()):
        return
    move_artifacts(uri, old, new)


def move_artifacts(uri: Url, old: str, new: str, experiment: int | None = None) -> None:
    """Let a store in a database name files in another folder; the files stay where they are.

    Parameters
    ----------
    uri : tracking URI of the store.
    old, new : the folders, as URIs.
    experiment : id of the experiment whose files they are; None stands for all.
    """
    from sqlalchemy import create_engine, text

    engine = create_engine(uri.reveal(), connect_args=connect_arguments(uri))
    with engine.begin() as connection:
        for table, column, of_one in (
            ("experiments", "artifact_location", True),
            ("runs", "artifact_uri", True),
            ("logged_models", "artifact_location", True),
            ("model_versions", "source", False),
            ("model_versions", "storage_location", False),
        ):
            moved = text(
                f"UPDATE {table} SET {column} = :new || substr({column}, :n) "
                f"WHERE substr({column} || '/', 1, :n) = :old || '/'"
                + (" AND (:id IS NULL OR experiment_id = :id)" if of_one else "")
            )
            values = {"old": old, "new": new, "n": len(old) + 1, "id": experiment}
            connection.execute(moved, values)
    engine.dispose()


def artifacts_of(experiment: str) -> Path:
    """Folder of an experiment's files in the home; a database has no place for them.

    Parameters
    ----------
    experiment : its name.
    """
    return paths.home() / "mlartifacts" / experiment


def make_store(uri: str | Url) -> None:
    """Make a SQLite store where there is none, completely or not at all.

    MLflow needs a second and many migrations for it; a store whose making was interrupted could
    never be opened again.

    Parameters
    ----------
    uri : tracking URI; nothing is done unless it names a SQLite file.
    """
    path = sqlite_file(uri)
    if path is None or _has_content(path):
        return
    from filelock import FileLock
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.draft-"
    with FileLock(path.with_name(f".{path.name}.lock")):
        for left in path.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        if not _has_content(path):
            with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
                draft = Path(folder) / path.name
                MlflowClient(for_mlflow(sqlite_url(draft)).reveal()).search_experiments(
                    max_results=1
                )
                draft.replace(path)


def curves_page(uri: str | Url, experiment: str, objective: str) -> str | None:
    """Path of the page that shows a study's trials and their curves.

    Parameters
    ----------
    uri : tracking URI.
    experiment : the study's experiment.
    objective : metric to sort trials by, e.g. `valid/mrr@20`.

    Returns
    -------
    The path below the server's address; None where there is no such experiment, or the place
    cannot be reached.
    """
    if (number := _experiment_id(uri, experiment)) is None:
        return None
    query = {
        **_TRAINING,
        "searchFilter": "tags.mmsr.kind='trial'",
        # The default order, by time, folds trials under the study and hides their curves.
        "orderByKey": f"metrics.`best/{metric_name(objective)}`",
        "orderByAsc": "false",
        "compareRunsMode": "CHART",
    }
    return f"#/experiments/{number}/runs?{urlencode(query)}"


def run_page(uri: str | Url, experiment: str, run: str) -> str | None:
    """Path of the page of one run, as `curves_page` returns it.

    Parameters
    ----------
    uri, experiment : as in `curves_page`.
    run : id of the run.
    """
    if (number := _experiment_id(uri, experiment)) is None:
        return None
    return f"#/experiments/{number}/runs/{run}?{urlencode(_TRAINING)}"


def compare_page(uri: str | Url, experiment: str, runs: Sequence[str]) -> str | None:
    """Path of the page that compares runs, as `curves_page` returns it.

    Parameters
    ----------
    uri, experiment : as in `curves_page`.
    runs : ids of the runs.
    """
    if (number := _experiment_id(uri, experiment)) is None:
        return None
    # MLflow finds `runs` only where it is the first.
    query = {"runs": json.dumps(list(runs)), "experiments": json.dumps([number])}
    return f"#/compare-runs?{urlencode(query)}"


def run_ids(uri: str | Url, experiment: str, study: str, keys: Sequence[str]) -> list[str]:
    """Ids of a study's runs, without those that are not recorded or cannot be asked for.

    Parameters
    ----------
    uri, experiment : as in `curves_page`.
    study : id of the study.
    keys : keys of the runs; their order is kept.
    """
    if (number := _experiment_id(uri, experiment)) is None:
        return []
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(for_mlflow(uri).reveal())
    found: list[str] = []
    with suppress(MlflowException):
        for key in keys:
            runs = client.search_runs([number], f"tags.`{KEY_TAG}` = '{study}/{key}'")
            found += [str(run.info.run_id) for run in runs]
    return found


def _experiment_id(uri: str | Url, name: str) -> str | None:
    """Id of an experiment; None where there is none, or the place cannot be reached."""
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    file = sqlite_file(uri)
    if file is not None and not _has_content(file):
        return None  # MLflow would make the file
    try:
        found = MlflowClient(for_mlflow(uri).reveal()).get_experiment_by_name(name)
    except (MlflowException, SQLAlchemyError, OSError):
        return None
    return None if found is None else str(found.experiment_id)


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
