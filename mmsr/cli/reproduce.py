"""`mmsr reproduce`: the paper's tables, measured beside published figures, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsr.cli.options import Address, DryRun, known_datasets
from mmsr.config import parse_settings
from mmsr.console import Console
from mmsr.errors import UserError

if TYPE_CHECKING:
    from mmsr.study.planning.declaration import Options


def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="`table2` (models), `table3` (graph aggregators), `table4` (ablation), `fig4` "
            "(missing modalities) or `fig5` (codes and links).",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(metavar="DATASET", help="Data set by name.", autocompletion=known_datasets),
    ],
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,…",
            help="Rows as the paper prints them; fig4: fusions, `ID only` and aggregators by name; "
            "fig5: CODES/LINKS. Default: all; for fig4, all but aggregators.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Runs of every row, each with its own seed.")
    ] = 3,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Most epochs of every run. Default: the config's."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(metavar="N", help="table2: trials of each model. Default: 20."),
    ] = None,
    equal: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="table2: what each model gets the same of, `trials` (default) or `hours`; with "
            "hours, --trials times the number of models in all.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a config key in all rows; `seed=N` is the first seed; of table2, "
            "that of the search, which refits count up from. Repeatable.",
        ),
    ] = None,
    select_on: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="What chooses the best epoch: `valid`; or `test`, as the paper's authors did, "
            "which marks the results TEST-SELECTED.",
        ),
    ] = "valid",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder of the results: JSON, Markdown and users' means, which later calls go on "
            "from. Default: the study's folder.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study. Default: TABLE-DATASET.")
    ] = None,
    cpus: Annotated[float, typer.Option(metavar="X", help="CPU cores of each run.")] = 1,
    gpus: Annotated[float, typer.Option(metavar="X", help="GPUs of each run, e.g. 0.25.")] = 0,
    address: Address = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's database. Default: SQLite in $MMSR_HOME."),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow. Default: SQLite in $MMSR_HOME.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run rows of a table or figure of the paper; for tables, show measured beside published.

    Rows and seeds of all calls form one study. Each run of a table trains on the training part
    until validation stops improving, then on train + validation for the chosen number of epochs.
    When all seeds of a row are done, their models rank test, once, and the files are written. They
    are the table's state: the same command goes on from them, here or on another machine, and
    further calls add rows and seeds. Runs that another table has in common are taken over.

    Differences from HAN-GNN are tested over users and seeds, from three seeds of both on.

    The rows of table2 are models. Each is searched by its own space with the same budget, its
    authors' settings first as far as --set leaves them; the best trial on validation is refitted
    with other seeds. A row that has ranked test is never searched again; further calls may add rows
    on other machines, with the same budget.

    Figures are drawn from validation targets, as PNG and an interactive page; test stays closed.
    fig4 masks modalities of each row's models at rising rates, fig5 is a heat map of the rows.
    """
    from mmsr.reproduce.request import make_request
    from mmsr.reproduce.tables import MODELS_TABLE
    from mmsr.study.planning.declaration import Options

    options = Options(
        name=name,
        epochs=epochs,
        address=address,
        storage=storage,
        tracking_uri=tracking_uri,
        settings=parse_settings(settings or []),
    )
    labels = None if rows is None else rows.split(",")
    resources = {"cpu": cpus, "gpu": gpus}
    if output is not None and output.exists() and not output.is_dir():
        raise UserError(f"--output {str(output)!r} is a file: name a folder")
    if table == MODELS_TABLE:
        if select_on != "valid":
            raise UserError(f"--select-on {select_on}: the models of {table} are chosen on valid")
        _models(dataset, labels, trials, equal, seeds, resources, options, output, dry_run)
        return
    for option, given in {"--trials": trials, "--equal": equal}.items():
        if given is not None:
            raise UserError(
                f"{option} {given}: that is for {MODELS_TABLE}, whose rows are searched"
            )
    request = make_request(
        table,
        dataset,
        rows=labels,
        n_seeds=seeds,
        select_on=select_on,
        resources=resources,
        options=options,
    )
    console = Console()
    from mmsr.reproduce.figures import check_figure, reproduce_figure
    from mmsr.reproduce.kept import runs_so_far
    from mmsr.reproduce.view import show_request, show_results

    check_figure(request)
    if dry_run:
        folder = output or request.plan.folder.path
        done = () if request.table.is_figure else runs_so_far(request, folder)[0]
        show_request(request, console, done)
        return
    from mmsr.reproduce.run import reproduce as run
    from mmsr.study.driver.exit_codes import exit_code

    def all_of_it() -> int:
        if request.table.is_figure:
            return reproduce_figure(request, console, output)
        code, results, paths = run(request, console, output)
        show_results(results, console)
        for path in paths:
            console.print(f"wrote {path}", soft_wrap=True)
        return code

    if code := exit_code(all_of_it):
        raise typer.Exit(code)


def _models(
    dataset: str,
    rows: Sequence[str] | None,
    trials: int | None,
    equal: str | None,
    seeds: int,
    resources: Mapping[str, float],
    options: Options,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Reproduce table 2, or show what would run."""
    from mmsr.reproduce.models.search import make_search

    search = make_search(
        dataset,
        rows=rows,
        trials=trials,
        equal="trials" if equal is None else equal,
        n_seeds=seeds,
        resources=resources,
        options=options,
        output=output,
    )
    if dry_run:
        from mmsr.reproduce.models.dry_run import show_search

        show_search(search, Console())
        return
    from mmsr.reproduce.models.run import reproduce_models
    from mmsr.reproduce.models.view import show_models
    from mmsr.study.driver.exit_codes import exit_code

    def all_of_it() -> int:
        console = Console()
        code, results, paths = reproduce_models(search, console)
        if results is not None:
            show_models(results, console)
        for path in paths:
            console.print(f"wrote {path}", soft_wrap=True)
        return code

    if code := exit_code(all_of_it):
        raise typer.Exit(code)
