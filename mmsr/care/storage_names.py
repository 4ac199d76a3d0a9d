"""Names of studies in Optuna's storage: a study's own, and those of its parts.

A study has parts, e.g. the final runs, whose names begin with its own and a slash.
"""

from __future__ import annotations

from mmsr.errors import UserError
from mmsr.inner_names import SCHEMA, TABLE_OF_STUDIES, TABLES, one_transaction
from mmsr.study.storage import database
from mmsr.study.storage.driver_lock import can_be_claimed
from mmsr.study.storage.outside import foreign_study, is_our_study
from mmsr.study.storage.overview import has_known_tables
from mmsr.urls import Url


def names_in(url: Url, name: str) -> list[str]:
    """The names that a study and its parts have in a storage; none where there is no such study.

    Parameters
    ----------
    url : URL of the storage; nothing is created there.
    name : name of the study.

    Raises
    ------
    UserError : the storage cannot be used.
    """
    if not database.is_made(url):
        return []
    import optuna

    found = optuna.get_all_study_names(database.open_storage(url))
    return sorted(one for one in found if one == name or one.startswith(f"{name}/"))


def uid_in(url: Url, name: str) -> str | None:
    """The unique id of the study that a storage has under a name; None where it has none.

    Parameters
    ----------
    url : URL of the storage; nothing is created there.
    name : name of the study.

    Raises
    ------
    UserError : the storage cannot be used, or mmsr did not make that study.
    """
    if not database.is_made(url):
        return None
    study = database.load_study(database.open_storage(url), name)
    return None if study is None else database.study_uid(study)


def check_can_change(url: Url, name: str) -> None:
    """Refuse a storage in which a study can be neither locked nor changed as a whole.

    Parameters
    ----------
    url : URL of the storage.
    name : name of the study.

    Raises
    ------
    UserError : it has no locks, or a part of the study is of another program.
    """
    if not can_be_claimed(url):
        raise UserError(
            f"study {name!r} is in {url}, a database that has no lock against other drivers: "
            "mmsr removes and renames studies in SQLite, PostgreSQL, MySQL and MariaDB only"
        )
    import optuna

    storage = database.open_storage(url)
    for one in names_in(url, name):
        study = optuna.load_study(study_name=one, storage=storage)
        if not is_our_study(study.user_attrs):
            raise foreign_study(one, study)


def check_can_rename(url: Url, name: str, new: str) -> None:
    """Refuse a storage whose tables are of another version, or that has the new name.

    Parameters
    ----------
    url : URL of the storage.
    name, new : the study's name, and the one that it is to have.

    Raises
    ------
    UserError : it cannot be renamed there.
    """
    if there := names_in(url, new):
        raise UserError(f"{url} has a study {there[0]!r} already: choose another name")
    with database.reading(url) as connection:
        if connection is not None and not has_known_tables(connection):
            raise UserError(
                f"study {name!r} is in {url}, whose tables are of another version of Optuna than "
                f"{SCHEMA}, which mmsr knows: use the Optuna that pyproject.toml names"
            )


def delete(url: Url, name: str) -> None:
    """Delete a study and its parts, in one transaction.

    Parameters
    ----------
    url : URL of the storage.
    name : name of the study.

    Raises
    ------
    UserError : the storage cannot be used.
    StorageLost : it failed, perhaps after the deletion.
    """
    storage = database.open_storage(url)
    found = names_in(url, name)
    with database.watching(url), one_transaction(storage):
        for one in found:
            storage.delete_study(storage.get_study_id_from_name(one))


def rename(url: Url, name: str, new: str) -> None:
    """Rename a study and its parts, in one transaction; Optuna has no call for it.

    Parameters
    ----------
    url : URL of the storage.
    name, new : the study's name, and the one that it is to have.

    Raises
    ------
    UserError : the storage cannot be used.
    StorageLost : it failed, perhaps after the renaming.
    """
    from sqlalchemy import column, table, update

    studies = table(TABLE_OF_STUDIES, *map(column, TABLES[TABLE_OF_STUDIES]))
    storage = database.open_storage(url)
    found = names_in(url, name)
    with database.watching(url), storage.engine.begin() as connection:
        for one in found:
            renamed = new + one.removeprefix(name)
            connection.execute(
                update(studies).where(studies.c.study_name == one).values(study_name=renamed)
            )
