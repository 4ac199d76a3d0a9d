"""The paper's tables and figures: their rows as settings or models, and published figures.

For the figures, the paper publishes only pictures, no numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from mmsr.config import AGGREGATOR_NAMES, Config
from mmsr.config.models import MODELS
from mmsr.dimensions.base import Dimension
from mmsr.dimensions.kinds import Choice, Int
from mmsr.errors import UserError, unknown
from mmsr.numbers import is_whole

REFERENCE = "HAN-GNN"
"""The row that the others are compared with: the paper's own model."""
FIRST_TO_RUN = (
    *(REFERENCE, "he", "ho", "GAT", "GraphSAGE"),
    *("hohe", "Synchronous", "w/o e^ty"),
)
"""Rows that are run before the others: the reference, and those that the paper argues with."""
STAND_IN = "Beauty"
"""Published column to show for a data set that the paper's table does not have."""
MOST_SEED = 2**31 - 1
_MOST_SEEDS = 1000
MODEL = "model.name"


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    label: str
    """As the paper prints it."""
    settings: Mapping[str, Any]
    """Values of all config keys in which the rows of the table differ."""


@dataclass(frozen=True)
class PaperTable:
    """A table or figure of the paper."""

    name: str
    title: str
    rows: tuple[Row, ...]
    default: tuple[str, ...] | None = None
    """Labels of the rows to run if none are named; None runs all."""
    reference: str = REFERENCE
    """Label of the row that the others are compared with."""

    @property
    def is_figure(self) -> bool:
        """Whether it is a figure: measured on validation, without published numbers."""
        return self.name in FIGURES

    def space(self) -> dict[str, Dimension]:
        """The search space of all rows, and the seed; the same whichever rows are run."""
        keys = self.rows[0].settings
        options: dict[str, list[Any]] = {key: [] for key in keys}
        for key, found in options.items():
            for row in self.rows:
                if row.settings[key] not in found:
                    found.append(row.settings[key])
        varied: dict[str, Dimension] = {key: Choice(*found) for key, found in options.items()}
        return {**varied, "seed": Int(0, MOST_SEED)}

    def first_to_run(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Rows in the order in which they are run: those first that tell most.

        Parameters
        ----------
        rows : rows of this table, in its order.
        """
        place = {label: number for number, label in enumerate(FIRST_TO_RUN)}
        return tuple(sorted(rows, key=lambda row: place.get(row.label, len(place))))

    def choose(self, labels: Sequence[str] | None) -> tuple[Row, ...]:
        """The rows with the given labels, in the table's order.

        Parameters
        ----------
        labels : labels, in any case; None takes the default rows.

        Raises
        ------
        UserError : the table has no such row, or no label is given.
        """
        if labels is None:
            return tuple(r for r in self.rows if self.default is None or r.label in self.default)
        known = {row.label.casefold(): row for row in self.rows}
        wanted = [label.strip() for label in labels if label.strip()]
        for label in wanted:
            if label.casefold() not in known:
                raise unknown(f"row of {self.name}", label, [row.label for row in self.rows])
        if not wanted:
            raise UserError(f"--rows names no row of {self.name}: leave it out to run all")
        asked = {label.casefold() for label in wanted}
        return tuple(row for label, row in known.items() if label in asked)


def _table(
    name: str,
    title: str,
    rows: Mapping[str, Mapping[str, Any]],
    default: tuple[str, ...] | None = None,
) -> PaperTable:
    """A table whose rows name only their differences from the default config."""
    defaults = Config(dataset="").flat()
    keys = list(dict.fromkeys(key for settings in rows.values() for key in settings))
    return PaperTable(
        name,
        title,
        tuple(
            Row(label, {key: settings.get(key, defaults[key]) for key in keys})
            for label, settings in rows.items()
        ),
        default,
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

_FUSION, _MODALITIES = "model.fusion", "graph.modalities"
_CODES, _LINKS = "graph.n_codes", "graph.links_per_item"
ID_ONLY = "ID only"
FUSIONS = ("adaptive", "early", "late")

FIGURES = {
    figure.name: figure
    for figure in (
        _table(
            "fig4",
            "missing modalities",
            {
                **{fusion: {_FUSION: fusion} for fusion in FUSIONS},
                ID_ONLY: {_MODALITIES: []},
                **{n: {_AGGREGATOR: n} for n in AGGREGATOR_NAMES if n != "dual_attention"},
            },
            default=(*FUSIONS, ID_ONLY),
        ),
        _table(
            "fig5",
            "codes and links per item",
            {
                f"{codes}/{links}": {_CODES: codes, _LINKS: links}
                for codes in (10, 20, 30, 40, 50)
                for links in (1, 2, 3, 4, 5)
            },
        ),
    )
}


MODELS_TABLE = "table2"
"""The table whose rows are models; each is searched by its own space (`mmsr.reproduce.models`)."""
OWN_MODEL = "MMSR"
"""The paper's own model among them; the others are baselines."""
_MODEL_ROWS = {
    "GRU4Rec": "gru4rec",
    "SASRec": "sasrec",
    "SR-GNN": "sr_gnn",
    "MMGCN": "mmgcn",
    "MGAT": "mgat",
    "BM3": "bm3",
    "GRU4Rec^F": "gru4rec_f",
    "SASRec^F": "sasrec_f",
    "NOVA": "nova",
    "DIF-SR": "dif_sr",
    "Trans2D": "trans2d",
    OWN_MODEL: "mmsr",
}


def models_table() -> PaperTable:
    """Table 2: a row for each model of it that mmsr has, with the model's name as its settings."""
    rows = (Row(label, {MODEL: name}) for label, name in _MODEL_ROWS.items() if name in MODELS)
    return PaperTable(MODELS_TABLE, "models", tuple(rows), reference=OWN_MODEL)


def find_table(name: str) -> PaperTable:
    """The table or figure called `name`.

    Raises
    ------
    UserError : there is none of this name.
    """
    known = TABLES | FIGURES
    if name not in known:
        raise unknown("table or figure", name, [MODELS_TABLE, *known])
    return known[name]


@dataclass(frozen=True)
class Published:
    """One column of a published table."""

    dataset: str
    stand_in: bool
    """Whether this is another data set's column, as the table has none for the one asked for."""
    percent: Mapping[str, Mapping[str, float]]
    """Figures by row label, then metric, e.g. ``{"GCN": {"hr@5": 5.63}}``."""


def published(table: str, dataset: str) -> Published:
    """The paper's figures for a data set, else those for Beauty.

    Parameters
    ----------
    table : name of the table.
    dataset : name of the data set; it matches a column with whose name it starts.
    """
    columns = _read_published()[table]
    found = [name for name in columns if dataset.casefold().startswith(name.casefold())]
    column = found[0] if found else STAND_IN
    return Published(column, not found, columns[column])


@lru_cache(maxsize=1)
def _read_published() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Percent by table, data set, row and metric."""
    tree: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    text = (files("mmsr.reproduce") / "published.csv").read_text()
    for line in csv.DictReader(text.splitlines()):
        column = tree.setdefault(line["table"], {}).setdefault(line["dataset"], {})
        column.setdefault(line["row"], {})[line["metric"].lower()] = float(line["percent"])
    return tree


def seeds_from(n_seeds: int, first: Any) -> tuple[int, ...]:
    """The seeds of a row's runs.

    Parameters
    ----------
    n_seeds : their number.
    first : the first of them.

    Raises
    ------
    UserError : either is out of range.
    """
    if not is_whole(n_seeds) or not 1 <= n_seeds <= _MOST_SEEDS:
        raise UserError(f"--seeds {n_seeds}: give a whole number from 1 to {_MOST_SEEDS}")
    last = MOST_SEED - n_seeds + 1
    if not is_whole(first) or not 0 <= first <= last:
        raise UserError(f"--set seed={first}: the first seed is a whole number from 0 to {last}")
    return tuple(range(first, first + n_seeds))
