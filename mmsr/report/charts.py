"""The charts of a report, as plotly draws them; values are in percent where axes say so.

Texts of a chart are a small HTML to plotly, so names and settings go through `plain`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmsr.format import PALETTE
from mmsr.report.blocks import Chart
from mmsr.study.storage.trials import TrialRow

Trace = dict[str, Any]

GREY = "rgba(128,128,128,0.45)"
MOST_CURVES = 200
"""Learning curves that one chart can show."""
_NAMED = 5
"""Curves that have a colour of their own."""
_POINTS = 20_000
"""Points that all learning curves have together; longer ones are thinned out."""
_CELLS = 24
"""Values on each side of a map: more cannot be read."""


def plain(value: object) -> str:
    """A text that plotly shows as it is.

    Parameters
    ----------
    value : a name or a setting, whatever it holds.
    """
    # What plotly fills in looks like %{x}; an invisible blank takes that meaning away.
    return html.escape(str(value), quote=False).replace("%{", "%\u200b{")


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title.

    Parameters
    ----------
    title : the title.
    more : plotly's other settings.
    """
    return {"title": {"text": plain(title)}, "automargin": True, **more}


def learning_curves(
    found: Sequence[TrialRow], curves: Mapping[int, Mapping[int, float]], metric: str
) -> Chart:
    """The first objective by epoch: the best trials in colour, the others in grey.

    Parameters
    ----------
    found : the trials, best first.
    curves : the objective by epoch, by number of the trial.
    metric : name of the objective.
    """
    traces = []
    for place, row in enumerate(found[:MOST_CURVES]):
        curve = _thinned(curves.get(row.number, {}), _POINTS // min(len(found), MOST_CURVES))
        if not curve:
            continue
        named = place < _NAMED
        dash = "dot" if row.state != "finished" else "solid"
        colour = PALETTE[place % len(PALETTE)] if named else GREY
        model = f" ({plain(row.model)})" if row.model else ""
        traces.append(
            {
                "type": "scatter",
                "x": list(curve),
                "y": [100 * value for value in curve.values()],
                "mode": "lines+markers" if len(curve) == 1 else "lines",
                "name": f"trial {row.number}{model}",
                "showlegend": named,
                "line": {"color": colour, "dash": dash, "width": 3 if place == 0 else 1.6},
                "hovertemplate": f"trial {row.number}, {row.state}: "
                "%{y:.3f} % after epoch %{x}<extra></extra>",
            }
        )
    layout = {
        "xaxis": axis("epoch", dtick=1 if _most(curves) <= 12 else None),
        "yaxis": axis(f"{metric}, %"),
        "legend": {"traceorder": "reversed"},
    }
    return Chart(tuple(reversed(traces)), layout, "learning curves")


def _thinned(curve: Mapping[int, float], most: int) -> Mapping[int, float]:
    """A curve of about as many points; its best and its last epoch are among them."""
    step = -(-len(curve) // most)
    if step <= 1:
        return curve
    kept = {*list(curve)[::step], max(curve, key=lambda epoch: curve[epoch]), max(curve)}
    return {epoch: curve[epoch] for epoch in sorted(kept)}


def _most(curves: Mapping[int, Mapping[int, float]]) -> int:
    return max((max(curve, default=0) for curve in curves.values()), default=0)


def history(found: Sequence[TrialRow], metric: str) -> Chart:
    """Scores in the order of the trials, and the best one so far.

    Parameters
    ----------
    found : the trials, oldest first.
    metric : name of the objective.
    """
    scored = [row for row in found if row.value is not None]
    models = list(dict.fromkeys(row.model for row in scored))
    groups: dict[str, tuple[list[TrialRow], str, str]] = {}
    for place, model in enumerate(models):
        for state, symbol in (("finished", "circle"), ("pruned", "x-thin-open")):
            own = [row for row in scored if row.model == model and row.state == state]
            words = "stopped early" if state == "pruned" else "finished"
            name = words if model is None else f"{model}, {words}"
            colour = PALETTE[place % len(PALETTE)] if state == "finished" or model else "#8c8c8c"
            groups[name] = own, symbol, colour
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain(name),
            "x": [row.number for row in own],
            "y": [100 * (row.value or 0.0) for row in own],
            "marker": {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 1.6}},
            "hovertemplate": "trial %{x}: %{y:.3f} %<extra></extra>",
        }
        for name, (own, symbol, colour) in groups.items()
        if own
    ]
    best, steps = -math.inf, []
    for row in scored:
        if row.state == "finished" and row.value is not None:
            best = max(best, row.value)
            steps.append((row.number, 100 * best))
    if steps:
        steps.append((scored[-1].number, 100 * best))
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": [x for x, _ in steps],
            "y": [y for _, y in steps],
            "line": {"shape": "hv", "color": PALETTE[1], "width": 2},
            "hovertemplate": "best up to trial %{x}: %{y:.3f} %<extra></extra>",
        }
    )
    layout = {"xaxis": axis("trial"), "yaxis": axis(f"{metric}, %")}
    return Chart(tuple(traces), layout, "score of each trial")


def bars(shares: Mapping[str, Mapping[str, float]], title: str) -> Chart:
    """Shares of several kinds side by side, e.g. the importance of settings.

    Parameters
    ----------
    shares : by kind, then by name; names are in the order of the first kind.
    title : what the chart shows.
    """
    names = list(dict.fromkeys(name for own in shares.values() for name in own))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": kind,
            "y": [plain(name) for name in names],
            "x": [own.get(name) for name in names],
            "marker": {"color": PALETTE[place % len(PALETTE)]},
            "hovertemplate": f"{kind}: %{{x:.3f}}<extra>%{{y}}</extra>",
        }
        for place, (kind, own) in enumerate(shares.items())
        if own
    ]
    layout = {
        "barmode": "group",
        "xaxis": axis("share of the importance", rangemode="tozero"),
        "yaxis": {"autorange": "reversed", "automargin": True},
    }
    return Chart(tuple(traces), layout, title, height=140 + 38 * len(names))


def grid_map(
    cells: Mapping[tuple[int, int], tuple[float, int]], across: str, down: str, metric: str
) -> Chart:
    """The best score for each pair of two whole-numbered settings; of many values, the best ones.

    Parameters
    ----------
    cells : best score and number of trials, by the pair of values.
    across, down : the two settings.
    metric : name of the score.
    """
    best = sorted(cells, key=lambda cell: -cells[cell][0])
    xs = sorted(list(dict.fromkeys(x for x, _ in best))[:_CELLS])
    ys = sorted(list(dict.fromkeys(y for _, y in best))[:_CELLS])
    values = [[100 * cells[x, y][0] if (x, y) in cells else None for x in xs] for y in ys]
    texts = [
        [
            f"{100 * cells[x, y][0]:.2f}<br>n = {cells[x, y][1]}" if (x, y) in cells else ""
            for x in xs
        ]
        for y in ys
    ]
    trace = {
        "type": "heatmap",
        "x": [str(x) for x in xs],
        "y": [str(y) for y in ys],
        "z": values,
        "text": texts,
        "texttemplate": "%{text}",
        "colorscale": "Viridis",
        "xgap": 3,
        "ygap": 3,
        "hoverongaps": False,
        "colorbar": {"title": {"text": plain(f"{metric}, %")}, "thickness": 12},
        "hovertemplate": f"{plain(across)} %{{x}}, {plain(down)} %{{y}}: %{{z:.3f}} %"
        "<extra></extra>",
    }
    layout = {
        "xaxis": axis(across, type="category"),
        "yaxis": axis(down, type="category"),
    }
    return Chart((trace,), layout, f"best {metric} by {across} and {down}", 150 + 62 * len(ys))


def front(found: Sequence[TrialRow], best: Sequence[TrialRow], objectives: Sequence[str]) -> Chart:
    """The trials by their first two objectives, and the Pareto front.

    Parameters
    ----------
    found : the finished trials.
    best : those on the front.
    objectives : names of the objectives.
    """
    first, second = objectives[:2]
    on = {row.number for row in best}

    def scale(name: str) -> float:
        return 100.0 if name.startswith("valid/") else 1.0

    def title(name: str) -> str:
        return f"{name}, %" if name.startswith("valid/") else name

    traces = []
    for name, own, colour in (
        ("others", [row for row in found if row.number not in on], GREY),
        ("Pareto front", list(best), PALETTE[1]),
    ):
        own = sorted(own, key=lambda row: row.metrics[second])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if name != "others" and len(objectives) == 2 else "markers",
                "name": name,
                "x": [scale(second) * row.metrics[second] for row in own],
                "y": [scale(first) * row.metrics[first] for row in own],
                "text": [f"trial {row.number}" for row in own],
                "marker": {"color": colour, "size": 9},
                "line": {"color": colour, "width": 1},
                "hovertemplate": "%{text}: %{y:.4g} against %{x:.4g}<extra></extra>",
            }
        )
    layout = {"xaxis": axis(title(second)), "yaxis": axis(title(first))}
    return Chart(tuple(traces), layout, "trade-offs")
