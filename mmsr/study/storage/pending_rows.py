"""What a transaction of a study's storage writes at its end: rows of Optuna's tables, all at once.

Optuna itself looks up the trial and commits for each parameter and attribute; a trial of the
default space has some twenty-five of them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from sqlalchemy import Connection, MetaData, Table, bindparam

PARAMS, USER, SYSTEM = "trial_params", "trial_user_attributes", "trial_system_attributes"
"""Optuna's tables of what a trial has by name."""


def read_json(text: str) -> Any:
    """A value as it comes back from the database; trials share the names in it."""
    return json.loads(text, object_pairs_hook=_with_shared_names)


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in pairs}


class PendingRows:
    """Parameters and attributes of trials that are not written yet."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self.clear()

    def clear(self) -> None:
        """Drop them."""
        self._rows: dict[str, list[dict[str, Any]]] = {PARAMS: [], USER: [], SYSTEM: []}

    def add_param(self, trial_id: int, name: str, value: float, kind: BaseDistribution) -> None:
        """A parameter that the trial has not got yet."""
        text = distribution_to_json(kind)
        self._rows[PARAMS].append(
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": value,
                "distribution_json": text,
            }
        )

    def add_attr(self, table: str, trial_id: int, key: str, value: Any) -> Any:
        """An attribute, new or instead of the one before; returns it as it will be read."""
        text = json.dumps(value)
        self._rows[table].append({"trial_id": trial_id, "key": key, "value_json": text})
        return read_json(text)

    def write(self, connection: Connection) -> None:
        """Write them in the transaction of a connection."""
        if not self._tables:
            metadata = MetaData()
            metadata.reflect(connection, only=list(self._rows))
            self._tables = dict(metadata.tables)
        for name, rows in self._rows.items():
            if not rows:
                continue
            table = self._tables[name]
            if name != PARAMS:
                rows = list({(row["trial_id"], row["key"]): row for row in rows}.values())
                same = table.c.trial_id == bindparam("of"), table.c.key == bindparam("called")
                before = [{"of": row["trial_id"], "called": row["key"]} for row in rows]
                connection.execute(table.delete().where(*same), before)
            connection.execute(table.insert(), rows)
        self.clear()
