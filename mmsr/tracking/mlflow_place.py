"""Where MLflow keeps things: its settings here, a new store, and the page that shows a study."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from mmsr.tracking.databases import sqlite_file


def metric_name(name: str) -> str:
    """MLflow allows no `@`: `valid/mrr@20` is `valid/mrr_at_20` there."""
    return name.replace("@", "_at_")


def prepare_environment() -> None:
    """Keep MLflow quiet, free of helper processes, and quick to give up; before its import."""
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
    for logger in ("alembic", "mlflow"):  # their errors come as exceptions, and are told then
        logging.getLogger(logger).setLevel(logging.CRITICAL)


def make_store(uri: str) -> None:
    """Make a SQLite store where there is none, whole or not at all.

    MLflow takes a second for it, over many migrations. Cut off in between, such a store can never
    be opened again.
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
                MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
                draft.replace(path)


def study_page(uri: str, experiment: str, objective: str) -> str | None:
    """Path of the page that shows a study's trials and their curves, below the server's address.

    None where there is no such experiment, or the place cannot be reached.
    """
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    file = sqlite_file(uri)
    if file is not None and not _has_content(file):
        return None  # MLflow would make it
    try:
        found = MlflowClient(uri).get_experiment_by_name(experiment)
    except (MlflowException, SQLAlchemyError, OSError):
        return None
    if found is None:
        return None
    query = {
        "workflowType": "machine_learning",
        "searchFilter": "tags.mmsr.kind='trial'",
        # In the default order, by time, trials are folded under the study, and without curves.
        "orderByKey": f"metrics.`best/{metric_name(objective)}`",
        "orderByAsc": "false",
        "compareRunsMode": "CHART",
    }
    return f"#/experiments/{found.experiment_id}/runs?{urlencode(query)}"


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
