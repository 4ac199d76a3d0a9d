"""`mmsr model`: what models can be made of, what one costs, and trained ones as folders."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsr.cli.options import ConfigFile, Settings, known_datasets
from mmsr.cli.output import AsCsv, AsJson, check_format, write_csv, write_json
from mmsr.cli.serving.options import Load, naming_a_model
from mmsr.cli.views import records
from mmsr.config import Config, parse_settings, read_yaml
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import data_size

if TYPE_CHECKING:
    from mmsr.training.example import Example

app = typer.Typer(
    no_args_is_help=True, help="List what models are made of; describe or export one."
)

_ITEMS, _HISTORY = 12_000, 10
"""Defaults of a made-up batch."""
_ABSENT = "none"


@app.command("list")
def list_(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List models, aggregators, fusions, readouts and the variants of dual attention."""
    for_program = check_format(as_json, as_csv)
    from mmsr.cli.views.model import registry, show_registry

    if for_program:
        found = records.of_registry(registry())
        write_json(found) if as_json else write_csv(found, records.ENTRIES)
        return
    show_registry(Console())


@app.command()
def describe(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="Data set by name. Default: a made-up batch.",
            autocompletion=known_datasets,
        ),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    items: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Items of a made-up catalogue. Default: {_ITEMS}."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Histories of the batch. Default: the config's.")
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Items of each history. Default: the data set's median, or "
            f"{_HISTORY} in a made-up batch.",
        ),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a model's parameters, and each part's operations and memory for one batch.

    Without DATASET the batch is made up: random histories of items with random codes.
    """
    for_program = check_format(as_json, as_csv)
    full = _config(dataset, config, settings or [])
    if batch_size is not None:
        _at_least_one("--batch-size", batch_size)
        full = full.replace({"training.batch_size": batch_size})
    if history is not None:
        _at_least_one("--history", history)
        if history > (most := full.graph.max_history):
            raise UserError(
                f"--history {history}: the model reads {most} items at most; give less, or --set "
                f"graph.max_history={history}"
            )
    if items is not None:
        _at_least_one("--items", items)
        if dataset is not None:
            raise UserError("--items is for a made-up catalogue: leave it or the data set out")
    example = _example(full, dataset, items or _ITEMS, history)
    from mmsr.cli.views.model import show_costs
    from mmsr.training.cost import measure_cost

    parts = measure_cost(example.model, example.given, example.targets, full)
    if for_program:
        tree = records.of_costs(full, parts)
        write_json(tree) if as_json else write_csv(tree["parts"], records.PARTS)
        return
    show_costs(full, example, parts, Console())


@app.command()
@naming_a_model
def export(
    load: Load,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write.")
    ],
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx", help="Also write the network as ONNX, checked against torch to 1e-5."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the folder if it is an exported model.")
    ] = False,
) -> None:
    """Write a trained model as a folder that recommends without the data set.

    NAME is a study or a checkpoint: what was exported already cannot be exported again.
    It holds weights, config, item ids, codes or features, and a model card; nothing is pickled.
    `mmsr recommend FOLDER` and `mmsr.load("FOLDER")` read it.
    """
    from mmsr.serving.exported.write import check_output, export_model

    target = check_output(output, force=force)
    recommender = load("cpu")
    record = export_model(recommender, target, with_onnx=onnx)
    size = sum(one.bytes for one in record.files.values())
    typer.echo(f"wrote {output} ({data_size(size)}): {record.origin}")
    typer.echo(f"recommend with it: mmsr recommend {shlex.quote(output)} --history ID,ID,ID")


def _config(dataset: str | None, path: Path | None, settings: list[str]) -> Config:
    tree: dict[str, Any] = read_yaml(path) if path else {}
    tree["dataset"] = dataset or _ABSENT
    return Config.from_dict(tree, source=str(path or "config")).replace(parse_settings(settings))


def _example(config: Config, dataset: str | None, items: int, history: int | None) -> Example:
    if dataset is None:
        from mmsr.training.example import made_up_example

        return made_up_example(config, items, history or min(_HISTORY, config.graph.max_history))
    from mmsr.data import Dataset
    from mmsr.graph.checks import check_inputs

    data = Dataset.open(dataset)
    check_inputs(data, config)
    if not data.manifest.counts.train_targets:
        raise UserError(f"data set {dataset!r} has no training targets: name another, or none")
    from mmsr.training.example import example_of

    return example_of(data, config, history)


def _at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{option} {value}: give a whole number of at least 1")
