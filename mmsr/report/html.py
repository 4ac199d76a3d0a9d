"""A report as one page that needs no network: styles, charts and plotly's script are inside.

Plotly's script is there once, packed by gzip, which a browser unpacks by itself; it is most of the
page's size. A policy in the page's head forbids all requests.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import count
from typing import Any

from mmsr.report.blocks import Block, Chart, Code, Page, Points, Section, Table, Text

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_LONG = 40
"""Characters from which a cell of words gets more room."""


def html_of(page: Page) -> str:
    """The page.

    Parameters
    ----------
    page : the report.
    """
    numbers = count(1)
    body = "\n".join(_section(section, numbers) for section in page.sections)
    lead = "\n".join(_block(block, numbers) for block in page.lead)
    links = "".join(f'<a href="#{s.name}">{_escaped(s.title)}</a>' for s in page.sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{_escaped(page.title)}</title>
<link rel="icon" href="data:,">
<style>
{_file("page.css")}</style>
</head>
<body>
<main>
<h1>{_escaped(page.title)}</h1>
<div class="lead">
{lead}
</div>
<nav>{links}</nav>
{body}
<footer>{_marked(page.foot)}</footer>
</main>
<script type="text/plain" id="plotly">{_plotly()}</script>
<script>
{_file("page.js")}</script>
</body>
</html>
"""


def _section(section: Section, numbers: Iterator[int]) -> str:
    blocks = "\n".join(_block(block, numbers) for block in section.blocks)
    name, title = _escaped(section.name), _escaped(section.title)
    return f'<section id="{name}">\n<h2>{title}</h2>\n{blocks}\n</section>'


def _block(block: Block, numbers: Iterator[int]) -> str:
    match block:
        case Text(text):
            return f"<p>{_marked(text)}</p>"
        case Points(lines):
            return "<ul>" + "".join(f"<li>{_marked(line)}</li>" for line in lines) + "</ul>"
        case Code(text):
            return f"<pre><code>{_escaped(text)}</code></pre>"
        case Table():
            return _table(block)
        case Chart():
            return _chart(block, next(numbers))


def _table(table: Table) -> str:
    kinds = ["words" if name in table.words else "" for name in table.columns]
    head = "".join(
        f'<th class="{kind}">{_escaped(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    body = []
    for place, row in enumerate(table.rows):
        cells = "".join(
            f'<td class="{_kind(kind, cell)}">{_escaped(cell)}</td>'
            for cell, kind in zip(row, kinds, strict=True)
        )
        body.append(f'<tr class="{"best" if place in table.bold else ""}">{cells}</tr>')
    caption = f"<caption>{_escaped(table.caption)}</caption>" if table.caption else ""
    if table.closed:
        caption = ""
    rows = "\n".join(body)
    text = (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>'
        "</table></div>"
    )
    if table.more:
        text += f"<p>{_marked(table.more)}</p>"
    if table.closed:
        return f"<details><summary>{_escaped(table.caption)}</summary>{text}</details>"
    return text


def _kind(kind: str, cell: str) -> str:
    return f"{kind} long" if kind and len(cell) > _LONG else kind


def _chart(chart: Chart, number: int) -> str:
    name = f"chart-{number}"
    data = {"traces": chart.traces, "layout": chart.layout}
    least = f"min-width:{chart.least_width}px" if chart.least_width else ""
    return (
        f'<figure aria-label="{_escaped(chart.title)}"><div class="chart" data-of="{name}" '
        f'data-height="{chart.height}" style="{least}">'
        '<noscript class="waiting">The charts need JavaScript.</noscript></div>'
        f'<script type="application/json" id="{name}">{_json(data)}</script></figure>'
    )


def _json(data: Any) -> str:
    """JSON that cannot end the script that holds it; what is not finite is left out."""
    text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float):
        return float(f"{data:.6g}") if abs(data) < float("inf") else None
    return data


def _escaped(text: str) -> str:
    return html.escape(text)


def _marked(text: str) -> str:
    """A sentence, with what stands in back quotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _escaped(text))


def _file(name: str) -> str:
    return files("mmsr.report").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode()
