"""The configs of a table's rows, now and as a file holds them: whether they are the same."""

from __future__ import annotations

import json
from typing import Any

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures
from mmsr.reproduce.tables import Row
from mmsr.study.storage.definition import Definition

ELSEWHERE = ("dataset", "seed", "training.threads")
"""Config keys that are stated elsewhere or follow the machine."""


def flat_config(request: Request, row: Row) -> dict[str, Any]:
    """The config of a row by dotted key, as JSON has it, without data set, seed and threads.

    Parameters
    ----------
    request : the rows and seeds.
    row : the row.
    """
    kept = request.kept_config(row)
    return flat(request.config_of(row)) if kept is None else dict(kept)


def flat(config: Config) -> dict[str, Any]:
    """A config by dotted key, as JSON has it, without data set, seed and threads.

    Parameters
    ----------
    config : the config.
    """
    values = {key: value for key, value in config.flat().items() if key not in ELSEWHERE}
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


def stored_config(results: Results, row: RowFigures) -> dict[str, Any]:
    """As `flat_config`, of a row in a file; keys that are newer have what they meant before.

    Parameters
    ----------
    results, row : what the file holds, and one of its rows.
    """
    values, tree = results.settings_of(row), dict[str, Any](dataset="")
    for key, value in values.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    try:
        return flat(Config.from_stored(tree))
    except UserError:  # a newer mmsr wrote it
        return values


def difference(request: Request, results: Results) -> str | None:
    """How results differ from those that are asked for; None if they belong together.

    Rows that have not ranked test do not count: nothing is lost if they are replaced.

    Parameters
    ----------
    request : the rows and seeds.
    results : what a file holds.
    """
    other = other_kind(request.plan.definition, request.label, results)
    if other is not None:
        return other
    rows = {row.label: row for row in request.table.rows}
    for row in results.rows:
        if not row.finished:
            continue
        if row.label not in rows:
            return f"row {row.label}"
        then, now = stored_config(results, row), flat_config(request, rows[row.label])
        for key in [*now, *(key for key in then if key not in now)]:
            if then.get(key) != now.get(key):
                return f"{row.label}: {key} was {then.get(key)} and is {now.get(key)}"
    return None


def other_kind(definition: Definition, selection: str, results: Results) -> str | None:
    """The first of data, protocol and selection in which results differ from those asked for.

    Parameters
    ----------
    definition : the study's.
    selection : how its best epochs are chosen, as results state it.
    results : what a file holds.
    """
    for what, then, now in (
        ("content of the data set", results.dataset_hash[:12], definition.dataset_hash[:12]),
        ("protocol", results.protocol, definition.protocol),
        ("selection", results.selection, selection),
    ):
        if then != now:
            return f"{what} was {then} and is {now}"
    return None
