"""How recommendations look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from mmsr.config import MmsrConfig
from mmsr.console import Console
from mmsr.format import data_size, plural
from mmsr.serving.options import Options
from mmsr.serving.recommender import Recommender
from mmsr.serving.writing import Counts

_SHOWN = 10
"""Latest items of a history that are shown."""
_SEEN = {
    "kept": "items of the history may be recommended",
    "masked": "items of the history are not recommended",
    "read_masked": "items that the model reads of the history are not recommended",
}


def show_recommendations(
    recommender: Recommender,
    history: Sequence[str],
    found: pd.DataFrame,
    options: Options,
    console: Console,
) -> None:
    """Show the model, the history and the items that are recommended for it.

    Parameters
    ----------
    recommender : the model.
    history : item ids, as given.
    found : what `Recommender.recommend` returned for it.
    options : what was asked for.
    console : where to show them.
    """
    catalogue = recommender.catalogue
    given = catalogue.find(history)
    items = given[given >= 0]
    console.print(f"model    {recommender.origin}", soft_wrap=True)
    console.print(f"history  {_history(recommender, given)}", soft_wrap=True)
    table = _table("item", "title")
    for item, title in _named(recommender, items[-_SHOWN:]):
        table.add_row(item, title)
    console.print(table)
    console.print()
    if found.empty:
        masked = "all items of the catalogue are left out (--seen, --new)"
        why = masked if len(items) else "the history has no known item"
        console.print(f"no recommendation: {why}")
        return
    table = _table("", "item", "title", "score", "")
    places = catalogue.find(list(found["item_id"]))
    for (item, title), rank, score, place in zip(
        _named(recommender, places), found["rank"], found["score"], places, strict=True
    ):
        notes = ["in the history"] if place in items else []
        if catalogue.counts is not None and not catalogue.counts[place]:
            notes.append("new")
        table.add_row(str(rank), item, title, f"{score:.3f}", ", ".join(notes))
    console.print(table)
    for line in remarks(recommender, options):
        console.print(line, style="dim", soft_wrap=True)


def show_counts(
    counts: Counts,
    recommender: Recommender,
    options: Options,
    output: Path,
    seconds: float,
    console: Console,
) -> None:
    """Show what was written for many users, and what was left out.

    Parameters
    ----------
    counts : what became of the users.
    recommender : the model.
    options : what was asked for.
    output : the file.
    seconds : how long it took.
    console : where to show it.
    """
    console.print(
        f"wrote {output}: {plural(counts.rows, 'recommendation')} for "
        f"{plural(counts.ranked, 'user')} in {seconds:,.1f} s, {data_size(output.stat().st_size)}",
        soft_wrap=True,
    )
    if counts.empty:
        console.print(f"left out: {plural(counts.empty, 'user')} without a known item")
    if counts.unknown:
        console.print(f"skipped: {counts.unknown:,} unknown (users, or items of histories)")
    for line in remarks(recommender, options):
        console.print(line, style="dim", soft_wrap=True)


def remarks(recommender: Recommender, options: Options) -> list[str]:
    """What a reader of recommendations should know: of seen items, and of new ones."""
    lines = [f"{_SEEN[options.seen or recommender.config.training.seen]} (--seen)"]
    if n_new := recommender.catalogue.n_new:
        model = recommender.config.model
        are = "is" if n_new == 1 else "are"
        if options.new == "masked":
            how = f"{are} not recommended (--new)"
        elif isinstance(model, MmsrConfig) and model.cold_items == "codes":
            how = f"{are} scored by their codes, where they have some (model.cold_items=codes)"
        else:
            was = "was" if n_new == 1 else "were"
            how = (
                f"{was} never a target of training, which pushes such items down; --new masked "
                "leaves them out"
            )
        lines.append(f"{plural(n_new, 'new item')} of the catalogue {how}")
    return lines


def _history(recommender: Recommender, given: NDArray[np.int64]) -> str:
    """How much of a history is read, in words."""
    n_known, longest = int((given >= 0).sum()), recommender.config.graph.max_history
    text = plural(n_known, "item")
    if n_known < len(given):
        text += f"; {len(given) - n_known:,} unknown skipped"
    if n_known > longest:
        text += f"; the model reads the latest {longest}"
    if n_known > _SHOWN:
        text += f"; the latest {_SHOWN}"
    return text + ", oldest first"


def _named(recommender: Recommender, items: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Ids and titles of items."""
    ids = recommender.catalogue.ids_of(items).to_pylist()
    titles = recommender.catalogue.titles_of(items)
    return [(item, title or "") for item, title in zip(ids, titles, strict=True)]


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in titles:
        right = title in ("", "score") and titles.index(title) in (0, 3)
        table.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=60 if title == "title" else None,
        )
    return table
