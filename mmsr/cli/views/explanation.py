"""How an explanation looks on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from mmsr.config import MmsrConfig
from mmsr.console import Console
from mmsr.format import plural
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.explanation import Explanation, ReadCode
from mmsr.serving.picture import name_of
from mmsr.serving.recommender import Recommender

_ITEMS, _CODES = 15, 10
"""Most items and codes that are shown."""
_LEAST = 0.0005
"""Smallest share of a code that is shown."""


def show_explanation(recommender: Recommender, found: Explanation, console: Console) -> None:
    """Show what recommendations for one history rest on.

    Parameters
    ----------
    recommender : the model.
    found : the explanation.
    console : where to show it.
    """
    console.print()
    console.print("what the model read, the latest first", style="bold")
    console.print(_items(recommender.catalogue, found))
    if found.codes:
        console.print()
        console.print("codes that attention read", style="bold")
        console.print(_codes(recommender.catalogue, found))
    for line in _remarks(recommender, found):
        console.print(line, style="dim", soft_wrap=True)


def _items(catalogue: Catalogue, found: Explanation) -> Table:
    table = _table(["item", "title"])
    if found.has_attention:
        _add_number(table, "share %")
    _add_number(table, "effect")
    for modality in found.modalities:
        _add_number(table, f"of {modality}")
    for one in found.items[:_ITEMS]:
        (title,) = catalogue.titles_of(np.array([one.item]))
        (id_,) = catalogue.ids_of(np.array([one.item])).to_pylist()
        times = f" (× {one.times})" if one.times > 1 else ""
        table.add_row(
            f"{id_}{times}",
            title or "",
            *([_percent(one.share)] if found.has_attention else []),
            _first(one.effects),
            *(_first(one.modality_effects.get(modality, ())) for modality in found.modalities),
        )
    return table


def _first(effects: Sequence[float]) -> str:
    """The effect on the first recommendation; empty where there is none."""
    return f"{effects[0] + 0.0:+.3f}".replace("-0.000", "+0.000") if effects else ""


def _codes(catalogue: Catalogue, found: Explanation) -> Table:
    table = _table(["code"])
    _add_number(table, "share %")
    _add_number(table, "items")
    table.add_column("holds, for example", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in _shown(found):
        names = [name_of(catalogue, item) for item in one.examples]
        table.add_row(
            f"{one.modality} {one.code}", _percent(one.share), str(len(one.items)), "; ".join(names)
        )
    return table


def _shown(found: Explanation) -> list[ReadCode]:
    return [one for one in found.codes[:_CODES] if one.share >= _LEAST]


def _remarks(recommender: Recommender, found: Explanation) -> list[str]:
    model = recommender.config.model
    lines = ["the history has one item, which cannot be left out: it has no effect to show"]
    if found.items[0].effects:
        lines = [
            "effect: how much the score of the first recommendation falls when the item is left "
            "out of the history"
        ]
    if found.modalities:
        lines[0] += "; of a modality: when the item loses it there"
    if not found.has_attention:
        what = model.name
        if isinstance(model, MmsrConfig):
            what += f" with aggregator {model.aggregator.name}"
        lines.append(f"shares of attention: not known for {what}")
    else:
        lines.append(
            "share: how the model's attention divides over what it reads, which is no effect"
            + ("; items: how many of the history have the code" if found.codes else "")
        )
        if isinstance(model, MmsrConfig) and model.fusion == "early" and found.modalities:
            lines.append("early fusion: codes are parts of items, and attention reads items alone")
    n_codes = len(found.codes) - len(_shown(found))
    hidden = [
        plural(len(found.items) - _ITEMS, "earlier item") if len(found.items) > _ITEMS else "",
        f"{plural(n_codes, 'code')} of small share" if n_codes else "",
    ]
    if any(hidden):
        lines.append(f"not shown: {', '.join(filter(None, hidden))}")
    return lines


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _add_number(table: Table, title: str) -> None:
    table.add_column(title, justify="right", no_wrap=True, min_width=len(title))


def _table(titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in titles:
        most = 40 if title == "title" else None
        least = len("text 999") if title == "code" else 12
        table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=least, max_width=most)
    return table
