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
    The exit code is 1 if one of them ends by itself; then the other is stopped, too.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise UserError("optuna-dashboard is not installed: run `pip install 'mmsr[ui]'`")
    from mmsr.study.storage.database import default_storage, open_storage
    from mmsr.study.storage.known_study import look_up
    from mmsr.tracking import check_tracking, default_uri
    from mmsr.urls import Url

    known = None if name is None else look_up(name, storage, tracking_uri)
    if known is None:
        database = Url.parse(storage or default_storage())
        tracking = Url.parse(tracking_uri or default_uri(), "tracking URI")
        open_storage(database)
    else:
        database, tracking = known.storage, known.tracking
    away = check_tracking(tracking)
    if tracking.kind != "server" and away is not None:
        raise UserError(away)
    raise typer.Exit(_serve(known, database, tracking, port))


def _serve(known: KnownStudy | None, storage: Url, tracking: Url, port: int | None) -> int:
    """Serve until Ctrl-C or the end of a server; returns the exit code."""
    from mmsr.tracking.mlflow_place import for_mlflow, make_store
    from mmsr.ui.pages import dashboard_page, mlflow_pages
    from mmsr.ui.servers import (
        ServerDied,
        dashboard_server,
        mlflow_server,
        running,
        two_ports,
        watch,
    )

    console = Console(soft_wrap=True)
    first, second = two_ports(port)
    wanted = {"optuna-dashboard": (second, *dashboard_server(storage, second))}
    if tracking.kind != "server":
        make_store(tracking)
        wanted["MLflow"] = (first, *mlflow_server(for_mlflow(tracking), first))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running(wanted) as servers:
            with console.status(f"starting {' and '.join(servers)}", spinner="line"):
                address = str(tracking.without_password())
                if "MLflow" in servers:
                    servers["MLflow"].wait("/health")
                    address = servers["MLflow"].address
                servers["optuna-dashboard"].wait("/dashboard")
            for what, path in mlflow_pages(known).items():
                console.print(f"{f'MLflow, {what}':<22}{address}/{path}")
            shown = f"{servers['optuna-dashboard'].address}/{dashboard_page(known)}"
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
