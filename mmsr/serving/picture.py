"""An explanation as a picture: shares of attention as bars, effects as a map."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsr.errors import printable
from mmsr.format import PALETTE
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
"""Endings of the files that can be drawn."""
_MOST = 15
"""Most bars, and most rows of the map."""
_LONGEST = 34
_ITEM, *_CODES = PALETTE


def draw(found: Explanation, catalogue: Catalogue, title: str, path: Path) -> None:
    """Draw an explanation.

    Parameters
    ----------
    found : the explanation.
    catalogue : the model's items.
    title : what the picture is of.
    path : the file; its ending, one of `ENDINGS`, decides the format.
    """
    from matplotlib.figure import Figure

    n_rows = min(max(len(found.items), 4), _MOST)
    n_panels = 1 + found.has_attention
    figure = Figure(figsize=(6.4 * n_panels, 2.2 + 0.34 * n_rows), dpi=150, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, n_panels))
    if found.has_attention:
        _draw_shares(panels[0], found, catalogue)
    _draw_effects(panels[-1], found, catalogue)
    figure.suptitle(printable(title), fontsize=10, x=0.01, ha="left", parse_math=False)
    with warnings.catch_warnings():  # titles of items may have letters that the font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path, format=path.suffix.lower().lstrip("."))


def name_of(catalogue: Catalogue, item: int) -> str:
    """A short name of an item: its title, or else its id."""
    (title,) = catalogue.titles_of(np.array([item]))
    (id_,) = catalogue.ids_of(np.array([item])).to_pylist()
    text = printable(title or id_)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _draw_shares(axes: Axes, found: Explanation, catalogue: Catalogue) -> None:
    """Bars of the largest shares of attention, of items and of codes."""
    colours = {m: _CODES[place % len(_CODES)] for place, m in enumerate(found.modalities)}
    bars = [
        (one.share or 0.0, name_of(catalogue, one.item), _ITEM, "item") for one in found.items
    ] + [
        (
            one.share,
            f"{one.modality} {one.code}: {name_of(catalogue, one.examples[0])} …"
            if one.examples
            else f"{one.modality} {one.code}",
            colours[one.modality],
            f"{one.modality} code",
        )
        for one in found.codes
    ]
    bars = sorted(bars, key=lambda bar: -bar[0])[:_MOST]
    places = np.arange(len(bars))
    axes.barh(places, [100 * share for share, *_ in bars], color=[colour for *_, colour, _ in bars])
    kinds = {kind: place for place, (*_, kind) in reversed(list(enumerate(bars)))}
    handles = [axes.patches[place] for place in kinds.values()]
    axes.legend(handles, list(kinds), frameon=False, fontsize=8, loc="lower right")
    _name_rows(axes, [name for _, name, *_ in bars])
    axes.set_xlabel("share of attention, %", fontsize=8)
    axes.set_title("what attention read", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_effects(axes: Axes, found: Explanation, catalogue: Catalogue) -> None:
    """The map of effects: rows are items of the history, columns are recommended items."""
    axes.set_title("how much the score falls without the item", fontsize=9, loc="left")
    items = found.items[:_MOST]
    if not items[0].effects:
        why = "the history has one item" if len(found.recommended) else "nothing is recommended"
        axes.text(0.5, 0.5, why, ha="center", va="center", fontsize=9)
        axes.set_axis_off()
        return
    effects = np.array([one.effects for one in items])
    most = float(np.abs(effects).max()) or 1.0
    image = axes.imshow(effects, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    if effects.shape[1] <= 10:
        for (row, column), value in np.ndenumerate(effects):
            colour = "white" if abs(value) > 0.6 * most else "black"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour
            )
    _name_rows(axes, [name_of(catalogue, one.item) for one in items])
    names = [
        f"{rank}. {name_of(catalogue, item)}" for rank, item in enumerate(found.recommended, 1)
    ]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=7)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
