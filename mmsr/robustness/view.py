"""How robustness looks on a terminal."""

from __future__ import annotations

from rich.table import Table

from mmsr.console import Console
from mmsr.evaluation.knockouts import Knockouts
from mmsr.evaluation.sweep import Curves
from mmsr.robustness.results import Results, label


def show_results(results: Results, console: Console) -> None:
    """Show curves, areas and knock-outs.

    Parameters
    ----------
    results : the results.
    console : where to show them.
    """
    part = "validation" if results.part == "valid" else results.part
    console.print(f"{results.name}: {results.origin}, {part} targets", style="bold")
    show_curves(results.curves, console)
    if results.knockouts is not None:
        show_knockouts(results.knockouts, console)


def show_curves(curves: Curves, console: Console) -> None:
    """Show a line for each curve: its values at each rate, and its relative area.

    Parameters
    ----------
    curves : the curves.
    console : where to show them.
    """
    what = "items" if curves.way == "item" else "readings of items (the authors' way)"
    console.print(
        f"{curves.metric} in %, by the share of {what} that lack the modality", style="dim"
    )
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("missing")
    for point in curves.curves[0].points:
        table.add_column(f"{100 * point.rate:g} %", justify="right", no_wrap=True)
    for column in ("area", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for curve in curves.curves:
        values = (f"{100 * point.value:.2f}" for point in curve.points)
        band = f"{curve.area_low:.3f}…{curve.area_high:.3f}"
        table.add_row(label(curve.modalities), *values, f"{curve.area:.3f}", band)
    console.print(table)
    most = 100 * curves.curves[0].points[-1].rate
    console.print(
        f"area: under the curve from 0 to {most:g} %, relative to the clean score; "
        f"band: {curves.band}",
        style="dim",
        soft_wrap=True,
    )


def show_knockouts(knockouts: Knockouts, console: Console) -> None:
    """Show a line for each knock-out, then what each modality contributes.

    Parameters
    ----------
    knockouts : the knock-outs.
    console : where to show them.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("knock-out")
    for column in (f"{knockouts.metric}, %", "lost, %", "95 % interval"):
        table.add_column(column, justify="right")
    table.add_row("clean", f"{100 * knockouts.clean[knockouts.metric]:.3f}", "", "")
    for found in knockouts.results:
        table.add_row(
            found.label,
            f"{100 * found.metrics[knockouts.metric]:.3f}",
            f"{100 * found.cost:.1f}",
            f"{100 * found.low:.1f} … {100 * found.high:.1f}",
        )
    console.print(table)
    for line in knockouts.verdicts():
        console.print(line, soft_wrap=True)
