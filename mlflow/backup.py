#!/usr/bin/env python3
"""Back up the tracking server's database and artifacts, or restore them.

    mlflow/backup.py save FOLDER      while the server runs
    mlflow/backup.py restore FOLDER   into an empty database and an empty artifact store

The places are those of `serve.sh`, by the same variables: `MLFLOW_DATABASE` (PostgreSQL) and
`MLFLOW_ARTIFACTS` (a folder or a bucket, with `MLFLOW_S3_ENDPOINT_URL`). Where `MMSR_STORAGE` names
a PostgreSQL database, too, Optuna's studies go with them. The programs of PostgreSQL must be those
of the database's version or newer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow.fs import (
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
    S3FileSystem,
    copy_files,
)
from sqlalchemy import URL, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

CONTENTS = "contents.json"
COPIES_AT_ONCE = 8
Place = tuple[FileSystem, str]


class Refused(Exception):
    """The backup cannot be made or restored; the message says what to do."""


def main(arguments: list[str]) -> None:
    """Run the command; an error is reported in one message, with exit code 2."""
    commands: dict[str, Callable[[Path], str]] = {"save": save, "restore": restore}
    if arguments in (["--help"], ["-h"]):
        print(__doc__)
        return
    if len(arguments) != 2 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        print(commands[arguments[0]](Path(arguments[1])))
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def save(folder: Path) -> str:
    """Write a new `folder`, which is complete or not there.

    The database comes first. The files that its runs refer to have been stored by then, so the
    server may go on meanwhile: files of later runs are merely in excess. Files that are deleted
    meanwhile are left out, though the database still has their runs.
    """
    if folder.exists():
        raise Refused(f"{folder} is there already: name a new folder")
    names, source = databases(), artifacts()
    if source[0].get_file_info(source[1]).type != FileType.Directory:
        raise Refused(
            f"there are no files at {source[1]}: name by MLFLOW_ARTIFACTS the place where "
            "`serve.sh` stores them"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Its mode keeps others out: it holds the users' passwords, if only their hashes.
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        for name, url in names.items():
            run(url, "pg_dump", "--format=custom", f"--file={draft / name}.dump")
        target = (LocalFileSystem(), str((draft / "artifacts").absolute()))
        copy(source, target)
        n_files, n_bytes = totals(target)
        made = {"made": datetime.now(UTC).isoformat(), "files": n_files, "bytes": n_bytes}
        text = json.dumps(made | {"databases": list(names)}, indent=2)
        (draft / CONTENTS).write_text(text + "\n")
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return f"{folder}: {', '.join(names)}, {n_files} files of {n_bytes / 1e6:.1f} MB"


def restore(folder: Path) -> str:
    """Restore a backup's `folder` into empty databases and an empty place for artifacts.

    All that can be checked is checked before anything is written. The databases come last, each
    whole or not at all: a server never finds runs without their files.
    """
    source = (LocalFileSystem(), str((folder / "artifacts").absolute()))
    made = read_contents(folder)
    if totals(source) != (made["files"], made["bytes"]):
        raise Refused(f"{folder} is damaged: its artifacts are not those that {CONTENTS} counts")
    names, target = databases(), artifacts()
    if missing := set(made["databases"]) - set(names):
        raise Refused(f"{folder} holds the database {min(missing)}: set MMSR_STORAGE to its place")
    for name in made["databases"]:
        if tables := tables_of(name, names[name]):
            raise Refused(
                f"the database {name} holds tables already, such as {tables[0]}: name an empty one"
            )
    if totals(target)[0]:
        raise Refused("there are artifacts already: name an empty place by MLFLOW_ARTIFACTS")
    for name in made["databases"]:  # reads all of it
        run(None, "pg_restore", f"--file={os.devnull}", str(folder / f"{name}.dump"))
    written = ["the place of MLFLOW_ARTIFACTS"]
    try:
        copy(source, target)
        if totals(target) != totals(source):
            raise Refused("the artifacts did not arrive as they are in the backup")
        for name in made["databases"]:
            one_step = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
            run(names[name], "pg_restore", *one_step, str(folder / f"{name}.dump"))
            written.append(f"the database {name}")
    except (Refused, OSError) as error:
        raise Refused(f"{error}\nbefore you try again, empty {', '.join(written)}") from None
    return f"{folder} of {made['made']} is restored"


def read_contents(folder: Path) -> dict[str, Any]:
    """What a backup says of itself."""
    try:
        made = json.loads((folder / CONTENTS).read_bytes())
    except FileNotFoundError:
        raise Refused(f"{folder} holds no complete backup: there is no {CONTENTS}") from None
    except ValueError:
        made = None
    if not isinstance(made, dict) or not {"made", "files", "bytes", "databases"} <= made.keys():
        raise Refused(f"{folder} is damaged: {CONTENTS} cannot be read")
    return made


def databases() -> dict[str, URL]:
    """The databases to back up by name, as psycopg is given them."""
    found = {}
    for name, variable in (("mlflow", "MLFLOW_DATABASE"), ("optuna", "MMSR_STORAGE")):
        text = os.environ.get(variable, "").replace("postgres://", "postgresql://", 1)
        if text.startswith("postgresql"):
            try:
                found[name] = make_url(text).set(drivername="postgresql+psycopg")
            except (ArgumentError, ValueError):
                raise Refused(f"{variable} is no URL: write postgresql://USER@HOST/NAME") from None
    if "mlflow" not in found:
        raise Refused(
            "MLFLOW_DATABASE names no PostgreSQL database; a SQLite file is copied by "
            "`sqlite3 mlflow.db '.backup COPY'`"
        )
    return found


def tables_of(name: str, url: URL) -> list[str]:
    """Names of a database's tables."""
    try:
        return inspect(create_engine(url)).get_table_names()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise Refused(f"the database {name} cannot be read: {reason}") from None


def artifacts() -> Place:
    """Where the artifacts are."""
    named = os.environ.get("MLFLOW_ARTIFACTS", "")
    if not named:
        raise Refused("MLFLOW_ARTIFACTS is not set: name the folder or bucket that `serve.sh` has")
    if named.startswith("s3://"):
        return s3(os.environ.get("MLFLOW_S3_ENDPOINT_URL")), named.removeprefix("s3://").rstrip("/")
    if "://" in named:
        try:
            return FileSystem.from_uri(named)  # type: ignore[no-any-return]  # untyped
        except ValueError:
            scheme = named.partition("://")[0]
            raise Refused(
                f"MLFLOW_ARTIFACTS: {scheme}:// is not known here: a folder, s3:// or gs://; copy "
                "other stores by their own programs"
            ) from None
    return LocalFileSystem(), str(Path(named).absolute())


def s3(endpoint: str | None) -> FileSystem:
    """The S3 store at an address; None is Amazon's."""
    if not endpoint:
        return S3FileSystem()
    other = urlsplit(endpoint)
    if other.scheme not in ("http", "https") or other.path.strip("/"):
        raise Refused("MLFLOW_S3_ENDPOINT_URL: write http://HOST:PORT or https://HOST:PORT")
    # A store of another maker answers to its own name, not to those of buckets.
    return S3FileSystem(scheme=other.scheme, endpoint_override=other.netloc)


def files(place: Place) -> dict[str, int]:
    """Size of each file below a place, by its path from there."""
    system, base = place
    found = system.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
    return {info.path[len(base) :].lstrip("/"): info.size for info in found if info.is_file}


def totals(place: Place) -> tuple[int, int]:
    """How many files there are, and their bytes."""
    sizes = files(place).values()
    return len(sizes), sum(sizes)


def copy(source: Place, target: Place) -> None:
    """Copy all files, one by one: empty objects that stand for folders would confuse MLflow.

    Files that are gone by then are left out, such as those that MLflow writes before it gives them
    their names.
    """

    def copy_one(path: str) -> None:
        there = f"{target[1]}/{path}"
        if isinstance(target[0], LocalFileSystem):
            Path(there).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            copy_files(
                f"{source[1]}/{path}",
                there,
                source_filesystem=source[0],
                destination_filesystem=target[0],
            )

    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        list(pool.map(copy_one, files(source)))


def run(url: URL | None, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL, on a database if one is given; its password is no argument."""
    environment = dict(os.environ)
    if url is not None:
        if "sslpassword" in url.query:
            raise Refused("sslpassword in a URL would be seen by others: use a key without one")
        if password := url.password or url.query.get("password"):
            environment["PGPASSWORD"] = str(password)
        query = url.difference_update_query(["password"]).query
        place = (url.host, url.port, url.database, query)
        shown = URL.create("postgresql", url.username, None, *place).render_as_string()
        arguments = (f"--dbname={shown}", *arguments)
    if shutil.which(program) is None:
        raise Refused(f"there is no {program}: install PostgreSQL's client programs")
    done = subprocess.run([program, *arguments], env=environment, stderr=subprocess.PIPE)
    if done.returncode:
        raise Refused(f"{program}: {done.stderr.decode(errors='replace').strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
