"""A report that can be sent to others: no paths of this machine, and labels at all figures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.report.blocks import Block, Chart, Code, Page, Points, Table, Text

_ROOTS = (
    "data|export|gpfs|home|lustre|media|mnt|nfs|opt|private|root|scratch|srv|storage|tmp|user|users"
    "|usr|var|work|workspace|Users|Volumes"
)
"""Folders at the root of many machines: an error may have come from another one than this."""
_PART = r"[^\s/\\'\"`,;:()\[\]{}<>|]"
_URL = r"[a-z][\w+.-]*://(?!/)[^\s'\"`<>()\[\],]*|sqlite:///(?!/)"
_WINDOWS = rf"\b[A-Za-z]:\\(?:{_PART}+\\)+(?P<file>{_PART}*)"


def without_paths(page: Page) -> Page:
    """The page without absolute paths, but in commands: their last parts stay.

    Parameters
    ----------
    page : the page.
    """

    def change(block: Block) -> Block:
        return Code(_in_bash(block.text)) if isinstance(block, Code) else _mapped(block, hidden)

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
    for folder, name in ((str(paths.home()), paths.IN_HOME), (_user(), "~")):
        text = re.sub(_whole(folder), name, text)
    return re.sub(rf"{_URL}|{_path()}|{_WINDOWS}", _cut, text)


def _cut(found: re.Match[str]) -> str:
    if found["file"] is not None:
        return f"…\\{found['file']}"
    return found[0] if found["name"] is None else f"{found['scheme'] or ''}…/{found['name']}"


@cache
def _path() -> str:
    """The pattern of an absolute path that begins with a folder at the root of a machine."""
    here: list[str] = []
    with suppress(OSError):
        here = [name for name in os.listdir("/") if Path("/", name).is_dir()]
    roots = "|".join((_ROOTS, *map(re.escape, here)))
    return (
        r"(?:(?P<scheme>[a-z][\w+.-]*:///?(?=/))|(?<![\w/.~…)}%+#-]))"
        rf"/+(?:{roots})/+(?:{_PART}+/+)*(?P<name>{_PART}*)"
    )


def _in_bash(text: str) -> str:
    """A command with `~` or `$HOME` for the user's folder, so that bash still runs it."""
    whole = _whole(_user())

    def change(found: re.Match[str]) -> str:
        match found[0][:1]:
            case "'":
                return re.sub(whole, "'\"$HOME\"'", found[0])
            case '"':
                return re.sub(whole, "$HOME", found[0])
        before, behind = text[: found.start()][-1:], text[found.end() :][:1]
        # Bash reads `~` at the start of an unquoted word alone.
        return "~" if f"{before} ".isspace() and f"{behind} "[0] in "/ \n" else "$HOME"

    return re.sub(rf"'[^']*'|\"[^\"]*\"|{whole}", change, text)


def _user() -> str:
    """The user's folder; empty where there is none."""
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def _whole(folder: str) -> str:
    """The pattern of a folder that stands for itself, or before a slash."""
    return rf"(?<![\w.…-]){re.escape(folder)}(?![\w-]|\.\S)" if len(folder) > 1 else r"(?!)"


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
