"""A report that can be sent to others: no paths of this machine, and labels at all figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.report.blocks import Block, Chart, Code, Page, Points, Table, Text

_PATH = re.compile(
    r"(?:(?<=sqlite:///)|(?<=file://)|(?<![\w:/.~…-]))/(?:[^\s/'\"`,;:()\[\]{}<>|]+/)+"
    r"(?P<name>[^\s/'\"`,;:()\[\]{}<>|]*)"
)
"""An absolute path of two parts or more; addresses of servers and names of metrics are none."""


def without_paths(page: Page) -> Page:
    """The page without absolute paths, but in commands: their last parts stay.

    Parameters
    ----------
    page : the page.
    """

    def change(block: Block) -> Block:
        return Code(_at_home(block.text)) if isinstance(block, Code) else _mapped(block, hidden)

    return replace(
        page,
        title=hidden(page.title),
        lead=tuple(map(change, page.lead)),
        sections=tuple(
            replace(section, blocks=tuple(map(change, section.blocks))) for section in page.sections
        ),
        foot=hidden(page.foot),
    )


def hidden(text: str) -> str:
    """A text whose absolute paths are cut: of `/data/of/ada/items.csv`, `…/items.csv` stays.

    Parameters
    ----------
    text : what may name paths, such as the error of a trial.
    """
    text = _at_home(_named(text, str(paths.home()), paths.IN_HOME))
    return _PATH.sub(lambda found: f"…/{found['name']}", text)


def _at_home(text: str) -> str:
    """A text with `~` for the user's folder, as a shell reads it."""
    try:
        user = str(Path.home())
    except RuntimeError:  # there is none
        return text
    return _named(text, user, "~")


def _named(text: str, folder: str, name: str) -> str:
    whole = rf"(?<![\w.…-]){re.escape(folder)}(?![\w.-])"
    return re.sub(whole, name, text) if len(folder) > 1 else text


def labelled(page: Page, label: str, but: frozenset[str] = frozenset()) -> Page:
    """The page with a label at its title and at each table and chart, so that it goes with a copy.

    Parameters
    ----------
    page : the page.
    label : the label, e.g. `TEST-SELECTED`.
    but : names of sections without figures.
    """

    def change(block: Block) -> Block:
        match block:
            case Table():
                return replace(block, caption=": ".join(filter(None, (label, block.caption))))
            case Chart():
                title = {"text": label, "x": 0, "yref": "container", "automargin": True}
                return replace(
                    block, title=f"{label}: {block.title}", layout={**block.layout, "title": title}
                )
        return block

    return replace(
        page,
        title=f"{page.title}: {label}",
        sections=tuple(
            section
            if section.name in but
            else replace(section, blocks=tuple(map(change, section.blocks)))
            for section in page.sections
        ),
    )


def _mapped(block: Block, change: Callable[[str], str]) -> Block:
    """A block whose texts are changed."""
    match block:
        case Text(text):
            return Text(change(text))
        case Points(lines):
            return Points(tuple(map(change, lines)))
        case Table():
            rows = tuple(tuple(map(change, row)) for row in block.rows)
            return replace(block, rows=rows, caption=change(block.caption), more=change(block.more))
        case Chart():
            traces = tuple(_deep(trace, change) for trace in block.traces)
            return replace(block, traces=traces, layout=_deep(block.layout, change))
    return block


def _deep(data: Any, change: Callable[[str], str]) -> Any:
    if isinstance(data, dict):
        return {key: _deep(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_deep(value, change) for value in data]
    return change(data) if isinstance(data, str) else data
