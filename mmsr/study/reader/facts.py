"""Facts about a study as Python prints them, and as notebooks show them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def as_text(facts: Mapping[str, str]) -> str:
    """One fact per line; the one without a name is the title.

    Parameters
    ----------
    facts : texts by name.
    """
    return "\n".join(f"  {name}: {text}" if name else text for name, text in facts.items())


def as_html(facts: Mapping[str, str]) -> str:
    """A table of two columns; the fact without a name is its title.

    Parameters
    ----------
    facts : texts by name.
    """
    left = "style='text-align:left'"
    rows = [
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(text)}</td></tr>"
        for name, text in facts.items()
        if name
    ]
    title = f"<p><strong>{escape(facts[''])}</strong></p>" if "" in facts else ""
    return f"{title}<table><tbody>{''.join(rows)}</tbody></table>"
