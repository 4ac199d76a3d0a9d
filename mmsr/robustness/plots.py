"""Robustness curves as a picture and as an interactive page."""

from __future__ import annotations

import html
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr.evaluation.sweep import Curve, Way
from mmsr.format import PALETTE
from mmsr.robustness.results import Results, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

_FOOTNOTE = 110
"""Most characters of a footnote's line on a page."""
_RATE: dict[Way, str] = {
    "item": "items that lack the modality, %",
    "access": "readings of items that lack the modality, %",
}


def title(results: Results) -> str:
    """The title of the picture of `results`."""
    part = {"valid": "validation", "test": "test"}[results.part]
    how = "items" if results.curves.way == "item" else "readings of items (the authors' way)"
    return f"{results.name}: {part} {results.curves.metric.upper()} as {how} lose modalities"


def draw_png(results: Results, path: Path) -> None:
    """Write the curves with their bands as a PNG.

    Parameters
    ----------
    results : the curves.
    path : the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    for curve, colour in zip(results.curves.curves, _colours(results), strict=True):
        draw_curve(axes, curve, _legend(curve), colour)
    finish(axes, results.curves.metric, results.curves.way)
    axes.set_title(title(results), fontsize=10, loc="left")
    figure.text(0.01, -0.03, footnote(results), fontsize=5.5)
    figure.savefig(path, bbox_inches="tight")


def draw_curve(axes: Axes, curve: Curve, name: str, colour: str) -> None:
    """Draw one curve with its band, in percent.

    Parameters
    ----------
    axes : where to draw.
    curve : the curve.
    name : its name in the legend.
    colour : its colour, `#rrggbb`.
    """
    rates = [100 * point.rate for point in curve.points]
    low, high, values = (
        [100 * getattr(point, what) for point in curve.points] for what in ("low", "high", "value")
    )
    axes.fill_between(rates, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(rates, values, color=colour, marker="o", markersize=3.5, label=name)


def finish(axes: Axes, metric: str, way: Way) -> None:
    """Add labels, grid and legend.

    Parameters
    ----------
    axes : the axes with the curves.
    metric : metric on the vertical axis.
    way : how modalities went missing.
    """
    axes.set_xlabel(_RATE[way])
    axes.set_ylabel(f"{metric.upper()}, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def draw_html(results: Results, path: Path) -> None:
    """Write the curves as a page of its own, for zooming and for reading values.

    Parameters
    ----------
    results : the curves.
    path : the file to write.
    """
    traces: list[dict[str, Any]] = []
    for curve, colour in zip(results.curves.curves, _colours(results), strict=True):
        traces += traces_of(curve, _legend(curve), colour)
    curves = results.curves
    write_page(traces, title(results), curves.metric, curves.way, path, footnote(results))


def traces_of(curve: Curve, name: str, colour: str, dash: str = "solid") -> list[dict[str, Any]]:
    """The band and the line of one curve, as plotly draws them.

    Parameters
    ----------
    curve : the curve.
    name : its name in the legend.
    colour : its colour, `#rrggbb`.
    dash : plotly's style of the line.
    """
    rates = [100 * point.rate for point in curve.points]
    low, high, values = (
        [100 * getattr(point, what) for point in curve.points] for what in ("low", "high", "value")
    )
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    band = {
        "type": "scatter",
        "x": [*rates, *reversed(rates)],
        "y": [*high, *reversed(low)],
        "mode": "lines",  # the default adds markers where there are few points
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.13)",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": name,
    }
    line = {
        "type": "scatter",
        "x": rates,
        "y": values,
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "line": {"color": colour, "dash": dash},
        "customdata": list(zip(low, high, strict=True)),
        "hovertemplate": "%{x:.0f} % missing: %{y:.3f} % "
        "(%{customdata[0]:.3f} … %{customdata[1]:.3f})",
    }
    return [band, line]


def write_page(
    traces: list[dict[str, Any]], heading: str, metric: str, way: Way, path: Path, footnote: str
) -> None:
    """Write traces as a page that needs no network.

    Parameters
    ----------
    traces : plotly's traces.
    heading : title of the page.
    metric : metric on the vertical axis.
    way : how modalities went missing.
    path : the file to write.
    footnote : what is needed to read the curves.
    """
    import plotly.graph_objects as go

    lines = textwrap.wrap(footnote, _FOOTNOTE)
    figure = go.Figure(
        data=traces,
        layout={
            "title": {"text": heading},
            "template": "plotly_white",
            "margin": {"b": 90 + 14 * len(lines)},
            "annotations": [
                {
                    "text": "<br>".join(map(html.escape, lines)),
                    "x": 0,
                    "y": 0,
                    "xref": "paper",
                    "yref": "paper",
                    "xanchor": "left",
                    "yanchor": "top",
                    "yshift": -55,  # below the title of the axis
                    "align": "left",
                    "showarrow": False,
                    "font": {"size": 10, "color": "#666666"},
                }
            ],
            "xaxis": {"title": {"text": _RATE[way]}},
            "yaxis": {"title": {"text": f"{metric.upper()}, %"}, "rangemode": "tozero"},
        },
    )
    write_figure(figure, heading, path)


def write_figure(figure: Figure, heading: str, path: Path) -> None:
    """Write a figure of plotly as a page that needs no network.

    Parameters
    ----------
    figure : the figure.
    heading : title of the page, which a browser shows on its tab.
    path : the file to write.
    """
    head = f'<html lang="en">\n<head><title>{html.escape(heading)}</title>'
    page = figure.to_html(include_plotlyjs=True).replace("<html>\n<head>", head, 1)
    path.write_text(page, encoding="utf-8")


def footnote(results: Results) -> str:
    """What is needed to read the curves of `results`."""
    return f"{results.origin}; band: {results.curves.band}"


def _legend(curve: Curve) -> str:
    return f"{label(curve.modalities)} (area {curve.area:.3f})"


def _colours(results: Results) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(len(results.curves.curves))]
