"""Drawings of the paper's figures: the curves of figure 4, the grid of figure 5."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from mmsr.console import Console
from mmsr.errors import UserError, reason_of
from mmsr.evaluation.sweep import Curves
from mmsr.format import PALETTE, plural
from mmsr.reproduce.results import Figure
from mmsr.robustness.plots import draw_curve, finish, traces_of, write_figure, write_page
from mmsr.robustness.results import label

_DASHES = ("solid", "dash", "dot")
Grid = dict[tuple[int, int], float]


def show(figure: Figure, console: Console) -> None:
    """Show a figure's numbers as a table.

    Parameters
    ----------
    figure : the numbers.
    console : where to show them.
    """
    console.print(f"\n{_heading(figure)}", style="bold", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("row")
    curves = {row.label: curves_of(row.curves) for row in figure.rows}
    first = next(iter(curves.values()))
    areas = [label(curve.modalities) for curve in first.curves] if first else []
    for column in (f"{figure.metric}, %", *(f"area, {name}" for name in areas)):
        table.add_column(column, justify="right")
    for row in figure.rows:
        name = f"valid/{figure.metric}"
        spread = f" ±{100 * row.std[name]:.2f}" if name in row.std else ""
        found = curves[row.label]
        shown = [f"{curve.area:.3f}" for curve in found.curves] if found else []
        table.add_row(row.label, f"{100 * row.mean[name]:.2f}{spread}", *shown)
    console.print(table)
    if first:
        console.print(
            "area: under the curve over the share of items that lack the modality, relative to the "
            "clean score",
            style="dim",
            soft_wrap=True,
        )


def write(figure: Figure, folder: Path) -> tuple[Path, ...]:
    """Write a figure as JSON, PNG and interactive page, named after its study.

    Parameters
    ----------
    figure : the numbers.
    folder : where to write; created if it is missing.

    Returns
    -------
    The paths of the three files.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    paths = tuple(folder / f"{figure.study}{ending}" for ending in (".json", ".png", ".html"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(figure.model_dump_json(indent=1) + "\n")
        draw = _draw_curves if figure.figure == "fig4" else _draw_grid
        draw(figure, paths[1], paths[2])
    except OSError as error:
        raise UserError(
            f"cannot write the figure to {str(folder)!r}: {reason_of(error)}; give the same "
            "command with another --output"
        ) from None
    return paths


def curves_of(stored: dict[str, object] | None) -> Curves | None:
    """The stored curves of a row; None if it has none.

    Parameters
    ----------
    stored : the curves as JSON, see `mmsr.evaluation.sweep.Curves`.
    """
    return Curves.model_validate(stored) if stored else None


def _heading(figure: Figure) -> str:
    return (
        f"{figure.figure} ({figure.title}) on {figure.dataset}: {figure.part} "
        f"{figure.metric.upper()}, {plural(len(figure.seeds), 'seed')}, at most "
        f"{plural(figure.epochs, 'epoch')}"
    )


def _draw_curves(figure: Figure, png: Path, page: Path) -> None:
    """A panel for each subset of modalities, a line for each row."""
    from matplotlib.figure import Figure as Canvas

    rows = [(row.label, found) for row in figure.rows if (found := curves_of(row.curves))]
    first = rows[0][1]
    subsets = [curve.modalities for curve in first.curves]
    canvas = Canvas(figsize=(4.2 * len(subsets), 3.9), dpi=150, layout="constrained")
    panels = canvas.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    traces = []
    for position, (panel, subset) in enumerate(zip(panels, subsets, strict=True)):
        for place, (name, curves) in enumerate(rows):
            colour, curve = PALETTE[place % len(PALETTE)], curves.curves[position]
            draw_curve(panel, curve, f"{name} ({curve.area:.2f})", colour)
            dash = _DASHES[position % len(_DASHES)]
            traces += traces_of(curve, f"{name}, {label(subset)}", colour, dash)
        panel.set_title(f"without {label(subset)}", fontsize=10)
    for panel in panels:  # only once all are drawn: they share their vertical axis
        finish(panel, figure.metric, first.way)
        panel.label_outer()
    canvas.suptitle(f"{_heading(figure)} (in brackets: relative area)", fontsize=10)
    footnote = f"band: {first.band}"
    canvas.text(0.01, -0.03, footnote, fontsize=5.5)
    canvas.savefig(png, bbox_inches="tight")
    write_page(traces, _heading(figure), figure.metric, first.way, page, footnote)


def _draw_grid(figure: Figure, png: Path, page: Path) -> None:
    """A heat map over numbers of codes and links."""
    import plotly.graph_objects as go
    from matplotlib.figure import Figure as Canvas

    name = f"valid/{figure.metric}"
    values: Grid = {}
    for row in figure.rows:
        codes, links = (int(part) for part in row.label.split("/"))
        values[codes, links] = 100 * row.mean[name]
    all_codes = sorted({codes for codes, _ in values})
    all_links = sorted({links for _, links in values})
    grid = [[values.get((c, k), float("nan")) for c in all_codes] for k in all_links]
    canvas = Canvas(
        figsize=(max(2.2 + len(all_codes), 6.5), 1.8 + 0.7 * len(all_links)),  # room for the title
        dpi=150,
        layout="constrained",
    )
    axes = canvas.subplots()
    image = axes.imshow(grid, origin="lower", cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(all_codes)), [str(codes) for codes in all_codes])
    axes.set_yticks(range(len(all_links)), [str(links) for links in all_links])
    axes.set_xlabel("codes of a modality")
    axes.set_ylabel("links of an item")
    middle = (min(values.values()) + max(values.values())) / 2
    for (codes, links), value in values.items():
        axes.text(
            all_codes.index(codes),
            all_links.index(links),
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value < middle else "black",
        )
    canvas.colorbar(image, ax=axes, label=f"{figure.metric.upper()}, %")
    axes.set_title(_heading(figure), fontsize=8)
    canvas.savefig(png)
    heat = go.Figure(
        data=[
            {
                "type": "heatmap",
                "x": [str(codes) for codes in all_codes],
                "y": [str(links) for links in all_links],
                "z": [[None if value != value else value for value in line] for line in grid],
                "colorscale": "Viridis",
                "hovertemplate": "%{x} codes, %{y} links: %{z:.3f} %<extra></extra>",
            }
        ],
        layout={
            "title": {"text": _heading(figure)},
            "xaxis": {"title": {"text": "codes of a modality"}, "type": "category"},
            "yaxis": {"title": {"text": "links of an item"}, "type": "category"},
        },
    )
    write_figure(heat, _heading(figure), page)
