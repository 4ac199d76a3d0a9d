"""The configs of a table's rows, now and as a file holds them: whether they are the same."""

from __future__ import annotations

import json
from typing import Any

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures
from mmsr.reproduce.tables import Row

ELSEWHERE = ("dataset", "seed", "training.threads")
"""Config keys that are stated elsewhere or follow the machine."""


def flat_config(request: Request, row: Row) -> dict[str, Any]:
    """The config of a row by dotted key, as JSON has it, without data set, seed and threads.

    Parameters
    ----------
    request : the rows and seeds.
    row : the row.
    """
    return _flat(request.config_of(row))


def _flat(config: Config) -> dict[str, Any]:
    flat = {key: value for key, value in config.flat().items() if key not in ELSEWHERE}
    found: dict[str, Any] = json.loads(json.dumps(flat))
    return found


def stored_config(results: Results, row: RowFigures) -> dict[str, Any]:
    """As `flat_config`, of a row in a file; keys that are newer have what they meant before.

    Parameters
    ----------
    results, row : what the file holds, and one of its rows.
    """
    flat, tree = results.settings_of(row), dict[str, Any](dataset="")
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    try:
        return _flat(Config.from_stored(tree))
    except UserError:  # a newer mmsr wrote it
        return flat
