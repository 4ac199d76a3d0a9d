"""MLflow as the place that a study's events are shipped to.

Only the study's driver loads this module. A study is one experiment; its runs have the tag
`mmsr.key`, by which they are found again if the record of their ids is lost.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mmsr import paths
from mmsr.remote import plain_name
from mmsr.tracking.base import (
    ERROR_TAG,
    EXPERIMENT,
    FAILURE_TAG,
    KEY_TAG,
    TRACEBACK_TAG,
    DataUsed,
    Event,
    Metrics,
    ModelLogged,
    RunClosed,
    RunOpened,
    RunState,
    Tags,
    Upload,
)
from mmsr.tracking.databases import place_of
from mmsr.tracking.journal.sink import Blocked, Forgotten, Refused
from mmsr.tracking.mlflow_errors import translated
from mmsr.tracking.mlflow_place import (
    artifacts_here,
    artifacts_of,
    for_mlflow,
    make_store,
    metric_name,
    prepare_environment,
)
from mmsr.tracking.models.register import register
from mmsr.urls import Url

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

STATE_TAG = "mmsr.state"
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tells MLflow's page that models are trained here; otherwise it guesses."""
_STATUS = {
    RunState.FINISHED: "FINISHED",
    RunState.PRUNED: "KILLED",
    RunState.INTERRUPTED: "KILLED",
    RunState.FAILED: "FAILED",
}
_METRICS, _PARAMS, _TAG_LENGTH, _DIGEST_LENGTH = 1000, 100, 5000, 12
_NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)
"""Errors of a store's folder for files that do not pass by themselves."""


class MlflowSink:
    """Stores events in one MLflow experiment.

    Parameters
    ----------
    uri : tracking server or database.
    experiment : the experiment's name; it is made where it is missing.
    study : id of the study, which distinguishes its runs from those of another one of that name.
    """

    def __init__(self, uri: str | Url, experiment: str, study: str) -> None:
        prepare_environment()
        import mlflow  # noqa: F401  (the slow import, here rather than in the shipping thread)

        prepare_environment()  # the import has set its own log levels
        self._uri, self._experiment, self._study = Url.parse(uri), experiment, study
        self._client_: MlflowClient | None = None
        self._experiment_id = ""

    @property
    def place(self) -> str:
        """The server's address, as it is recorded."""
        return place_of(self._uri)

    def check(self, runs: Mapping[str, str]) -> None:
        """Ask for the oldest and the newest run; see `Sink.check`."""
        known = list(runs.values())
        try:
            for run in {*known[:1], *known[-1:]}:
                with suppress(Refused), translated(self._uri):
                    self._client.get_run(run)
        except Forgotten:
            self._client_ = None  # the experiment may be gone as well
            raise

    def deliver(self, events: Sequence[Event], runs: dict[str, str]) -> None:
        """Store events; consecutive metrics of a run go in one request.

        See `Sink.deliver` for parameters and errors.
        """
        try:
            try:
                with translated(self._uri):
                    self._store(events, runs)
            except Refused:
                self._check_experiment()
                raise
        except Forgotten:
            self._client_ = None  # the experiment may be gone as well
            raise

    def _store(self, events: Sequence[Event], runs: dict[str, str]) -> None:
        waiting: dict[str, list[Metric]] = {}
        for event in events:
            if isinstance(event, Metrics):
                waiting.setdefault(event.key, []).extend(_metrics(event))
                continue
            self._send(waiting, runs, event.key)
            match event:
                case RunOpened():
                    self._open(event, runs)
                case Tags() if event.key == EXPERIMENT:
                    self._tag_experiment(event.tags)
                case Tags():
                    self._tag(self._run(event.key, runs), event.tags)
                case Upload():
                    self._upload(event, self._run(event.key, runs))
                case ModelLogged():
                    register(self._client, self._experiment_id, self._run(event.key, runs), event)
                case RunClosed():
                    self._close(event, self._run(event.key, runs))
        for key in list(waiting):
            self._send(waiting, runs, key)

    def _check_experiment(self) -> None:
        """Raise Blocked if the experiment was deleted, which can be undone, and refuses all."""
        with translated(self._uri):
            stage = self._client.get_experiment(self._experiment_id).lifecycle_stage
        if stage != "active":
            raise Blocked(
                f"experiment {self._experiment!r} was deleted: restore it with `mlflow experiments "
                f"restore --experiment-id {self._experiment_id}`, or run the study again"
            )

    @property
    def _client(self) -> MlflowClient:
        if self._client_ is None:
            from mlflow import MlflowClient

            make_store(self._uri)
            client = MlflowClient(for_mlflow(self._uri).reveal())
            self._experiment_id = self._find_experiment(client)
            self._client_ = client
        return self._client_

    def _find_experiment(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(self._experiment)
        if known is not None:
            if known.lifecycle_stage != "active":
                client.restore_experiment(known.experiment_id)
            artifacts_here(self._uri, self._experiment, known.artifact_location)
            for name, value in _KIND.items():  # of an older mmsr
                if name not in known.tags:
                    client.set_experiment_tag(known.experiment_id, name, value)
            return str(known.experiment_id)
        served = self._uri.kind != "database"
        # Without a place for files, MLflow uses the working directory.
        place = None if served else artifacts_of(self._experiment).as_uri()
        made = client.create_experiment(self._experiment, artifact_location=place, tags=_KIND)
        return str(made)

    def _full_key(self, key: str) -> str:
        return f"{self._study}/{key}"

    def _run(self, key: str, runs: dict[str, str]) -> str:
        if key not in runs:  # the record of ids was lost
            found = self._find(key)
            if found is None:
                raise Refused(f"there is no run {key!r}")
            runs[key] = found
        return runs[key]

    def _open(self, event: RunOpened, runs: dict[str, str]) -> None:
        run = runs.get(event.key) or self._find(event.key)
        if run is None:
            tags = {KEY_TAG: self._full_key(event.key)}
            if event.parent is not None:
                tags["mlflow.parentRunId"] = self._run(event.parent, runs)
            run = self._client.create_run(
                self._experiment_id, start_time=event.time, tags=tags, run_name=event.name
            ).info.run_id
        else:
            self._resume(run, event)
        runs[event.key] = run
        if event.data is not None:
            self._log_data(run, event.data)
        self._log_params(run, event.params)
        state = {STATE_TAG: "running"} if event.resume else {}
        self._tag(run, {**state, **event.tags})

    def _resume(self, run: str, event: RunOpened) -> None:
        known = self._client.get_run(run)
        if known.info.lifecycle_stage != "active":
            self._client.restore_run(run)
        if not event.resume:
            return
        self._client.update_run(run, status="RUNNING", name=event.name)
        for name in (ERROR_TAG, FAILURE_TAG, TRACEBACK_TAG):
            if name in known.data.tags:
                self._client.delete_tag(run, name)

    def _find(self, key: str) -> str | None:
        found = self._client.search_runs(
            [self._experiment_id], f"tags.`{KEY_TAG}` = '{self._full_key(key)}'", max_results=1
        )
        return str(found[0].info.run_id) if found else None

    def _log_data(self, run: str, data: DataUsed) -> None:
        from mlflow.entities import Dataset, DatasetInput

        digest = data.digest[:_DIGEST_LENGTH]
        there = self._client.get_run(run).inputs
        inputs = there.dataset_inputs if there is not None else []
        # Older versions gave more of the digest.
        if any(i.dataset.name == data.name and i.dataset.digest.startswith(digest) for i in inputs):
            return
        known = Dataset(
            name=data.name,
            digest=digest,
            source_type="local",
            source=data.source,
            profile=json.dumps(data.profile),
        )
        self._client.log_inputs(run, [DatasetInput(known)])

    def _log_params(self, run: str, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(key, value[:_TAG_LENGTH]) for key, value in params.items()]
        for first in range(0, len(entries), _PARAMS):
            self._client.log_batch(run, params=entries[first : first + _PARAMS])

    def _tag(self, run: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        entries = [RunTag(key, value[:_TAG_LENGTH]) for key, value in tags.items()]
        for first in range(0, len(entries), _PARAMS):
            self._client.log_batch(run, tags=entries[first : first + _PARAMS])

    def _tag_experiment(self, tags: dict[str, str]) -> None:
        client = self._client
        for name, value in tags.items():
            client.set_experiment_tag(self._experiment_id, name, value[:_TAG_LENGTH])

    def _send(self, waiting: dict[str, list[Metric]], runs: dict[str, str], key: str) -> None:
        entries = waiting.pop(key, [])
        for first in range(0, len(entries), _METRICS):
            batch = entries[first : first + _METRICS]
            self._client.log_batch(self._run(key, runs), metrics=batch)

    def _upload(self, event: Upload, run: str) -> None:
        files = [
            paths.recalled(event.folder) / plain_name(name, "the journal") for name in event.names
        ]
        if gone := [path for path in files if not path.is_file()]:
            stored = {one.path for one in self._client.list_artifacts(run)}
            if lost := [path for path in gone if path.name not in stored]:
                raise Refused(f"{lost[0]} is gone")
        for path in files:
            if path not in gone:
                try:
                    self._client.log_artifact(run, str(path))
                except OSError as error:
                    if error.errno not in _NO_PLACE:
                        raise
                    raise Refused(f"no place for files: {error}") from None

    def _close(self, event: RunClosed, run: str) -> None:
        self._tag(run, {STATE_TAG: event.state.value, **event.tags})
        known = self._client.get_run(run).info
        ended = known.end_time if known.status in _STATUS.values() else None
        self._client.set_terminated(run, _STATUS[event.state], end_time=ended or event.time)


def _metrics(event: Metrics) -> list[Metric]:
    from mlflow.entities import Metric

    return [
        Metric(metric_name(name), value, event.time, event.step)
        for name, value in event.values.items()
    ]
