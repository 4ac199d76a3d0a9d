"""The paper's tables 3 and 4: their rows as settings, and the figures that were published."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from mmsr.config import Config
from mmsr.errors import UserError, unknown
from mmsr.study.dimensions import Choice, Dimension, Int

REFERENCE = "HAN-GNN"
"""The row that the others are compared with: the paper's own."""
STAND_IN = "Beauty"
"""Published column that is shown for a data set that the paper's table lacks."""
MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    label: str
    """As the paper prints it."""
    settings: Mapping[str, Any]
    """Config keys that differ between rows, all of them."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper."""

    name: str
    title: str
    rows: tuple[Row, ...]

    def space(self) -> dict[str, Dimension]:
        """All that the rows differ in, and the seed; the same whichever rows are run."""
        keys = self.rows[0].settings
        options = {key: dict.fromkeys(row.settings[key] for row in self.rows) for key in keys}
        varied: dict[str, Dimension] = {key: Choice(*found) for key, found in options.items()}
        return {**varied, "seed": Int(0, MOST_SEED)}

    def choose(self, labels: Sequence[str] | None) -> tuple[Row, ...]:
        """Rows by label (capitals do not matter), in the table's order; None for all.

        Raises
        ------
        UserError : the table has no such row, or none is named.
        """
        if labels is None:
            return self.rows
        known = {row.label.casefold(): row for row in self.rows}
        wanted = [label.strip() for label in labels if label.strip()]
        for label in wanted:
            if label.casefold() not in known:
                raise unknown(f"row of {self.name}", label, [row.label for row in self.rows])
        if not wanted:
            raise UserError(f"--rows names no row of {self.name}: leave it out to run all")
        asked = {label.casefold() for label in wanted}
        return tuple(row for label, row in known.items() if label in asked)


def _table(name: str, title: str, rows: Mapping[str, Mapping[str, Any]]) -> PaperTable:
    """A table of rows that say only how they differ from the defaults."""
    defaults = Config(dataset="").flat()
    keys = list(dict.fromkeys(key for settings in rows.values() for key in settings))
    return PaperTable(
        name,
        title,
        tuple(
            Row(label, {key: settings.get(key, defaults[key]) for key in keys})
            for label, settings in rows.items()
        ),
    )


_AGGREGATOR, _ORDER = "model.aggregator.name", "model.aggregator.order"

TABLES = {
    table.name: table
    for table in (
        _table(
            "table3",
            "graph aggregators",
            {
                "GCN": {_AGGREGATOR: "gcn"},
                "GraphSAGE": {_AGGREGATOR: "graphsage"},
                "GAT": {_AGGREGATOR: "gat"},
                "Graphormer": {_AGGREGATOR: "graphormer"},
                "RGAT": {_AGGREGATOR: "rgat"},
                "HGNN": {_AGGREGATOR: "hgnn"},
                "HGAT": {_AGGREGATOR: "hgat"},
                REFERENCE: {_AGGREGATOR: "dual_attention"},
            },
        ),
        _table(
            "table4",
            "ablation",
            {
                REFERENCE: {_ORDER: "gated"},
                "Synchronous": {_ORDER: "synchronous"},
                "NI(hohe)": {_ORDER: "ni_hohe"},
                "NI(heho)": {_ORDER: "ni_heho"},
                "hohe": {_ORDER: "hohe"},
                "heho": {_ORDER: "heho"},
                "ho": {_ORDER: "ho"},
                "he": {_ORDER: "he"},
                "w/o e^po": {"model.position_embedding": False},
                "w/o e^ty": {"model.type_embedding": False},
            },
        ),
    )
}


def find_table(name: str) -> PaperTable:
    """A table by name.

    Raises
    ------
    UserError : there is none of this name.
    """
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    return TABLES[name]


@dataclass(frozen=True)
class Published:
    """One column of a published table."""

    dataset: str
    stand_in: bool
    """The table has no column for the data set that was asked for."""
    percent: Mapping[str, Mapping[str, float]]
    """By row label, then metric, e.g. ``{"GCN": {"hr@5": 5.63}}``."""


def published(table: str, dataset: str) -> Published:
    """The paper's figures for a data set, matched by how its name begins; else Beauty's."""
    columns = _read_published()[table]
    found = [name for name in columns if dataset.casefold().startswith(name.casefold())]
    column = found[0] if found else STAND_IN
    return Published(column, not found, columns[column])


@lru_cache(maxsize=1)
def _read_published() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Percent by table, data set, row and metric."""
    tree: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    text = (files("mmsr.study.reproduce") / "published.csv").read_text()
    for line in csv.DictReader(text.splitlines()):
        column = tree.setdefault(line["table"], {}).setdefault(line["dataset"], {})
        column.setdefault(line["row"], {})[line["metric"].lower()] = float(line["percent"])
    return tree
