"""Optuna's storage, which holds the state of all studies. Only the driver writes to it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from mmsr import paths
from mmsr.errors import StorageLost, UserError
from mmsr.inner_names import TABLE_OF_STUDIES
from mmsr.study.storage.attributes import ORIGIN, UID
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.outside import foreign_study, is_our_study, model_of
from mmsr.tracking.databases import (
    TIMEOUT_SECONDS,
    check_database,
    connect_arguments,
    reason,
    sqlite_file,
)
from mmsr.urls import Url, sqlite_url

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy import Connection

_DEFINITION = "definition"


def named_storage() -> str | None:
    """The storage that `$MMSR_STORAGE` names, e.g. a team's database server; None if unset."""
    return os.environ.get("MMSR_STORAGE") or None


def default_storage() -> str:
    """The storage that `$MMSR_STORAGE` names, else the SQLite file under `$MMSR_HOME`.

    It may hold a password: `Url.parse` makes of it what can be shown.
    """
    return named_storage() or sqlite_url(paths.home() / "optuna.db").reveal()


def open_storage(given: str | Url) -> RDBStorage:
    """Open a storage; missing tables are created.

    Parameters
    ----------
    given : URL of the database.

    Raises
    ------
    UserError : the database cannot be used.
    """
    url = Url.parse(given)
    check_database(url, "storage")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _as_user_error(url):
        if (file := sqlite_file(url)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(
            url.reveal(),
            engine_kwargs={"connect_args": connect_arguments(url), "pool_pre_ping": True},
        )


def is_made(url: Url) -> bool:
    """Whether a database has Optuna's tables; nothing is created.

    Parameters
    ----------
    url : URL of the database.

    Raises
    ------
    UserError : the database cannot be used.
    """
    from sqlalchemy import create_engine, inspect

    if (file := sqlite_file(url)) is not None and not file.exists():
        return False
    check_database(url, "storage")
    with _as_user_error(url):
        engine = create_engine(url.reveal(), connect_args=connect_arguments(url))
        try:
            return inspect(engine).has_table(TABLE_OF_STUDIES)
        finally:
            engine.dispose()


@contextmanager
def reading(given: str | Url) -> Iterator[Connection | None]:
    """A connection that only reads; None if the database is a file that does not exist.

    Unlike a driver, it does not wait long for a database that is locked or does not answer.

    Parameters
    ----------
    given : URL of the database.

    Raises
    ------
    UserError : the database cannot be read.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    url = Url.parse(given)
    if (file := sqlite_file(url)) is not None and not file.exists():
        yield None
        return
    waits = dict.fromkeys(connect_arguments(url), TIMEOUT_SECONDS)
    with _as_user_error(url):
        engine = create_engine(url.reveal(), connect_args=waits, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection


def load_study(
    storage: BaseStorage,
    name: str,
    *,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
) -> optuna.Study | None:
    """The study `name` of a storage; None if there is none.

    Parameters
    ----------
    storage : where to look.
    name : name of the study.
    sampler, pruner : Optuna's, if the study is to be run.

    Raises
    ------
    UserError : the storage has a study of this name that mmsr did not make.
    """
    import optuna

    try:
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    except KeyError:
        return None
    if not is_our_study(study.user_attrs):
        raise foreign_study(name, study)
    return study


def models_of_trials(storage: BaseStorage, name: str) -> list[str | None]:
    """The model of each trial of the study `name`, whatever its state; none if there is no study.

    Parameters
    ----------
    storage : where to look.
    name : name of the study.
    """
    study = load_study(storage, name)
    return [model_of(trial) for trial in study.get_trials(deepcopy=False)] if study else []


def read_definition(study: optuna.Study) -> Definition | None:
    """The definition of `study`; None if its creation was interrupted.

    Raises
    ------
    UserError : it cannot be read.
    """
    text = study.user_attrs.get(_DEFINITION)
    try:
        return None if text is None else Definition.model_validate_json(text)
    except ValidationError:
        raise UserError(
            f"the definition of study {study.study_name!r} in its storage is damaged, or was "
            "written by a newer mmsr: use that one, or give another --name"
        ) from None


def study_uid(study: optuna.Study) -> str:
    """The unique id of `study`; no other study has it, even one of the same name."""
    return str(study.user_attrs[UID])


def open_study(
    storage: BaseStorage,
    name: str,
    definition: Definition,
    *,
    known: Sequence[Mapping[str, Any]],
    trials: int,
    sampler: BaseSampler,
    pruner: BasePruner | None,
    directions: Sequence[Literal["minimize", "maximize"]] = ("maximize",),
) -> optuna.Study:
    """Create the study, or open the existing one.

    Known settings are enqueued at creation. The definition is written last, so if the creation is
    interrupted, the next call completes it.

    Parameters
    ----------
    storage : where the study is stored.
    name : its name.
    definition : what all its trials have in common.
    known : settings to try first, as Optuna stores them.
    trials : number of trials to run.
    sampler, pruner : Optuna's; no pruner stops no trial early.
    directions : one for each objective.

    Raises
    ------
    UserError : a study of this name has another definition, or is not mmsr's.
    """
    import optuna

    from mmsr.study.storage.progress import set_target
    from mmsr.study.storage.single_writer import together

    pruner = pruner or optuna.pruners.NopPruner()
    study = load_study(storage, name, sampler=sampler, pruner=pruner)
    if study is None:
        with together(storage):  # a study without the id would not be ours
            study = optuna.create_study(
                study_name=name,
                storage=storage,
                directions=list(directions),
                sampler=sampler,
                pruner=pruner,
            )
            study.set_user_attr(UID, uuid.uuid4().hex)
    there = read_definition(study)
    if there is None:
        for settings in known:
            study.enqueue_trial(dict(settings), user_attrs={ORIGIN: "known"}, skip_if_exists=True)
        study.set_user_attr(_DEFINITION, definition.model_dump_json())
    else:
        check_same(name, there, definition)
        if set(definition.models) - set(there.models):
            both = there.with_models_of(definition)
            study.set_user_attr(_DEFINITION, both.model_dump_json())
    set_target(study, trials)
    return study


def check_same(name: str, then: Definition, now: Definition) -> None:
    """Raise UserError if a study is to be run with another definition than it has.

    Parameters
    ----------
    name : name of the study.
    then, now : the definition that it has, and the one that was given.
    """
    if (difference := then.difference(now)) is not None:
        raise UserError(
            f"study {name!r} exists with another definition: {difference}; give the same settings, "
            "or another --name"
        )


@contextmanager
def watching(url: Url) -> Iterator[None]:
    """Turn a failure of the storage inside this context into StorageLost.

    Parameters
    ----------
    url : URL of the storage.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageLost(f"storage {url} failed: {_cause(error, url)}") from error


@contextmanager
def _as_user_error(url: Url) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OSError, RuntimeError, ImportError) as error:
        raise UserError(f"storage {url!r} cannot be used: {_cause(error, url)}") from None


def _cause(error: BaseException, url: Url) -> str:
    cause = error.__cause__ or error
    return reason(cause, url) if isinstance(cause, Exception) else url.scrub(str(cause))
