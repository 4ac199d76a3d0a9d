"""A report as Markdown: the same texts and tables, without the charts."""

from __future__ import annotations

import html
import re

from mmsr.report.blocks import Block, Chart, Code, Page, Points, Table, Text


def markdown_of(page: Page) -> str:
    """The report as Markdown.

    Parameters
    ----------
    page : the report.
    """
    parts = [f"# {_escaped(page.title)}", *map(_block, page.lead)]
    for section in page.sections:
        parts += [f"## {_escaped(section.title)}", *map(_block, section.blocks)]
    parts += ["---", _marked(page.foot)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _marked(text)
        case Points(lines):
            return "\n".join(f"- {_marked(line)}" for line in lines)
        case Code(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}\n{text}\n{fence}"
        case Table():
            return _table(block)
        case Chart():
            return ""


def _table(table: Table) -> str:
    rules = ["---" if name in table.words else "---:" for name in table.columns]
    lines = [list(map(_cell, table.columns)), rules]
    for place, row in enumerate(table.rows):
        bold = place in table.bold
        lines.append([f"**{_cell(c)}**" if bold and c.strip() else _cell(c) for c in row])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    above = f"{_escaped(table.caption)}:\n\n" if table.caption else ""
    below = f"\n\n{_marked(table.more)}" if table.more else ""
    return f"{above}{text}{below}"


def _cell(text: str) -> str:
    return " ".join(_escaped(text).replace("|", "\\|").split())


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]#])", r"\\\1", html.escape(text, quote=False))


def _marked(text: str) -> str:
    """A sentence whose code, in back quotes, stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if re.fullmatch(r"`[^`]+`", part) else _escaped(part) for part in parts)
