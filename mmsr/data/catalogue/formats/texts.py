"""Texts of items as people read them: without tags, entities and superfluous blanks."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from selectolax.lexbor import LexborHTMLParser

_TAG = re.compile(r"<[A-Za-z/!][^<>]*>")


def plain(text: str) -> str:
    """A text on one line, with single blanks, and without halves of characters.

    Parameters
    ----------
    text : any text.

    Examples
    --------
    >>> plain(" two\\n words ")
    'two words'
    """
    return " ".join(text.encode("utf-8", "ignore").decode().split())


def from_html(text: str) -> str:
    """The words of a piece of HTML, as `plain`: a tag becomes a blank, an entity its character.

    Scripts and styles have no words. Releases hold entities of entities, such as ``&amp;#39;``, so
    entities are replaced twice.

    Parameters
    ----------
    text : HTML, or text that is none.

    Examples
    --------
    >>> from_html("Fun &amp; <b>games</b><br>5 < 6")
    'Fun & games 5 < 6'
    """
    text = text.encode("utf-8", "ignore").decode()
    if _TAG.search(text):
        page = LexborHTMLParser(text)
        page.strip_tags(["script", "style"])
        text = "" if page.body is None else page.body.text(separator=" ")
    else:
        text = html.unescape(text)
    return plain(html.unescape(text))


def joined(value: Any, separator: str, clean: Callable[[str], str]) -> str | None:
    """One text from a text, a number, or a list of these; None where nothing is left.

    Parameters
    ----------
    value : what a published file holds.
    separator : stands between the parts of a list.
    clean : makes a text plain.

    Raises
    ------
    TypeError : it is something else; the message names its type.

    Examples
    --------
    >>> joined(["", " a ", None, "b"], "; ", plain)
    'a; b'
    """
    if value is None:
        return None
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        parts = [joined(part, separator, clean) for part in value]
        return separator.join(part for part in parts if part) or None
    raise TypeError(type(value).__name__)
