"""How the registries and a model's cost look on a terminal."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from rich.table import Table

from mmsr.config import Config, MmsrConfig, ModelConfig
from mmsr.config.loss import LossConfig
from mmsr.config.mmsr import AggregatorConfig
from mmsr.config.models import model_class, model_names
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.models.features import FeatureTables
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS
from mmsr.models.mmsr.model import FUSIONS
from mmsr.models.mmsr.registry import AGGREGATORS, READOUTS
from mmsr.models.mmsr.scoring import SCORINGS
from mmsr.training.cost import PartCost
from mmsr.training.example import Example

_CITATION = re.compile(r" ?\(([^()]*(?:\beqs?\. \d|\b[12]\d{3})[^()]*)\)")
"""Text in brackets that names an equation or a year."""
_OWN_NAME = re.compile(r"^`[^`]+`: ")
_NAMES = 18
_ADAM_BYTES = 16
"""A parameter, its gradient and its two moments in float32."""


@dataclass(frozen=True)
class Entry:
    """One choice that a config can name."""

    name: str
    text: str
    source: str
    """Equations of the paper, or another publication."""


def registry() -> dict[str, tuple[Entry, ...]]:
    """Everything that configs can name, by config key; taken from the registries' docstrings."""
    configs = {
        kind.model_fields["name"].default: kind for kind in get_args(get_args(AggregatorConfig)[0])
    }
    return {
        "model.name": tuple(map(_model, model_names())),
        "model.aggregator.name": tuple(
            _entry(name, "table 3", configs[name], kind) for name, kind in AGGREGATORS.items()
        ),
        "model.aggregator.order, of dual_attention": _entries(ORDERS, "table 4"),
        "model.fusion": _entries(FUSIONS, "figure 2"),
        "model.readout": _entries(READOUTS, ""),
        "model.scoring": _entries(SCORINGS, ""),
        "training.loss.name": tuple(
            _entry(kind.model_fields["name"].default, "", kind)
            for kind in get_args(get_args(LossConfig)[0])
        ),
    }


def show_registry(console: Console) -> None:
    """Show all entries on `console`, a line each where the terminal is wide enough."""
    for kind, entries in registry().items():
        console.print(kind, style="bold")
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=_NAMES)
        table.add_column()
        table.add_column(style="dim")
        for entry in entries:
            table.add_row(f"  {entry.name}", entry.text, entry.source)
        console.print(table)


def _model(name: str) -> Entry:
    try:
        kind = model_class(name)
    except UserError as error:  # of a package that brings models
        return Entry(name, str(error), "")
    return _entry(name, "", sys.modules[kind.__module__], kind.Settings, kind)


def _entries(kinds: Mapping[str, object], source: str) -> tuple[Entry, ...]:
    return tuple(_entry(name, source, kind) for name, kind in kinds.items())


def _entry(name: str, fallback: str, *documented: object) -> Entry:
    """First paragraph of the first docstring, and the first citation of any."""
    texts = [inspect.getdoc(thing) or "" for thing in documented]
    citations = [found.group(1) for text in texts for found in _CITATION.finditer(text)]
    text = _OWN_NAME.sub("", " ".join(texts[0].partition("\n\n")[0].split()))
    source = " ".join(citations[0].split()) if citations else fallback
    return Entry(name, _CITATION.sub("", text[:1].upper() + text[1:]), source)


def show_costs(
    config: Config, example: Example, parts: Sequence[PartCost], console: Console
) -> None:
    """Show what a model costs: its parts, their sum, and what the figures mean.

    Parameters
    ----------
    config : what the model was made from.
    example : the model and the batch.
    parts : the cost of each part, as `mmsr.training.cost.measure_cost` returns it.
    console : where to show them.
    """
    total = PartCost(
        name="total",
        parameters=sum(part.parameters for part in parts),
        forward=sum(part.forward for part in parts),
        step=sum(part.step for part in parts),
        kept_bytes=sum(part.kept_bytes for part in parts),
    )
    for style, line in zip(("bold", ""), _what(config, example), strict=True):
        console.print(line, style=style)
    scale, prefix = next((s, p) for s, p in _PREFIXES if total.step >= 10 * s or s == 1)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("part", overflow="fold")
    for title in ("parameters", f"forward\n{prefix}op", f"training step\n{prefix}op", "kept\nMB"):
        table.add_column(title, justify="right", no_wrap=True)
    for part in (*parts, total):
        table.add_row(
            part.name,
            f"{part.parameters:,}" if part.parameters else "",
            _number(part.forward / scale),
            _number(part.step / scale),
            _number(part.kept_bytes / 1e6),
            style="bold" if part is total else "",
        )
    console.print(table)
    n_scores = int((example.targets >= 0).sum()) * example.model.n_items
    for line in (
        "op: operations of matrix products, two per multiply-add; forward ranks all items for the "
        "batch; a training step is forward, loss and backward",
        "kept: tensors that a step keeps for its backward pass; temporary tensors, such as "
        f"{n_scores * 4 / 1e6:,.1f} MB of the scores of all items, come on top",
        f"parameters, gradients and Adam's moments: {_ADAM_BYTES * total.parameters / 1e6:,.1f} MB",
    ):
        console.print(line, style="dim")


_PREFIXES = ((1e9, "G"), (1e6, "M"), (1, ""))


def _what(config: Config, example: Example) -> tuple[str, str]:
    """The model on one line, the batch on another."""
    tables, graph = example.model.tables, config.graph
    if isinstance(tables, FeatureTables):
        known = [f"{name} ({tables.width(name)} wide)" for name in tables.modalities]
    else:
        times = f"{graph.n_levels} × " if graph.n_levels > 1 else ""
        known = [
            f"{name} ({times}{plural(graph.codes_of(name), 'code')})" for name in tables.modalities
        ]
    known = known or ["no modality"]
    if isinstance(config.model, MmsrConfig):
        known.append(
            f"{plural(graph.links_per_item, 'link')} per item"
            + (" and level" if graph.n_levels > 1 else "")
        )
    return (
        _settings(config.model),
        f"batch of {len(example.given)} {example.origin}"
        + ("; " if example.history is None else f", {example.history:.1f} items each; ")
        + f"{plural(example.model.n_items, 'item')}; "
        f"{', '.join(known)}",
    )


def _settings(model: ModelConfig) -> str:
    if not isinstance(model, MmsrConfig):
        knobs = (f"{key.replace('_', ' ')} {value}" for key, value in model if key != "name")
        return ", ".join((model.name, *knobs))
    order = getattr(model.aggregator, "order", None)
    layers = plural(model.layers, "layer")
    aggregator = model.aggregator.name + (f" ({order})" if order else "")
    return (
        f"{model.fusion} fusion, {layers} of {aggregator}, width {model.width}, readout "
        f"{model.readout}"
    )


def _number(value: float) -> str:
    """About three digits; empty for 0."""
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
