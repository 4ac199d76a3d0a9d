"""Logging a model in MLflow and registering it, once however often its event is shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsr import paths
from mmsr.tracking.base import ModelLogged
from mmsr.tracking.journal.sink import Refused

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "mmsr.digest"
_NAMED_TAG = "mmsr.alias"
"""Tag of a version that has got its alias; whoever moves the alias later is not corrected."""


def register(client: MlflowClient, experiment: str, run: str, event: ModelLogged) -> None:
    """Log the model of an event and register it, as far as that is not done yet.

    Parameters
    ----------
    client : MLflow's client.
    experiment, run : ids of the experiment, and of the run that made the model.
    event : the event.

    Raises
    ------
    Refused : the model's folder is gone.
    """
    version = _version_of(client, event)
    if version is None:
        model = _logged(client, experiment, run, event)
        _name_exists(client, event)
        version = client.create_model_version(
            event.name,
            source=model.artifact_location,  # the URI models:/… is looked up in a global store
            run_id=run,
            tags={DIGEST_TAG: event.digest, **event.tags},
            description=event.description,
            await_creation_for=0,
            model_id=model.model_id,
        )
    if version.tags.get(_NAMED_TAG) != event.alias:
        client.set_registered_model_alias(event.name, event.alias, version.version)
        client.set_model_version_tag(event.name, version.version, _NAMED_TAG, event.alias)


def _version_of(client: MlflowClient, event: ModelLogged) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{event.name}'")
    return next((one for one in found if one.tags.get(DIGEST_TAG) == event.digest), None)


def _logged(client: MlflowClient, experiment: str, run: str, event: ModelLogged) -> LoggedModel:
    """The logged model of a run, made and uploaded where it is missing."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    found = client.search_logged_models(
        [experiment], f"tags.`{DIGEST_TAG}` = '{event.digest}' AND source_run_id = '{run}'"
    )
    model = next(iter(found), None) or client.create_logged_model(
        experiment,
        name=event.name,
        source_run_id=run,
        tags={DIGEST_TAG: event.digest, **event.tags},
        model_type="recommender",
    )
    if model.status != LoggedModelStatus.READY:
        folder = paths.recalled(event.folder)
        if not folder.is_dir():
            raise Refused(f"{folder} is gone")
        client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
        model = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model


def _name_exists(client: MlflowClient, event: ModelLogged) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(event.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
