"""Numpy sections as this project writes them, for the API pages.

Here a parameter stands as `name : what it is.`, since the signature has its type. Griffe takes
what follows a colon for the type; so the description is moved to a line of its own.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_HEADING = re.compile(r"^(Parameters|Attributes|Raises|Warns|Returns|Yields)\n-+$", re.MULTILINE)
_ANY_HEADING = re.compile(r"^[A-Z]\w+( \w+)?\n-{3,}$", re.MULTILINE)
_ITEM = re.compile(r"^(\S[^:\n]*?) : +", re.MULTILINE)


def numpy_style(text: str) -> str:
    """The docstring with every description on a line of its own."""
    parts, done = [], 0
    for heading in _HEADING.finditer(text):
        following = _ANY_HEADING.search(text, heading.end())
        end = following.start() if following else len(text)
        body = text[heading.end() : end]
        if heading[1] in ("Returns", "Yields"):
            body = "\n:\n" + re.sub(r"^(?=.)", "    ", body.strip("\n"), flags=re.MULTILINE) + "\n"
            body += "\n" if following else ""
        else:
            body = _ITEM.sub(r"\1\n    ", body)
        parts += [text[done : heading.end()], body]
        done = end
    return "".join([*parts, text[done:]])


class HouseDocstrings(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for everything that is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = numpy_style(obj.docstring.value)
