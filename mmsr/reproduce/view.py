"""How a reproduced table looks: on a terminal, and as Markdown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmsr.format import markdown_table, seconds
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures
from mmsr.reproduce.tables import published
from mmsr.study.results.comparison import COMPARED, LEVEL
from mmsr.study.views.dry_run import what, where
from mmsr.study.views.tables import facts

_PUBLISHED = ("hr@5", "mrr@5")
_TRAINING = (
    "training: time of the runs, which depends on what else their machines were doing; compare "
    "the speed of rows with benchmarks/train_step.py"
)
_LOWER, _HIGHER = "↓", "↑"


def show_results(results: Results, console: Console) -> None:
    """Show the table, and notes that are needed to read it.

    Parameters
    ----------
    results : the results.
    console : where to show them.
    """
    style = "bold red" if results.test_selected else "bold"
    console.print(f"\n[{style}]{escape(_heading(results))}[/]", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    paper = (f"paper\n{_upper(metric)}" for metric in _PUBLISHED)
    for column in ("row", *map(_upper, COMPARED), *paper):
        table.add_column(column, justify="left" if column == "row" else "right", no_wrap=True)
    for row in results.rows:
        style = "bold" if row.label == results.reference else "dim" if not row.mean else ""
        table.add_row(escape(row.label), *_measured(row), *_paper(row), style=style)
    console.print(table)
    for line in notes(results):
        console.print(line, markup=False, highlight=False, style="dim")


def show_request(request: Request, console: Console) -> None:
    """Show what would run (`--dry-run`); nothing is scheduled or written.

    Parameters
    ----------
    request : the rows and seeds.
    console : where to show it.

    Raises
    ------
    UserError : no node of the cluster can run a trial.
    """
    plan = request.plan
    told = what(plan) | {
        "rows": f"{len(request.rows)} of {request.table.name} ({request.table.title}), each with "
        f"seeds {', '.join(map(str, request.seeds))}",
        "best epoch": "chosen on validation, where the figure is drawn; test stays closed"
        if request.table.is_figure
        else _selection(request.label),
        **where(plan),
    }
    console.print(facts(told))
    figure = request.table.is_figure
    column = None if figure else published(request.table.name, plan.dataset.name)
    table = Table(title_justify="left", title_style="bold", title="rows")
    table.add_column("row", no_wrap=True)
    table.add_column("settings", overflow="fold")
    if column is not None:
        for metric in _PUBLISHED:
            table.add_column(f"{column.dataset} {_upper(metric)}", justify="right")
    for row in request.rows:
        keys = ", ".join(f"{key.removeprefix('model.')} {v}" for key, v in row.settings.items())
        figures = [f"{column.percent[row.label][m]:.2f}" for m in _PUBLISHED] if column else []
        table.add_row(escape(row.label), escape(keys), *figures)
    console.print(table)
    console.print("dry run: nothing was scheduled")


def notes(results: Results) -> list[str]:
    """Notes that are needed to read the table, as lines.

    Parameters
    ----------
    results : the results.
    """
    lines = [f"best epochs: {_selection(results.selection)}"]
    if any(row.comparisons for row in results.rows):
        lines.append(
            f"{_LOWER} {_HIGHER}: lower, higher than {results.reference} with p < {LEVEL:g} "
            f"(Wilcoxon over {results.n_users:,} users' means over seeds, Holm's correction over "
            "rows): p is about other users, ± about other seeds"
        )
    else:
        lines.append(f"no comparison: it needs {results.reference} and another row with figures")
    if results.published_stands_in:
        lines.append(
            f"paper: its {results.published_dataset} column; {results.table} has none for "
            f"{results.dataset}"
        )
    else:
        lines.append(f"paper: its {results.published_dataset} column")
    for row in results.rows:
        lines += [f"{row.label}, seed {seed.seed} failed: {seed.error}" for seed in row.failed]
    if results.test_opened:
        times = len(results.test_opened)
        lines.append(
            f"test opened {times} time{'s' if times > 1 else ''} for this study, first "
            f"{results.test_opened[0]}"
        )
    return lines


def markdown(results: Results) -> str:
    """The table, the comparisons and the provenance of `results` as Markdown."""
    paper = (f"paper {_upper(metric)}" for metric in _PUBLISHED)
    columns = ["row", *map(_upper, COMPARED), *paper, "training"]
    body = [
        [row.label, *_measured(row), *_paper(row), seconds(row.training_seconds)]
        for row in results.rows
    ]
    parts = [
        f"# {_heading(results)}",
        markdown_table(columns, body),
        "\n".join(f"- {line}" for line in (*notes(results), _TRAINING)),
    ]
    if any(row.comparisons for row in results.rows):
        head = ["row", "metric", "difference, %", "95 % interval, %", "p", "p, corrected"]
        compared = [
            [
                row.label,
                _upper(metric),
                f"{100 * one.difference:+.3f}",
                f"{100 * one.low:+.3f} … {100 * one.high:+.3f}",
                f"{one.p:.2g}",
                f"{one.p_corrected:.2g}{' *' if one.significant else ''}",
            ]
            for row in results.rows
            for metric, one in row.comparisons.items()
        ]
        parts += [
            f"## Against {results.reference}, means over users",
            markdown_table(head, compared),
        ]
    versions = ", ".join(f"{name} {value}" for name, value in results.code.items())
    origin = {
        "command": f"`{results.command}`",
        "study": results.study,
        "data": f"{results.dataset} ({results.protocol}), {results.dataset_hash}",
        "seeds": ", ".join(map(str, results.seeds)),
        "epochs": f"at most {results.epochs}, patience {results.patience}",
        "settings of all rows": ", ".join(f"{k} {v}" for k, v in results.config.items()),
        "code": versions,
        "made": results.created_at,
    }
    parts += ["## Origin", "\n".join(f"- {name}: {text}" for name, text in origin.items())]
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    n = len(results.seeds)
    spread = "mean ± standard deviation" if n > 1 else "one seed, so no spread"
    selected = "TEST-SELECTED " if results.test_selected else ""
    return (
        f"{results.table} ({results.title}) on {results.dataset}: {selected}test figures in %, "
        f"{spread}" + (f" of {n} seeds" if n > 1 else "")
    )


def _selection(label: str) -> str:
    if label == "validation":
        return "chosen on validation; test read once, afterwards"
    return f"{label}: chosen on test, separately for each metric; too good, like the paper's"


def _measured(row: RowFigures) -> list[str]:
    if not row.mean:
        return ["failed", *[""] * (len(COMPARED) - 1)]
    return [_cell(row, metric) for metric in COMPARED]


def _cell(row: RowFigures, metric: str) -> str:
    """Mean ± std in percent, with a mark if it differs from the reference."""
    spread = f"±{100 * row.std[metric]:.2f}" if metric in row.std else ""
    compared = row.comparisons.get(metric)
    mark = " "
    if compared is not None and compared.significant:
        mark = _LOWER if compared.difference < 0 else _HIGHER
    return f"{100 * row.mean[metric]:.2f}{spread}{mark}"


def _paper(row: RowFigures) -> list[str]:
    return [f"{row.published[metric]:.2f}" for metric in _PUBLISHED]


def _upper(metric: str) -> str:
    return metric.upper()
