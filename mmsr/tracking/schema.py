"""Whether the tables of an MLflow database are those of the installed MLflow."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from mmsr.errors import UserError
from mmsr.tracking.databases import Unreachable, connect_arguments, reason
from mmsr.urls import Url

_REVISION = re.compile(r"^revision\b[^=\n]*=\s*[\"'](\w+)[\"']", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b[^=\n]*=\s*(.+)$", re.MULTILINE)


def check_schema(url: Url) -> None:
    """Check that MLflow can use its tables in a database that answers; it refuses older ones.

    Parameters
    ----------
    url : the database.

    Raises
    ------
    Unreachable : the database cannot be read now.
    UserError : the tables are of another version of MLflow, or of another program.
    """
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    known, newest = _revisions()
    try:
        found = _recorded(url)
    except SQLAlchemyError as error:
        kind = Unreachable if isinstance(error, OperationalError) else UserError
        what = f"tracking store {url!r}"
        raise kind(f"{what} cannot be used: {reason(error, url)}") from None
    if not known or not found or found & newest:
        return
    place, revision = str(url), ", ".join(sorted(found))
    if found <= known:
        raise UserError(
            f"tracking store {place!r} has the tables of an older MLflow (schema {revision}): "
            f"back it up, and upgrade it with `mlflow db upgrade {place}`"
        )
    raise UserError(
        f"tracking store {place!r} has tables that the installed MLflow does not know (schema "
        f"{revision}): name another database, or install the newer MLflow that made them"
    )


def _recorded(url: Url) -> set[str]:
    """Revisions that the database records; none where MLflow has made no tables yet."""
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(url.reveal(), connect_args=connect_arguments(url))
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return set()
            found = connection.execute(text("SELECT version_num FROM alembic_version"))
            return {str(row[0]) for row in found}
    finally:
        engine.dispose()


def _revisions() -> tuple[set[str], set[str]]:
    """All revisions of the installed MLflow, and the newest, read without loading MLflow."""
    package = find_spec("mlflow")
    known: set[str] = set()
    before: set[str] = set()
    for place in (package and package.submodule_search_locations) or ():
        for path in (Path(place) / "store" / "db_migrations" / "versions").glob("*.py"):
            script = path.read_text()
            known |= set(_REVISION.findall(script))
            for value in _BEFORE.findall(script):
                before |= set(re.findall(r"[\"'](\w+)[\"']", value))
    return known, known - before
