"""How a reproduced table looks: on a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table

from mmsr.console import Console
from mmsr.format import markdown_table, plural, seconds
from mmsr.reproduce.appendix import comparisons, origin
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures
from mmsr.reproduce.tables import published
from mmsr.study.planning.existing import Found, foresee
from mmsr.study.results.comparison import COMPARED, LEAST_SEEDS, LEVEL
from mmsr.study.views.dry_run import show_outlook, what, where
from mmsr.study.views.tables import facts

_PUBLISHED = ("hr@5", "mrr@5")
_TRAINING = (
    "training: time of the runs, which depends on what else their machines were doing; compare "
    "the speed of rows with benchmarks/train_step.py"
)
_EPOCHS = "epochs: the chosen epoch of each seed"
_LOWER, _HIGHER, _LIMIT = "↓", "↑", "*"


def show_results(results: Results, console: Console) -> None:
    """Show the table, and notes that are needed to read it.

    Parameters
    ----------
    results : the results.
    console : where to show them.
    """
    style = "bold red" if results.test_selected else "bold"
    console.print(f"\n{_heading(results)}", style=style, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    paper = (f"paper\n{_upper(metric)}" for metric in _PUBLISHED)
    for column in ("row", *map(_upper, COMPARED), *paper):
        table.add_column(column, justify="left" if column == "row" else "right", no_wrap=True)
    for row in results.rows:
        style = "bold" if row.label == results.reference else "dim" if not row.mean else ""
        label = _label(results, row)
        table.add_row(label, *_measured(row), *_paper(row), style=style)
    console.print(table)
    for line in notes(results):
        console.print(line, style="dim")


def show_request(
    request: Request, console: Console, done: Collection[tuple[str, int]] = ()
) -> None:
    """Show what would run (`--dry-run`); nothing is scheduled or written.

    Parameters
    ----------
    request : the rows and seeds.
    console : where to show it.
    done : rows, by label, and seeds whose results are in files.

    Raises
    ------
    UserError : no node of the cluster can run a trial, or the name belongs to another study.
    """
    plan = request.without(done).plan
    found = foresee(plan, plan.only or ()) if plan.trials else None
    told = what(plan, found) | {
        "rows": f"{len(request.rows)} of {request.table.name} ({request.table.title}), each with "
        f"seeds {', '.join(map(str, request.seeds))}",
        "best epoch": "chosen on validation, where the figure is drawn; test stays closed"
        if request.table.is_figure
        else _selection(request.label),
        **where(plan),
    }
    if asked := [key for key in request.runs if key in done]:
        told["in files"] = f"{', '.join(f'{label}/{seed}' for label, seed in asked)}: not run again"
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
        table.add_row(row.label, keys, *figures)
    console.print(table)
    if found is None:
        console.print(f"study {plan.name}: nothing to do, the files have all runs", soft_wrap=True)
    show_outlook(plan, found or Found(None), console)


def notes(results: Results) -> list[str]:
    """Notes that are needed to read the table, as lines.

    Parameters
    ----------
    results : the results.
    """
    return [
        f"best epochs: {_selection(results.selection)}",
        *about_seeds(results),
        *_about_limits(results),
        _about_tests(results),
        *_about_runs(results),
        *about_the_paper(results),
        "settings: the authors' for all rows; no row was tuned",
        *about_test(results),
    ]


def about_seeds(results: Results) -> list[str]:
    """How many seeds each row of `results` has, as lines."""
    labels: dict[int, list[str]] = {}
    for row in results.rows:
        if row.finished:
            labels.setdefault(len(row.finished), []).append(row.label)
    told = [f"{plural(n, 'seed')}: {', '.join(labels[n])}" for n in sorted(labels, reverse=True)]
    return ["; ".join(told)] if told else []


def _about_limits(results: Results) -> list[str]:
    if not any(_at_limit(results, row) for row in results.rows):
        return []
    told = f"{_LIMIT}: a run was ended by the limit of {plural(results.epochs, 'epoch')}"
    if results.test_selected:
        told += ", or is best on test in the last epoch that was kept"
    return [f"{told}, so more epochs might improve the row"]


def _about_tests(results: Results) -> str:
    if not any(row.comparisons for row in results.rows):
        return f"no arrows: they need {LEAST_SEEDS} seeds of {results.reference} and of a row"
    return (
        f"{_LOWER} {_HIGHER}: lower, higher than {results.reference}, p < {LEVEL:g}, for rows with "
        f"{LEAST_SEEDS} seeds or more: t-test of the mean over {results.n_users:,} users and all "
        "seeds, which are crossed random effects; the variance of seeds is a row's own or that "
        "pooled over the table, whichever is larger; degrees of freedom are Satterthwaite's, "
        "Holm's correction is over all rows and metrics together"
    )


def _about_runs(results: Results) -> list[str]:
    """Runs that failed, and those that another study ran."""
    lines = []
    for row in results.rows:
        lines += [f"{row.label}, seed {seed.seed} failed: {seed.error}" for seed in row.failed]
        for study in sorted({seed.study for seed in row.finished} - {results.study}):
            seeds = [str(one.seed) for one in row.finished if one.study == study]
            lines.append(
                f"{row.label}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}: from "
                f"study {study}, which ran the same settings"
            )
    return lines


def about_the_paper(results: Results) -> list[str]:
    """Where a comparison with the published figures limps, as lines about `results`."""
    column = f"paper: its {results.published_dataset} column, chosen on test"
    if results.published_stands_in:
        column += f"; {results.table} has none for {results.dataset}"
    features = "; ".join(f"{name} {text}" for name, text in results.features.items()) or "none"
    return [
        column,
        f"features: {features}; the paper's came from ResNet (images) and T5 (text)",
    ]


def about_test(results: Results) -> list[str]:
    """How often test was opened for `results`, as lines."""
    if not results.test_opened:
        return []
    return [
        f"test: opened {plural(len(results.test_opened), 'time')} by study {results.study}, first "
        f"{results.test_opened[0].at}; `mmsr data describe {results.dataset}` lists all openings "
        "of this data set"
    ]


def markdown(results: Results) -> str:
    """The table, the comparisons and the provenance of `results` as Markdown."""
    paper = (f"paper {_upper(metric)}" for metric in _PUBLISHED)
    columns = ["row", "seeds", "epochs", *map(_upper, COMPARED), *paper, "training"]
    body = [
        [
            _label(results, row),
            str(len(row.finished)),
            ", ".join(str(seed.chosen_epoch) for seed in row.finished),
            *_measured(row),
            *_paper(row),
            seconds(row.training_seconds) if row.seeds else "",
        ]
        for row in results.rows
    ]
    parts = [
        f"# {_heading(results)}",
        markdown_table(columns, body),
        "\n".join(f"- {line}" for line in (*notes(results), _EPOCHS, _TRAINING)),
    ]
    if any(row.comparisons for row in results.rows):
        parts += [
            f"## Against {results.reference}",
            comparisons({row.label: row.comparisons for row in results.rows}),
        ]
    return "\n\n".join([*parts, "## Origin", origin(results)]) + "\n"


def _heading(results: Results) -> str:
    several = any(len(row.finished) > 1 for row in results.rows)
    over = "over seeds; codes are those of one clustering"
    spread = f"mean ± standard deviation {over}" if several else "one seed, so no spread"
    selected = "TEST-SELECTED " if results.test_selected else ""
    return (
        f"{results.table} ({results.title}) on {results.dataset}: {selected}test figures in %, "
        f"{spread}"
    )


def _selection(label: str) -> str:
    if label == "validation":
        return (
            "chosen on validation; then refitted on train + validation for as many epochs, and "
            "ranked on test once"
        )
    return f"{label}: chosen on test, separately for each metric; too good, like the paper's"


def _label(results: Results, row: RowFigures) -> str:
    return f"{row.label}{_LIMIT if _at_limit(results, row) else ''}"


def _at_limit(results: Results, row: RowFigures) -> bool:
    """Whether more epochs might improve a run."""
    return any(
        seed.stopped_by == "limit"
        or (
            results.test_selected
            and max(seed.best_epochs.values()) == (seed.chosen_epoch or 0) + results.patience
        )
        for seed in row.finished
    )


def _measured(row: RowFigures) -> list[str]:
    if not row.mean:
        return ["failed" if row.seeds else "not run yet", *[""] * (len(COMPARED) - 1)]
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
