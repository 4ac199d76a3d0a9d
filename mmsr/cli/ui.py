"""`mmsr ui`: MLflow and optuna-dashboard on this machine."""

from __future__ import annotations

import importlib.util
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmsr.cli.options import StudyStorage, StudyTracking, known_studies
from mmsr.console import Console
from mmsr.errors import UserError

if TYPE_CHECKING:
    from mmsr.study.storage.known_study import KnownStudy
    from mmsr.urls import Url

_LACKING = "optuna-dashboard is not installed: run `pip install 'mmsr[ui]'`"


def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Study by name, whose pages are wanted. Default: all.",
            autocompletion=known_studies,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1024,
            max=65534,
            metavar="N",
            help="Port of MLflow; optuna-dashboard gets the next. Default: free ones.",
        ),
    ] = None,
    storage: StudyStorage = None,
    tracking_uri: StudyTracking = None,
) -> None:
    """Start MLflow and optuna-dashboard on this machine, print their addresses, wait for Ctrl-C.

    They listen on 127.0.0.1 alone. If MLflow has a server already, only its addresses are printed.
    Without the extra `ui`, MLflow is started alone. The exit code is 1 if one of them ends by
    itself; then the other is stopped, too.
    """
    from mmsr.study.storage.database import default_storage, is_made, open_storage
    from mmsr.study.storage.known_study import look_up
    from mmsr.tracking import check_tracking, default_uri
    from mmsr.tracking.databases import check_database
    from mmsr.urls import Url

    known = None if name is None else look_up(name, storage, tracking_uri)
    if known is None:
        database = Url.parse(storage or default_storage())
        tracking = Url.parse(tracking_uri or default_uri(), "tracking URI")
        check_database(database, "storage")
        if storage is not None and not is_made(database):
            raise UserError(f"storage {database}: no study is stored there: check --storage")
        open_storage(database)
    else:
        database, tracking = known.storage, known.tracking
    away = check_tracking(tracking)
    if tracking.kind == "database" and away is not None:
        raise UserError(away)
    if tracking.kind != "database" and not _has_dashboard():
        raise UserError(f"MLflow is at {tracking.without_password()}, and {_LACKING}")
    raise typer.Exit(_serve(known, database, tracking, port))


def _has_dashboard() -> bool:
    return importlib.util.find_spec("optuna_dashboard") is not None


def _serve(known: KnownStudy | None, storage: Url, tracking: Url, port: int | None) -> int:
    """Serve until Ctrl-C or the end of a server; returns the exit code."""
    from mmsr.tracking.mlflow_place import for_mlflow, make_store
    from mmsr.ui.pages import dashboard_page, mlflow_pages
    from mmsr.ui.servers import (
        ServerDied,
        dashboard_server,
        free_ports,
        mlflow_server,
        running,
        watch,
    )

    console = Console(soft_wrap=True)
    names = ["MLflow"] if tracking.kind == "database" else []
    names += ["optuna-dashboard"] if _has_dashboard() else []
    ports = free_ports(names, port)
    wanted = {}
    if "optuna-dashboard" in ports:
        at = ports["optuna-dashboard"]
        wanted["optuna-dashboard"] = (at, *dashboard_server(storage, at))
    if "MLflow" in ports:
        make_store(tracking)
        wanted["MLflow"] = (ports["MLflow"], *mlflow_server(for_mlflow(tracking), ports["MLflow"]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with running(wanted) as servers:
            with console.status(f"starting {' and '.join(servers)}", spinner="line"):
                address = str(tracking.without_password())
                if "MLflow" in servers:
                    servers["MLflow"].wait("/health")
                    address = servers["MLflow"].address
                if "optuna-dashboard" in servers:
                    servers["optuna-dashboard"].wait("/dashboard")
            if tracking.kind == "databricks":
                console.print(f"{'MLflow':<22}in the workspace of {address}")
            else:
                for what, path in mlflow_pages(known).items():
                    console.print(f"{f'MLflow, {what}':<22}{address}/{path}")
            if "optuna-dashboard" in servers:
                shown = f"{servers['optuna-dashboard'].address}/{dashboard_page(known)}"
            else:
                shown = _LACKING.removeprefix("optuna-dashboard ")
            console.print(f"{'optuna-dashboard':<22}{shown}")
            console.print("Ctrl-C stops them" if len(servers) > 1 else "Ctrl-C stops it")
            sys.stdout.flush()
            watch(list(servers.values()))
    except ServerDied as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
    return 0
