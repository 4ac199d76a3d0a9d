"""How numbers and tables are formatted for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6fd1")
"""Colours of charts: those of Okabe and Ito, which colour-blind readers can distinguish. A purple
stands for their black, which is not seen on dark pages."""


def seconds(value: float | None) -> str:
    """A duration as people write it: `42 s`, `3 min 05 s`, `2 h 07 min`.

    Parameters
    ----------
    value : seconds; None gives an empty text.
    """
    if value is None:
        return ""
    if value < 100:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def brief_seconds(value: float) -> str:
    """A short duration with two digits: `0.25 s`, `9.1 s`, `42 s`.

    Parameters
    ----------
    value : seconds.
    """
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def percent(value: float | None) -> str:
    """A share in percent, without the sign: `12.345`.

    Parameters
    ----------
    value : the share, in [0, 1]; None gives an empty text.
    """
    return "" if value is None else f"{100 * value:.3f}"


def short(value: object) -> str:
    """A value in a few characters: whole numbers as they are, others with three digits, texts too.

    Parameters
    ----------
    value : a number such as `1020`, `0.00123` or `12.3`; or anything else.
    """
    if isinstance(value, Integral) or not isinstance(value, Real):
        return str(value)
    number = float(value)
    large = math.isfinite(number) and 999.5 <= abs(number) < 1e15
    return f"{number:.0f}" if large else f"{number:.3g}"


def listed(values: Sequence[object], most: int = 10) -> str:
    """Values in a row, of which not all need be named: `0, 1, 2 and 17 more`.

    Parameters
    ----------
    values : what is listed.
    most : how many are named.
    """
    named = ", ".join(map(str, values[:most]))
    left = len(values) - most
    return f"{named} and {left:,} more" if left > 0 else named


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 trial`, `3,000 trials`.

    Parameters
    ----------
    count : how many.
    noun : the singular of a noun that takes an `s`.
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def data_size(n_bytes: float) -> str:
    """An amount of data with its unit: `3.2 kB`, `14.8 MB`, `2.6 GB`.

    Parameters
    ----------
    n_bytes : number of bytes.
    """
    for least, scale, unit in ((1e12, 1e12, "TB"), (1e9, 1e9, "GB"), (1e5, 1e6, "MB")):
        if n_bytes >= least:
            return f"{n_bytes / scale:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.1f} kB"


def markdown_table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned left, the others right.

    Parameters
    ----------
    columns : the heads.
    body : lines of cells, as many as there are columns.
    """
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(
        "| " + " | ".join(cell.strip() for cell in line) + " |" for line in [columns, rule, *body]
    )
