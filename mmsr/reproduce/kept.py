"""The files of a reproduced table: they are its state, and a call goes on from them.

`STUDY.json` and `STUDY.md` hold the results. `STUDY.users.safetensors` holds what comparisons need:
for each run, `ROW/SEED`, an array float32 [n_metrics, n_users] of the users' means.

So finished runs are not repeated where the study's own home is lost, or on another machine that has
the files. Runs with equal settings and seed are taken over from the files of other tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mmsr import paths
from mmsr.errors import UserError, reason_of
from mmsr.reproduce.models.view import models_markdown
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import ADVICE, Results, SeedFigures, read_results
from mmsr.reproduce.row_configs import difference, flat_config, other_kind, stored_config
from mmsr.reproduce.tables import MODELS_TABLE, TABLES
from mmsr.reproduce.view import markdown
from mmsr.study.results.comparison import COMPARED
from mmsr.study.results.held_out import Opening
from mmsr.study.storage.folder import StudyFolder

Means = NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """One finished run of a row."""

    figures: SeedFigures
    users: Means
    """float32 [n_metrics, n_users]: users' means of the metrics that are compared."""


Runs = dict[tuple[str, int], Run]
"""Finished runs by label of their row, and seed."""


def runs_so_far(request: Request, folder: Path) -> tuple[Runs, tuple[Opening, ...]]:
    """The finished runs in files, and the openings of test for the table's own.

    Parameters
    ----------
    request : the rows and seeds.
    folder : folder of the table's files.

    Raises
    ------
    UserError : as `read_kept`.
    """
    kept, opened = read_kept(request, folder)
    return {**take_over(request, folder), **kept}, opened


def read_kept(request: Request, folder: Path) -> tuple[Runs, tuple[Opening, ...]]:
    """The finished runs in the table's own files, and the openings of test for them.

    Parameters
    ----------
    request : the rows and seeds.
    folder : folder of the files.

    Raises
    ------
    UserError : the files hold other results, which would be overwritten, or cannot be read.
    """
    path = folder / f"{request.name}.json"
    if (results := read_results(path)) is None:
        return {}, ()
    if (found := difference(request, results)) is not None:
        raise UserError(f"{path} holds other results ({found}): {ADVICE}")
    return read_runs(results, path), results.test_opened


def beside_kept(request: Request, folder: Path) -> Request:
    """The same request in a table that has the rows of its files, too, where rows are models.

    Parameters
    ----------
    request : the rows and seeds.
    folder : folder of the files.

    Raises
    ------
    UserError : the files cannot be read.
    """
    results = read_results(folder / f"{request.name}.json")
    return request if results is None else request.beside(results)


def read_runs(results: Results, path: Path) -> Runs:
    """The finished runs of results, with the users' means from the file beside theirs.

    Parameters
    ----------
    results : the results.
    path : their JSON file.

    Raises
    ------
    UserError : users' means are missing or cannot be read.
    """
    means = _read_means(_means_file(path), results.n_users)
    found = {}
    for row in results.rows:
        for figures in row.finished:
            key = (row.label, figures.seed)
            if key not in means:
                raise UserError(f"{_means_file(path)} lacks {_name(*key)}: restore it, or {ADVICE}")
            found[key] = Run(figures, means[key])
    return found


def take_over(request: Request, output: Path) -> Runs:
    """Finished runs of other tables that have the settings and seed of a row of this one.

    Parameters
    ----------
    request : the rows and seeds.
    output : folder of this table's files; the default folders of other tables are searched, too.
    """
    own = f"{request.name}.json"
    if request.table.name not in TABLES:
        return {}
    folders = [output]
    for name in TABLES:
        study = request.name.replace(request.table.name, name, 1)
        folders.append(StudyFolder(study).path)
    found: Runs = {}
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.glob("*.json")):
            if path.name != own:
                found = {**_same_runs(request, path), **found}
    return found


def _same_runs(request: Request, path: Path) -> Runs:
    """What can be taken over from a file; nothing from one that holds something else."""
    try:
        results = Results.model_validate_json(path.read_text())
        means = _read_means(_means_file(path), results.n_users)
    except (OSError, ValueError, UserError):
        return {}
    if other_kind(request.plan.definition, request.label, results) is not None:
        return {}
    configs = {row.label: flat_config(request, row) for row in request.table.rows}
    return {
        (label, figures.seed): Run(figures, means[row.label, figures.seed])
        for row in results.rows
        for label, config in configs.items()
        if stored_config(results, row) == config
        for figures in row.finished
        if (row.label, figures.seed) in means
    }


def check_writable(folder: Path) -> None:
    """Refuse a folder that results could not be written to, before anything is run.

    Parameters
    ----------
    folder : the folder; created if it is missing.

    Raises
    ------
    UserError : it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, reason_of(error)) from None
    if not os.access(folder, os.W_OK):
        raise _cannot_write(folder, "it is read-only")


def _cannot_write(folder: Path, reason: str) -> UserError:
    return UserError(
        f"cannot write results to {str(folder)!r}: {reason}; give the same command with another "
        "--output"
    )


@contextmanager
def writing(request: Request, folder: Path) -> Iterator[None]:
    """Hold the exclusive right to read a table's files and write them anew, inside this context.

    Parameters
    ----------
    request : the rows and seeds.
    folder : folder of the files; created if it is missing.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    check_writable(folder)
    lock = FileLock(folder / f".{request.name}.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise _cannot_write(folder, reason_of(error)) from None
    try:
        yield
    finally:
        lock.release()


def write_results(results: Results, runs: Runs, folder: Path) -> tuple[Path, ...]:
    """Write the results and the users' means, each file so that it is complete or not there.

    Parameters
    ----------
    results : the results.
    runs : the runs that they are made of.
    folder : where to write; created if it is missing.

    Returns
    -------
    The paths of the files: JSON, Markdown, users' means.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    path = folder / f"{results.study}.json"
    as_markdown = models_markdown if results.table == MODELS_TABLE else markdown
    means = {_name(*key): np.ascontiguousarray(run.users) for key, run in runs.items()}
    content: Mapping[Path, bytes] = {  # the means first: they must have all that the JSON names
        _means_file(path): save(means),
        path: (results.model_dump_json(indent=1) + "\n").encode(),
        path.with_suffix(".md"): as_markdown(results).encode(),
    }
    check_writable(folder)
    try:
        for file, data in content.items():
            paths.write_whole(file, data)
    except OSError as error:
        raise _cannot_write(folder, reason_of(error)) from None
    return paths_of(path)


def paths_of(path: Path) -> tuple[Path, Path, Path]:
    """The paths of a table's files: JSON, Markdown, users' means.

    Parameters
    ----------
    path : the first of them.
    """
    return path, path.with_suffix(".md"), _means_file(path)


def _means_file(path: Path) -> Path:
    return path.with_suffix(".users.safetensors")


def _name(label: str, seed: int) -> str:
    return f"{label}/{seed}"


def _read_means(path: Path, n_users: int) -> dict[tuple[str, int], Means]:
    if not path.exists():
        return {}
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it") from None
    shape, found = (len(COMPARED), n_users), {}
    for name, array in arrays.items():
        label, _, seed = name.rpartition("/")  # a label may have a slash, too
        if not seed.isdecimal() or array.shape != shape or array.dtype != np.float32:
            raise UserError(
                f"{path} is damaged, or another version of mmsr wrote it: {name!r} is "
                f"{array.dtype} {list(array.shape)} and not ROW/SEED, float32 {list(shape)}; "
                "restore the file"
            )
        found[label, int(seed)] = array
    return found
