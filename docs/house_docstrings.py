"""Docstrings as this project writes them, for the API pages.

Here a parameter stands as `name : what it is.`, since the signature has its type. Griffe takes
what follows a colon for the type; so the description is moved to a line of its own. And where a
docstring names a place in the code that has no page, readers of the site get the section that
explains it.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_HEADING = re.compile(r"^(Parameters|Attributes|Raises|Warns|Returns|Yields)\n-+$", re.MULTILINE)
_ANY_HEADING = re.compile(r"^[A-Z]\w+( \w+)?\n-{3,}$", re.MULTILINE)
EXPLAINED = {
    "mmsr.study.planning.declaration.Declaration": "the list below",
    "mmsr.study.search.objectives.AGAINST": "[the table of objectives](studies#several-objectives)",
    "mmsr.study.sizing.packing": "[What a trial gets](sharing#what-a-trial-gets)",
    "mmsr.study.storage.budget": "[Budgets](studies#budgets)",
    "mmsr.study.planning.warm_start": "[Warm start](studies#warm-start)",
    "mmsr.data.splits.PROTOCOLS": "the table of [protocols](protocols#how-histories-are-split)",
    "mmsr.study.search.recent": "so long studies stay fast",
    "mmsr.graph.relations": "see [Glossary](glossary#graph)",
    "mmsr.models.products": "[Troubleshooting](troubleshooting#the-machine)",
    "mmsr.evaluation.robustness.robust_auc": "[Train with gaps](robustness#train-with-gaps)",
}
"""Words for names that have no page; their links lead to a heading, as PAGE#ANCHOR."""
_LINK = re.compile(r"\]\((\w+)#")
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


def explained(text: str) -> str:
    """The docstring with links to the sections that explain what has no page."""
    for name, words in EXPLAINED.items():
        # From the pages in `api/`.
        text = text.replace(f"`{name}`", _LINK.sub(r"](../\1.md#", words))
    return text


class HouseDocstrings(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for everything that is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = explained(numpy_style(obj.docstring.value))
