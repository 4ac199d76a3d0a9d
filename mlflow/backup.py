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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow.fs import FileSelector, FileSystem, LocalFileSystem, S3FileSystem, copy_files
from sqlalchemy import URL, create_engine, inspect, make_url

CONTENTS = "contents.json"
COPIES_AT_ONCE = 8
Place = tuple[FileSystem, str]


class Refused(Exception):
    """The backup cannot be made or restored; the message says what to do."""


def main(arguments: list[str]) -> None:
    """Run the command; an error becomes one line and exit code 2."""
    commands: dict[str, Callable[[Path], str]] = {"save": save, "restore": restore}
    if len(arguments) != 2 or arguments[0] not in commands:
        sys.exit(str(__doc__))
    try:
        print(commands[arguments[0]](Path(arguments[1])))
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def save(folder: Path) -> str:
    """Write a new `folder`, which is complete or not there.

    The database comes first. Whatever its runs refer to has been stored by then, so the server may
    go on meanwhile: artifacts of later runs are merely in excess.
    """
    if folder.exists():
        raise Refused(f"{folder} is there already: name a new folder")
    draft = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)  # it holds the users' passwords, if only their hashes
    names = databases()
    for name, url in names.items():
        run(url, "pg_dump", "--format=custom", f"--file={draft / name}.dump")
    n_files, n_bytes = copy(artifacts(), (LocalFileSystem(), str(draft / "artifacts")))
    made = {"made": datetime.now(UTC).isoformat(), "files": n_files, "bytes": n_bytes}
    (draft / CONTENTS).write_text(json.dumps(made | {"databases": list(names)}, indent=2) + "\n")
    draft.rename(folder)
    return f"{folder}: {', '.join(names)}, {n_files} files of {n_bytes / 1e6:.1f} MB"


def restore(folder: Path) -> str:
    """Restore a backup's `folder` into empty databases and an empty place for artifacts."""
    try:
        made = json.loads((folder / CONTENTS).read_bytes())
    except FileNotFoundError:
        raise Refused(f"{folder} holds no complete backup: there is no {CONTENTS}") from None
    source = (LocalFileSystem(), str(folder / "artifacts"))
    if totals(source) != (made["files"], made["bytes"]):
        raise Refused(f"{folder} is damaged: its artifacts are not those that {CONTENTS} counts")
    names = databases()
    if missing := set(made["databases"]) - set(names):
        raise Refused(f"{folder} holds the database {min(missing)}: set MMSR_STORAGE to its place")
    for name in made["databases"]:
        if tables := inspect(create_engine(names[name])).get_table_names():
            raise Refused(
                f"the database {name} holds tables already, such as {tables[0]}: name an empty one"
            )
    if totals(artifacts())[0]:
        raise Refused("there are artifacts already: name an empty place by MLFLOW_ARTIFACTS")
    for name in made["databases"]:
        one_step = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
        run(names[name], "pg_restore", *one_step, str(folder / f"{name}.dump"))
    copy(source, artifacts())
    return f"{folder} of {made['made']} is restored"


def databases() -> dict[str, URL]:
    """The databases to back up by name, as psycopg is given them."""
    found = {}
    for name, variable in (("mlflow", "MLFLOW_DATABASE"), ("optuna", "MMSR_STORAGE")):
        text = os.environ.get(variable, "").replace("postgres://", "postgresql://", 1)
        if text.startswith("postgresql"):
            found[name] = make_url(text).set(drivername="postgresql+psycopg")
    if "mlflow" not in found:
        raise Refused(
            "MLFLOW_DATABASE names no PostgreSQL database; a SQLite file is copied by "
            "`sqlite3 mlflow.db '.backup COPY'`"
        )
    return found


def artifacts() -> Place:
    """Where the artifacts are."""
    named = os.environ.get("MLFLOW_ARTIFACTS", "")
    if not named:
        raise Refused("MLFLOW_ARTIFACTS is not set: name the folder or bucket that `serve.sh` has")
    if named.startswith("s3://"):
        endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL")
        other = urlsplit(endpoint) if endpoint else None
        # A store of another maker answers to its own name, not to those of buckets.
        options = {"scheme": other.scheme, "endpoint_override": other.netloc} if other else {}
        return S3FileSystem(**options), named.removeprefix("s3://").rstrip("/")
    if "://" in named:
        return FileSystem.from_uri(named)  # type: ignore[no-any-return]  # untyped
    return LocalFileSystem(), str(Path(named).absolute())


def files(place: Place) -> dict[str, int]:
    """Size of each file below a place, by its path from there."""
    system, base = place
    found = system.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
    return {info.path[len(base) :].lstrip("/"): info.size for info in found if info.is_file}


def totals(place: Place) -> tuple[int, int]:
    """How many files there are, and their bytes."""
    sizes = files(place).values()
    return len(sizes), sum(sizes)


def copy(source: Place, target: Place) -> tuple[int, int]:
    """Copy all files, one by one: empty objects that stand for folders would confuse MLflow."""
    sizes = files(source)

    def copy_one(path: str) -> None:
        there = f"{target[1]}/{path}"
        if isinstance(target[0], LocalFileSystem):
            Path(there).parent.mkdir(parents=True, exist_ok=True)
        copy_files(
            f"{source[1]}/{path}",
            there,
            source_filesystem=source[0],
            destination_filesystem=target[0],
        )

    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        list(pool.map(copy_one, sizes))
    return len(sizes), sum(sizes.values())


def run(url: URL, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL on a database; its password is not among the arguments."""
    place = (url.host, url.port, url.database, url.query)
    shown = URL.create("postgresql", url.username, None, *place).render_as_string()
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    if shutil.which(program) is None:
        raise Refused(f"there is no {program}: install PostgreSQL's client programs")
    done = subprocess.run(
        [program, f"--dbname={shown}", *arguments], env=environment, stderr=subprocess.PIPE
    )
    if done.returncode:
        raise Refused(f"{program}: {done.stderr.decode(errors='replace').strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
