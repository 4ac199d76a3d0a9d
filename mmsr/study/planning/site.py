"""Where a study runs: its data, what each trial gets, and where its state is stored."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mmsr import paths
from mmsr.data import Dataset
from mmsr.data.catalog import names as dataset_names
from mmsr.errors import UserError, unknown
from mmsr.remote import check_remote
from mmsr.study.storage.database import default_storage
from mmsr.study.workers.addresses import check_address, is_connected
from mmsr.study.workers.cluster import check_this_machine
from mmsr.study.workers.resources import Resources
from mmsr.tracking import check_tracking, default_uri
from mmsr.tracking.databases import check_database
from mmsr.urls import Url


@dataclass(frozen=True)
class Site:
    """Where trials run and are recorded, checked."""

    dataset: Dataset
    resources: Resources
    """What each trial gets."""
    storage: Url
    """URL of Optuna's database."""
    tracking: Url
    """URI of the tracking server."""
    away: str | None
    """Why the tracking server does not answer now; None where it does."""
    address: str | None
    """Ray cluster to join; None starts Ray on this machine."""
    home: str
    """`$MMSR_HOME` for the workers, on every node."""


def find_site(
    dataset: Dataset,
    resources: Resources,
    *,
    storage: str | Url | None = None,
    tracking: str | Url | None = None,
    address: str | None = None,
) -> Site:
    """Check that trials can run and be recorded; servers that are named are asked.

    A tracking server that is away is no error: events wait for it.

    Parameters
    ----------
    dataset : what trials train on.
    resources : what each trial gets.
    storage : URL of Optuna's database; None takes `$MMSR_STORAGE`, else SQLite in `$MMSR_HOME`.
    tracking : URI of the tracking server; None takes `$MLFLOW_TRACKING_URI`, else SQLite in
        `$MMSR_HOME`.
    address : Ray cluster to join; None takes `$RAY_ADDRESS`, else the Ray that this process is
        connected to, else Ray on this machine.

    Raises
    ------
    UserError : the first thing that is wrong; nothing was written.
    """
    there = Url.parse(storage or default_storage())
    recorder = Url.parse(tracking or default_uri(), "tracking URI")
    check_database(there, "storage")
    away = check_tracking(recorder)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        address = None
        if not is_connected():  # else trials run on that Ray, whose nodes are asked later
            check_this_machine(resources)
    else:
        check_address(address)
    home = str(paths.remote() or paths.home())
    return Site(dataset, resources, there, recorder, away, address, home)


def check_home() -> None:
    """Raise UserError where `$MMSR_HOME` names an object store that cannot be used."""
    if paths.remote() is not None:
        check_remote(paths.named_home())


def open_dataset(name: str) -> Dataset:
    """Open the data set of this name, in a home that can be used.

    Raises
    ------
    UserError : there is none, or the home cannot be used.
    """
    check_home()
    check_dataset(name)
    return Dataset.open(name)


def check_dataset(name: str) -> None:
    """Check that there is a data set of this name.

    Raises
    ------
    UserError : there is none; it says how to import it.
    """
    known = dataset_names()
    if name not in known:
        if name == "demo":
            hint = "run `mmsr data demo`"
        else:
            hint = (
                f"run `mmsr data import {name} --interactions FILE --items FILE "
                "--features MODALITY=FILE`"
            )
        raise UserError(f"{unknown('data set', name, known, where=paths.searched())}; {hint}")
