"""A single training on the tracking server: one run, with a point for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError, one_line
from mmsr.provenance import code_tags, command_line
from mmsr.study.views.descriptions import code, table
from mmsr.study.views.run_names import run_name
from mmsr.tracking import DataUsed, RunState, Tracker, Unshipped
from mmsr.tracking.base import ERROR_TAG, EXPERIMENT, NOTE_TAG
from mmsr.tracking.databases import recorded
from mmsr.tracking.journal.shipper import JournalTracker
from mmsr.tracking.usage import Usage
from mmsr.trainings.folder import (
    TrainingRecord,
    new_record,
    only_writer,
    remove,
    resumed_record,
)
from mmsr.urls import Url

RUN = "training"
"""Key of the run."""
_NAMED = (
    "model.name",
    "graph.n_codes",
    "graph.links_per_item",
    "model.width",
    "training.learning_rate",
)
"""Config keys that name a run."""
_SHIP_SECONDS = 30.0
_MODEL_FILES = ("best.safetensors", "state.json")
"""Files of a checkpoint that are stored with the run."""


class TrackedTraining:
    """Records one training.

    Parameters
    ----------
    record : the training.
    tracker : where to record it.
    config, data : what is trained.
    """

    def __init__(
        self, record: TrainingRecord, tracker: Tracker, config: Config, data: Dataset
    ) -> None:
        self._record, self._tracker, self._config = record, tracker, config
        self._usage, self._best, self._best_epoch = Usage(), "", 0
        self._lines = [f"Trained by {code(record.command)}", ""]
        counts = data.manifest.counts.model_dump()
        flat = config.flat()
        settings = {key: flat[key] for key in _NAMED if key in flat}
        facts = [("data", code(data.name)), ("protocol", code(data.protocol))]
        self._lines += table(("", ""), [*facts, ("chosen by", code(config.training.select_by))])
        about = f"Trainings on {code(data.name)} outside of studies, by `mmsr train`."
        tracker.tag(EXPERIMENT, {NOTE_TAG: about})
        tracker.open_run(
            RUN,
            run_name(config, settings),
            params=flat,
            tags={
                **code_tags(),
                "mmsr.kind": "training",
                "mmsr.dataset": data.name,
                "mmsr.dataset_hash": data.content_hash,
                "mmsr.protocol": data.protocol,
                "mmsr.objective": config.training.select_by,
                "mmsr.model": config.model.name,
                NOTE_TAG: "\n".join(self._lines),
            },
            data=DataUsed(
                name=data.name,
                digest=data.content_hash,
                source=paths.recorded(data.path),
                profile=counts,
            ),
        )

    def epoch(
        self,
        number: int,
        metrics: Mapping[str, float],
        best_epoch: int,
        best_metrics: Mapping[str, float],
    ) -> None:
        """Log an epoch.

        Parameters
        ----------
        number : of the epoch, from 1.
        metrics, best_metrics : of this epoch, and of the best one so far.
        best_epoch : number of the best epoch so far.
        """
        objective = self._config.training.select_by
        first = {f"Objective/{objective}": metrics[objective]}
        best = {f"best/{k}": v for k, v in best_metrics.items() if k.startswith("valid/")}
        self._tracker.log(RUN, number, {**first, **metrics, **best, **self._usage.since_last()})
        value = 100 * best_metrics[objective]
        self._best = f"**{objective} {value:.3f} % at epoch {best_epoch}**"
        self._best_epoch = best_epoch

    def end(self, state: RunState, error: str | None = None) -> None:
        """Close the run.

        Parameters
        ----------
        state : how the training ended.
        error : why, if an error ended it.
        """
        tags = {} if error is None else {ERROR_TAG: error}
        if self._best:
            tags["mmsr.best_epoch"] = str(self._best_epoch)
            tags[NOTE_TAG] = "\n".join([f"Best: {self._best}", "", *self._lines])
        self._tracker.close_run(RUN, state, tags)

    def upload(self, checkpoint: Path) -> None:
        """Store the best model with the run.

        Parameters
        ----------
        checkpoint : folder of the checkpoint that has it.
        """
        names = [name for name in _MODEL_FILES if (checkpoint / name).is_file()]
        self._tracker.upload(RUN, checkpoint.resolve(), names)


@contextmanager
def tracked(
    config: Config,
    data: Dataset,
    tracking: Url,
    checkpoint: Path | None,
    *,
    resumed: bool,
    notice: Callable[[str], None],
    ended: Callable[[Unshipped], None],
) -> Iterator[TrackedTraining]:
    """Record a training inside this context; however it ends, its run is closed.

    Parameters
    ----------
    config, data : what is trained.
    tracking : tracking server or database.
    checkpoint : folder of the checkpoint, by which an interrupted training finds its run again.
    resumed : whether the training goes on from it.
    notice : called with messages for the user.
    ended : called with what could not be sent.

    Raises
    ------
    UserError : another process trains into the same checkpoint.
    """
    from mmsr.tracking.mlflow import MlflowSink

    earlier = resumed_record(checkpoint, data.name) if resumed and checkpoint else None
    record = earlier or new_record(data.name, recorded(tracking), command_line(), checkpoint)
    with only_writer(record) as ours:
        if not ours:
            raise UserError(f"another process is training into {record.checkpoint!r}: wait for it")
        sink = MlflowSink(tracking, record.experiment, record.id)
        tracker = JournalTracker(record.folder, sink, notice)
        training = TrackedTraining(record, tracker, config, data)
        state, why = RunState.FINISHED, None
        try:
            yield training
            if checkpoint is not None:
                training.upload(checkpoint)
        except KeyboardInterrupt:
            state = RunState.INTERRUPTED
            raise
        except BaseException as error:
            state, why = RunState.FAILED, one_line(f"{type(error).__name__}: {error}")
            raise
        finally:
            training.end(state, why)
            left = tracker.close(_SHIP_SECONDS)
            ended(left)
            if left == Unshipped() and (state is RunState.FINISHED or checkpoint is None):
                remove(record)
