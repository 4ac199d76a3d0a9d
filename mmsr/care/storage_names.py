"""Names of studies in Optuna's storage: a study's own, and those of its parts.

A study has parts, e.g. the final runs, whose names begin with its own and a slash.
"""

from __future__ import annotations

import json

from mmsr.errors import UserError
from mmsr.inner_names import SCHEMA, TABLE_OF_STUDIES, TABLES, one_transaction
from mmsr.study.storage import database
from mmsr.study.storage.attributes import UID
from mmsr.study.storage.driver_lock import can_be_claimed
from mmsr.study.storage.outside import foreign_study, is_our_study
from mmsr.study.storage.overview import has_known_tables
from mmsr.urls import Url

_ATTRIBUTES = "study_user_attributes"


def uids_in(url: Url, name: str) -> dict[str, str]:
    """The unique ids of a study and its parts in a storage, by name; empty for others' studies.

    Parameters
    ----------
    url : URL of the storage; nothing is created there.
    name : name of the study.

    Raises
    ------
    UserError : the storage cannot be read.
    """
    from sqlalchemy import and_, column, func, inspect, or_, select, table

    studies, attributes = (
        table(one, *map(column, TABLES[one])) for one in (TABLE_OF_STUDIES, _ATTRIBUTES)
    )
    own = studies.c.study_name == name
    of_part = func.substr(studies.c.study_name, 1, len(name) + 1) == f"{name}/"
    is_uid = and_(attributes.c.study_id == studies.c.study_id, attributes.c.key == UID)
    query = select(studies.c.study_name, attributes.c.value_json).where(or_(own, of_part))
    with database.reading(url) as connection:
        if connection is None or not inspect(connection).has_table(TABLE_OF_STUDIES):
            return {}
        found = connection.execute(query.outerjoin_from(studies, attributes, is_uid)).all()
    return {one: str(json.loads(text or '""')) for one, text in sorted(found)}


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
    for one, uid in uids_in(url, name).items():
        if not is_our_study({UID: uid}):
            raise foreign_study(one)


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
    for there in uids_in(url, new):
        raise UserError(f"{url} has a study {there!r} already: choose another name")
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
    found = uids_in(url, name)
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
    found = uids_in(url, name)
    with database.watching(url), storage.engine.begin() as connection:
        for one in found:
            renamed = new + one.removeprefix(name)
            connection.execute(
                update(studies).where(studies.c.study_name == one).values(study_name=renamed)
            )
