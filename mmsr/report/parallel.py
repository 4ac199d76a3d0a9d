"""Parallel coordinates: each trial a line over the settings that the study varied.

They are drawn as plain lines, which need no WebGL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsr.format import short
from mmsr.report.blocks import Chart
from mmsr.report.charts import plain
from mmsr.study.storage.trials import TrialRow

MOST_LINES, MOST_AXES = 150, 12
_MOST_LABELS = 16
"""Labels beside an axis of words."""
_MISSING = -0.12
"""Height of trials that do not have a setting."""
_LOW, _HIGH = (120, 130, 160), (213, 94, 0)
"""Colours of the worst and the best trial."""


@dataclass(frozen=True)
class _Axis:
    name: str
    places: Mapping[int, float]
    """Height in [0, 1] by number of the trial."""
    ticks: tuple[tuple[float, str], ...]


def parallel_coordinates(
    found: Sequence[TrialRow], metric: str, order: Sequence[str]
) -> Chart | None:
    """The best trials as lines over their settings; None if no setting differs.

    Parameters
    ----------
    found : trials with a score, best first.
    metric : name of the score, the last axis.
    order : settings that come first, the most important one first.
    """
    shown = list(found[:MOST_LINES])
    settings: dict[int, dict[str, Any]] = {row.number: dict(row.settings) for row in shown}
    if any(row.model is not None for row in shown):
        settings = {row.number: {"model": row.model, **settings[row.number]} for row in shown}
    names = list(dict.fromkeys(key for own in settings.values() for key in own))
    varied = [name for name in names if len({repr(own.get(name)) for own in settings.values()}) > 1]
    if not varied:
        return None
    varied.sort(key=lambda name: order.index(name) if name in order else len(order))
    varied = sorted(varied[:MOST_AXES], key=lambda name: name != "model")
    axes = [
        _axis(name, {n: own[name] for n, own in settings.items() if own.get(name) is not None})
        for name in varied
    ]
    scores = {row.number: 100 * row.value for row in shown if row.value is not None}
    axes.append(_axis(f"{metric}, %", scores))
    traces = [_line(row, place, len(shown), axes) for place, row in enumerate(shown)]
    return Chart(
        tuple(reversed(traces)),
        _layout(axes),
        "parallel coordinates",
        height=420,
        least_width=110 * len(axes),
    )


def _axis(name: str, values: Mapping[int, Any]) -> _Axis:
    numeric = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()
    )
    if not numeric:
        kinds = sorted({str(value) for value in values.values()})
        at = {kind: i / max(len(kinds) - 1, 1) for i, kind in enumerate(kinds)}
        places = {number: at[str(value)] for number, value in values.items()}
        step = -(-len(kinds) // _MOST_LABELS)
        ticks = tuple((at[kind], kind) for kind in kinds[::step])
        return _Axis(name, places, ticks)
    low, high = min(values.values()), max(values.values())
    log = low > 0 and high / low >= 30
    start, end = (math.log(low), math.log(high)) if log else (float(low), float(high))

    def height(value: float) -> float:
        if end == start:
            return 0.5
        return ((math.log(value) if log else value) - start) / (end - start)

    few = sorted(set(values.values()))
    middle = math.exp((start + end) / 2) if log else (low + high) / 2
    if all(isinstance(value, int) for value in few):
        middle = round(middle)
    marks = few if len(few) <= 6 else [low, middle, high]
    ticks = tuple((height(value), short(value)) for value in marks)
    return _Axis(name, {n: height(value) for n, value in values.items()}, ticks)


def _line(row: TrialRow, place: int, n: int, axes: Sequence[_Axis]) -> dict[str, Any]:
    share = 1 - place / max(n - 1, 1)
    red, green, blue = (
        round(low + share * (high - low)) for low, high in zip(_LOW, _HIGH, strict=True)
    )
    settings = "<br>".join(f"{plain(key)}: {plain(short(v))}" for key, v in row.settings.items())
    score = "" if row.value is None else f"{100 * row.value:.3f} %"
    model = f", {plain(row.model)}" if row.model else ""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(range(len(axes))),
        "y": [axis.places.get(row.number, _MISSING) for axis in axes],
        "line": {
            "color": f"rgba({red},{green},{blue},{0.35 + 0.6 * share:.2f})",
            "width": 3 if place == 0 else 1.5,
            "dash": "dot" if row.state != "finished" else "solid",
        },
        "showlegend": False,
        "hovertemplate": f"trial {row.number}{model}, {row.state}: {score}<br>{settings}"
        "<extra></extra>",
    }


def _layout(axes: Sequence[_Axis]) -> dict[str, Any]:
    labels = [
        {
            "x": place,
            "y": height,
            "text": plain(_cut(text)),
            "showarrow": False,
            "xanchor": "left",
            "xshift": 4,
            "font": {"size": 10},
            "borderpad": 1,
        }
        for place, axis in enumerate(axes)
        for height, text in axis.ticks
    ]
    lines = [
        {
            "type": "line",
            "x0": place,
            "x1": place,
            "y0": 0,
            "y1": 1,
            "line": {"color": "rgba(128,128,128,0.8)", "width": 1},
            "layer": "below",
        }
        for place in range(len(axes))
    ]
    return {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": [_head(axis.name) for axis in axes],
            "tickangle": 0,
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "range": [-0.15, len(axes) - 0.45],
            "automargin": True,
            "fixedrange": True,
        },
        "yaxis": {"visible": False, "range": [_MISSING - 0.08, 1.06], "fixedrange": True},
        "annotations": labels,
        "shapes": lines,
        "hovermode": "closest",
        "margin": {"l": 20, "r": 20, "t": 80, "b": 10},
    }


def _head(name: str) -> str:
    """The name of an axis on two lines: the last part of a key below the others."""
    front, _, last = name.rpartition(".")
    return f"{plain(front)}<br>{plain(last)}" if front else plain(last)


def _cut(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:13]}…"
