"""An explanation as a picture: shares of attention as bars, effects as a map."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len, set_cell_size

from mmsr.errors import printable
from mmsr.format import PALETTE
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
"""Endings of the files that can be drawn."""
_MOST = 15
"""Most bars, and most rows and columns of the map."""
_LONGEST, _COLUMN = 34, 24
"""Widest names of items, and of those above columns, in letters of a terminal."""
_LINE = 76
"""Letters of the title on a line above one panel."""
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

    n_rows = min(max(len(found.items) + len(found.codes), 4), _MOST)
    n_panels = 1 + found.has_attention
    figure = Figure(figsize=(6.4 * n_panels, 2.2 + 0.34 * n_rows), dpi=150, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, n_panels))
    name = _Names(catalogue, _letters())
    if found.has_attention:
        _draw_shares(panels[0], found, name)
    _draw_effects(panels[-1], found, name)
    lines = textwrap.wrap(printable(title), _LINE * n_panels, max_lines=3, placeholder=" …")
    figure.suptitle("\n".join(lines), fontsize=10, x=0.01, ha="left", parse_math=False)
    with warnings.catch_warnings():  # ids of items may have letters that the font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path, format=path.suffix.lower().lstrip("."))


def name_of(catalogue: Catalogue, item: int) -> str:
    """A short name of an item: its title, or else its id."""
    return _shortened(_title_of(catalogue, item) or _id_of(catalogue, item), _LONGEST)


@dataclass(frozen=True)
class _Names:
    """Names of items that a font can draw.

    Attributes
    ----------
    catalogue : the items.
    letters : code points that the font has.
    """

    catalogue: Catalogue
    letters: Collection[int]

    def __call__(self, item: int, width: int = _LONGEST) -> str:
        """The title without letters that the font lacks; the id where it lacks most of them."""
        title = _title_of(self.catalogue, item)
        drawn = "".join(letter for letter in title if ord(letter) in self.letters)
        if 2 * len(drawn) > len(title):
            return _shortened(" ".join(drawn.split()), width)
        return _shortened(_id_of(self.catalogue, item), width)


def _letters() -> set[int]:
    """Code points that the fonts of matplotlib's settings have."""
    from matplotlib import font_manager, rcParams

    fonts = [
        font_manager.findfont(font_manager.FontProperties(family=[family]))
        for family in rcParams["font.family"]
    ]
    return {code for font in fonts for code in font_manager.get_font(font).get_charmap()}


def _title_of(catalogue: Catalogue, item: int) -> str:
    (title,) = catalogue.titles_of(np.array([item]))
    return printable(title or "")


def _id_of(catalogue: Catalogue, item: int) -> str:
    (id_,) = catalogue.ids_of(np.array([item])).to_pylist()
    return printable(id_)


def _shortened(text: str, width: int) -> str:
    """The text in so many letters of a terminal, of which those of East Asia take two."""
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _draw_shares(axes: Axes, found: Explanation, name: _Names) -> None:
    """Bars of the largest shares of attention, of items and of codes."""
    colours = {m: _CODES[place % len(_CODES)] for place, m in enumerate(found.modalities)}
    bars = [(one.share or 0.0, name(one.item), _ITEM, "item") for one in found.items] + [
        (
            one.share,
            f"{one.modality} {one.code}"
            + (f", e.g. {name(one.examples[0])}" if one.examples else ""),
            colours[one.modality],
            f"{one.modality} code",
        )
        for one in found.codes
    ]
    n_bars = len(bars)
    bars = sorted(bars, key=lambda bar: -bar[0])[:_MOST]
    places = np.arange(len(bars))
    axes.barh(places, [100 * share for share, *_ in bars], color=[colour for *_, colour, _ in bars])
    kinds = {kind: place for place, (*_, kind) in reversed(list(enumerate(bars)))}
    handles = [axes.patches[place] for place in kinds.values()]
    axes.legend(handles, list(kinds), frameon=False, fontsize=8, loc="lower right")
    _name_rows(axes, [text for _, text, *_ in bars])
    axes.set_xlim(0, 135 * bars[0][0] or 1)  # the legend has a place of its own
    axes.set_xlabel("share of attention, %", fontsize=8)
    more = f"\n(the {_MOST} largest of {n_bars:,} shares)" if n_bars > _MOST else ""
    axes.set_title(f"what attention read{more}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_effects(axes: Axes, found: Explanation, name: _Names) -> None:
    """The map of effects: rows are items of the history, columns are recommended items."""
    n_items = len(found.items)
    more = f"\n(the latest {_MOST} of {n_items:,} items)" if n_items > _MOST else ""
    axes.set_title(f"how much the score falls without the item{more}", fontsize=9, loc="left")
    items = found.items[:_MOST]
    if not items[0].effects:
        why = "the history has one item" if len(found.recommended) else "nothing is recommended"
        axes.text(0.5, 0.5, why, ha="center", va="center", fontsize=9)
        axes.set_axis_off()
        return
    effects = np.array([one.effects[:_MOST] for one in items])
    most = float(np.abs(effects).max()) or 1.0
    image = axes.imshow(effects, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    if effects.shape[1] <= 10:
        for (row, column), value in np.ndenumerate(effects):
            colour = "white" if abs(value) > 0.6 * most else "black"
            text = f"{value:.2f}".replace("-0.00", "0.00")
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    _name_rows(axes, [name(one.item) for one in items])
    shown = enumerate(found.recommended[:_MOST], 1)
    names = [f"{rank}. {name(item, _COLUMN)}" for rank, item in shown]
    if (n_recommended := len(found.recommended)) > _MOST:
        axes.set_xlabel(f"the first {_MOST} of {n_recommended:,} recommendations", fontsize=8)
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
