"""How the codes of a data set look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from mmsr.data import Dataset
from mmsr.graph.contents import LevelContents

_TITLE = 40
"""Most characters of a title."""


def code_contents(dataset: Dataset, found: Sequence[LevelContents]) -> RenderableType:
    """How many items the codes have, and what those nearest to their centres are called.

    Parameters
    ----------
    dataset : where the items' titles come from; their ids, if it has none.
    found : levels of codes, by modality.
    """
    parts: list[RenderableType] = [_distribution(found)]
    for one in found:
        parts += ["", _codes(dataset, one, several=sum(o.modality == one.modality for o in found))]
    return Group(*parts)


def _distribution(found: Sequence[LevelContents]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("modality")
    names = ("level", "codes", "items", "fitted on", "least", "median", "most", "without items")
    for name in names:
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.modality,
            f"{one.level}",
            f"{len(one.sizes):,}",
            f"{one.items:,}",
            f"{one.fitted:,}",
            f"{one.sizes.min():,}",
            f"{np.median(one.sizes):,.10g}",
            f"{one.sizes.max():,}",
            f"{(one.sizes == 0).sum():,}",
        )
    return table


def _codes(dataset: Dataset, one: LevelContents, several: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    level = f", level {one.level}" if several > 1 else ""
    table.add_column(f"{one.modality}{level}: code", justify="right")
    table.add_column("items", justify="right")
    table.add_column("nearest to its centre", overflow="fold")
    for code in np.argsort(-one.sizes, kind="stable"):
        named = "; ".join(_title(dataset, item) for item in one.examples[code])
        table.add_row(f"{code}", f"{one.sizes[code]:,}", named)
    return table


def _title(dataset: Dataset, item: int) -> str:
    items = dataset.item_table
    title = items.column("title")[item].as_py() if "title" in items.column_names else None
    text = " ".join(title.split()) if isinstance(title, str) else ""
    text = text or dataset.item_ids[item]
    return text if len(text) <= _TITLE else f"{text[: _TITLE - 1]}…"
