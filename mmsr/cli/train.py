"""`mmsr train`: train one config, with a live progress line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mmsr.cli.options import ConfigFile, Device, Settings, known_datasets
from mmsr.cli.tracking import recorded_training, tracking_place
from mmsr.config import Config, parse_settings, read_export, read_yaml
from mmsr.console import Console
from mmsr.errors import UserError, reason_of
from mmsr.pace import Pace, progress_line
from mmsr.urls import Url

if TYPE_CHECKING:
    from mmsr.data import Dataset
    from mmsr.training import CheckpointState, EpochResult, Progress

SHOWN = ("valid/hr@5", "valid/mrr@5", "valid/hr@20", "valid/mrr@20")


def train(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="Data set by name; not needed where the config names it.",
            autocompletion=known_datasets,
        ),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to save the run to after every epoch; an unfinished run in it is resumed.",
        ),
    ] = None,
    device: Device = "auto",
    track: Annotated[
        bool | None,
        typer.Option(
            "--track/--no-track",
            help="Record the run in MLflow; so it is where a tracking URI is set.",
            show_default=False,
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow. Default: $MLFLOW_TRACKING_URI, or SQLite in $MMSR_HOME."
        ),
    ] = None,
) -> None:
    """Train one config on a data set's training part, validating after every epoch.

    The test part is never read. A config exported from a study repeats its trial: the metrics are
    the same, and both are shown side by side.

    Examples: `mmsr train demo --set graph.n_codes=30`, `mmsr train --config best.yaml`.
    """
    full = _full_config(dataset, config, settings or [])
    console = Console(soft_wrap=True)

    from mmsr.data import Dataset
    from mmsr.graph.checks import check_inputs

    data = Dataset.open(full.dataset)
    check_inputs(data, full)
    recorded = read_export(config) if config else None
    if recorded and recorded.dataset_hash not in (None, data.content_hash):
        console.print(
            f"note: {full.dataset} differs from the data of {config} "
            f"(content is now {data.content_hash[:12]}, it was exported with "
            f"{str(recorded.dataset_hash)[:12]}): the metrics will differ"
        )
    place = tracking_place(track, tracking_uri, console)
    result = _run(console, full, data, checkpoint, device, place)
    if result is None:
        return
    exact = recorded and not settings and dataset is None
    _show_best(console, full, result, recorded.metrics if recorded and exact else {})
    if checkpoint is None:
        console.print("The model was not saved; --checkpoint FOLDER saves it.")
    else:
        console.print(f"Checkpoint with the best epoch's model: {checkpoint}")


def _full_config(dataset: str | None, path: Path | None, settings: list[str]) -> Config:
    tree: dict[str, Any] = read_yaml(path) if path else {}
    if dataset is not None:
        tree["dataset"] = dataset
    if "dataset" not in tree:
        raise UserError("which data set? name it: `mmsr train DATASET` (`mmsr data list` has them)")
    config = Config.from_dict(tree, source=str(path or "config"))
    return config.replace(parse_settings(settings))


def _run(
    console: Console,
    config: Config,
    data: Dataset,
    checkpoint: Path | None,
    device: str,
    place: Url | None,
) -> EpochResult | None:
    """Train to the end; None where the checkpoint holds a finished run."""
    from mmsr.training import (
        TrainingDiverged,
        bf16_is_native,
        choose_device,
        holds_checkpoint,
        read_checkpoint_state,
        train,
    )
    from mmsr.training.checkpoint import check_resumable

    if config.training.bf16 and not bf16_is_native(choose_device(device)):
        console.print(
            "note: this processor emulates bfloat16, many times slower than float32: "
            "use --set training.bf16=false here"
        )
    if checkpoint is not None:
        _prepare(checkpoint)
    resume = checkpoint if checkpoint and holds_checkpoint(checkpoint) else None
    if resume is not None:
        _say_where(console, check_resumable(resume, config, data, "train"), resume)
    result = None
    try:
        pace = Pace(config.training.epochs)
        with (
            recorded_training(
                console, config, data, checkpoint, place, resumed=resume is not None
            ) as training,
            progress_line(console, "preparing") as tell,
        ):
            for result in train(
                config,
                data,
                device=device,
                resume=resume,
                progress=lambda p: tell(_progress_line(p, pace)),
            ):
                console.print(_epoch_line(result))
                if checkpoint:
                    _save(result, checkpoint)
                if training is not None:
                    training.epoch(
                        result.epoch, result.metrics, result.best_epoch, result.best_metrics
                    )
    except TrainingDiverged as error:
        raise UserError(str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        raise UserError(
            "there is not enough memory for this config: lower model.width, training.batch_size "
            "or graph.max_history"
        ) from None
    except KeyboardInterrupt:
        hint = "the same command resumes the run" if checkpoint else "nothing was saved"
        console.print(hint)
        raise
    if result is None and resume:
        state = read_checkpoint_state(resume)
        console.print(
            f"{resume} holds a run that finished after epoch {state.epoch}; best epoch "
            f"{state.best_epoch}, {config.training.select_by} "
            f"{100 * state.best_metrics[config.training.select_by]:.3f} %. Nothing to do."
        )
    return result


def _prepare(folder: Path) -> None:
    """Check before the first epoch that a checkpoint can be written to the folder."""
    from mmsr.training import check_place

    try:
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
        check_place(folder)
        with tempfile.TemporaryFile(dir=folder.resolve().parent):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write the checkpoint {str(folder)!r}: {reason_of(error)}; name another folder"
        ) from None


def _say_where(console: Console, state: CheckpointState, folder: Path) -> None:
    """Say that the run in a checkpoint is resumed, unless it has finished."""
    if not state.finished:
        console.print(
            f"resumes from epoch {state.epoch + 1}: epoch {state.epoch} is saved in {folder}",
        )


def _save(result: EpochResult, folder: Path) -> None:
    try:
        result.save_checkpoint(folder)
    except OSError as error:
        raise UserError(
            f"cannot write the checkpoint {str(folder)!r}: {reason_of(error)}; that of the "
            "epoch before, if there is one, is unharmed: the same command resumes from it"
        ) from None


def _progress_line(p: Progress, pace: Pace) -> str:
    loss = f", loss {p.loss:.4f}" if p.loss is not None else ""
    doing = "training" if p.stage == "train" else "ranking the validation targets"
    position = pace.at(p.epoch, p.stage, p.done, p.total)
    at_most = "" if position.left is None else " at most"
    return f"epoch {p.epoch}: {doing}{loss}, {position}{at_most}"


def _epoch_line(result: EpochResult) -> Text:
    metrics = result.metrics
    shown = "  ".join(f"{name.removeprefix('valid/')} {100 * metrics[name]:6.3f}" for name in SHOWN)
    seconds = metrics["time/train_seconds"] + metrics["time/evaluate_seconds"]
    best = "  best" if result.best_epoch == result.epoch else ""
    line = f"epoch {result.epoch:3d}  loss {metrics['train/loss']:.4f}  {shown} %  {seconds:6.1f} s"
    return Text.assemble(line, (best, "green"))


def _show_best(
    console: Console, config: Config, result: EpochResult, recorded: dict[str, float]
) -> None:
    table = Table(
        title=f"Best epoch: {result.best_epoch} of {result.epoch}, by {config.training.select_by}"
    )
    table.add_column("validation metric")
    table.add_column("%", justify="right")
    if recorded:
        table.add_column("recorded, %", justify="right")
        table.add_column("difference, points", justify="right")
    for name, value in result.best_metrics.items():
        if not name.startswith("valid/"):
            continue
        row = [name, f"{100 * value:.4f}"]
        if recorded:
            then = recorded.get(name)
            row += (
                ["", ""] if then is None else [f"{100 * then:.4f}", _points(100 * (value - then))]
            )
        table.add_row(*row)
    console.print(table)


def _points(difference: float) -> str:
    """A difference of two percentages; what four decimals would hide is written as a power."""
    shown = f"{difference:+.4f}"
    return f"{difference:+.1e}" if float(shown) == 0 else shown
