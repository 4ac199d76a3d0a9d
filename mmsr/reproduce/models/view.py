"""How table 2 looks: measured with seen items kept and masked, published, and what each row got."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from mmsr.console import Console
from mmsr.format import markdown_table, plural, seconds
from mmsr.reproduce.appendix import comparisons, origin
from mmsr.reproduce.results import LineFigures, Results, RowFigures, SeedFigures
from mmsr.reproduce.view import about_seeds, about_test, about_the_paper
from mmsr.study.results.comparison import COMPARED, LEAST_SEEDS, LEVEL, SeedComparison

SHOWN = (*COMPARED, "hr@10", "ndcg@10")
"""Metrics that are shown; the first of them are compared."""
_PUBLISHED = COMPARED
_OWN, _BASELINE = ("↓", "↑"), ("▽", "△")
_SPACE = "space"
_BUDGET = ("row", "trials", "tried first", "finished", "epochs", "time", _SPACE)
_LIMIT = "*"


def show_models(results: Results, console: Console) -> None:
    """Show the tables, and the notes that are needed to read them.

    Parameters
    ----------
    results : the results.
    console : where to show them.
    """
    console.print(f"\n{_heading(results)}", style="bold", soft_wrap=True)
    for title, head, body in _tables(results, brief=True):
        table = Table(
            title=title,
            title_justify="left",
            box=None,
            pad_edge=False,
            header_style="dim",
            padding=(0, 1, 0, 0),
        )
        for place, column in enumerate(head):
            numbers = place > 0 and column != _SPACE
            table.add_column(
                column, justify="right" if numbers else "left", no_wrap=column != _SPACE
            )
        for cells in body:
            table.add_row(
                *cells, style="bold" if cells[0].removesuffix(_LIMIT) == results.reference else ""
            )
        console.print(table)
    for line in notes(results):
        console.print(line, style="dim", soft_wrap=True)


def models_markdown(results: Results) -> str:
    """The same as Markdown, with the comparisons and the provenance.

    Parameters
    ----------
    results : the results.
    """
    parts = [f"# {_heading(results)}"]
    for title, head, body in _tables(results):
        parts += [f"## {title[0].upper()}{title[1:]}", markdown_table(head, body)]
    parts.append("\n".join(f"- {line}" for line in notes(results)))
    for other, of in (
        (results.reference, {row.label: row.comparisons for row in results.rows}),
        (results.best_baseline, {row.label: row.against_baseline for row in results.rows}),
    ):
        if any(of.values()):
            parts += [f"## Against {other}", comparisons(of)]
    lines = (f"- {row.label}: {_settings(row)}" for row in results.rows)
    parts += ["## Settings that not all rows share", "\n".join(lines)]
    return "\n\n".join([*parts, "## Origin", origin(results)]) + "\n"


def notes(results: Results) -> list[str]:
    """Notes that are needed to read the tables, as lines.

    Parameters
    ----------
    results : the results.
    """
    first = "its authors' settings first as far as --set leaves them"
    each = f"best trial by {results.objective} on validation"
    return [
        f"each model: searched by its own space, {first}; {each}; refitted on train + validation "
        "for the trial's epochs with other seeds, and ranked on test once",
        f"shared out among models: {results.share}; at most {plural(results.epochs, 'epoch')} a "
        "trial, weak trials stopped early",
        *_unequal(results),
        "what a model did not get: a wider space than its own, more trials, more epochs; with more "
        "tuning any row may gain",
        *_about_limits(results),
        "seen items: kept in the ranking, or all items of the user's history masked; validation "
        "kept them",
        *about_seeds(results),
        *_about_marks(results),
        "lines without a budget: fitted to train + validation, from the same opening of test",
        *(f"{line.label}: not measured ({line.left_out})" for line in _left_out(results)),
        *(f"{row.label}, seed {one.seed} failed: {one.error}" for row, one in _failed(results)),
        *_not_searched(results),
        *about_the_paper(results),
        *about_test(results),
    ]


def _tables(
    results: Results, *, brief: bool = False
) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Titles, heads and bodies of the tables; brief ones spread only what is compared."""
    upper = [name.upper() for name in SHOWN]
    measured = []
    for seen in ("kept", "masked"):
        body = [_measured(row, masked=seen == "masked", brief=brief) for row in results.rows]
        for line in results.lines:
            figures = line.kept if seen == "kept" else line.masked
            if figures:
                body.append([line.label, *(f"{100 * figures[name]:.2f} " for name in SHOWN)])
        measured.append((f"seen items {seen}", ("row", *upper), body))
    paper = [
        [row.label, *(f"{row.published[name]:.2f}" for name in _PUBLISHED)] for row in results.rows
    ]
    head = ("row", *(name.upper() for name in _PUBLISHED))
    budget = [
        [
            row.label,
            *map(str, (one.trials, one.known, one.finished, one.epochs)),
            seconds(one.seconds),
            one.space,
        ]
        for row in results.rows
        if (one := row.search) is not None
    ]
    return [
        *measured,
        (f"published, {results.published_dataset}", head, paper),
        ("what the search of each model got", _BUDGET, budget),
    ]


def _measured(row: RowFigures, *, masked: bool, brief: bool) -> list[str]:
    mean, std = (row.mean_masked, row.std_masked) if masked else (row.mean, row.std)
    if not mean:
        return [row.label, _without_figures(row), *[""] * (len(SHOWN) - 1)]
    cells = [f"{row.label}{_LIMIT if _at_limit(row) else ''}"]
    for name in SHOWN:
        spreads = name in std and (name in COMPARED or not brief)
        spread = f"±{100 * std[name]:.2f}" if spreads else ""
        marks = "" if masked else _marks(row, name)
        cells.append(f"{100 * mean[name]:.2f}{spread}{marks or ' '}")
    return cells


def _without_figures(row: RowFigures) -> str:
    all_failed = row.search is not None and row.search.trial is None
    return "failed" if row.seeds or all_failed else "not run"


def _at_limit(row: RowFigures) -> bool:
    """Whether more epochs might improve the row."""
    return any(seed.stopped_by == "limit" for seed in row.finished)


def _marks(row: RowFigures, name: str) -> str:
    return _mark(row.comparisons.get(name), _OWN) + _mark(row.against_baseline.get(name), _BASELINE)


def _mark(compared: SeedComparison | None, signs: tuple[str, str]) -> str:
    if compared is None or not compared.significant:
        return ""
    return signs[compared.difference > 0]


def _about_marks(results: Results) -> list[str]:
    if not any(row.comparisons or row.against_baseline for row in results.rows):
        return [f"no marks: they need {LEAST_SEEDS} seeds of two rows"]
    finished = {row.label: len(row.finished) for row in results.rows}
    references = (
        (_OWN, results.reference, results.reference),
        (
            _BASELINE,
            results.best_baseline,
            f"{results.best_baseline} (best baseline on validation)",
        ),
    )
    marks, lacking = [], []
    for signs, label, what in references:
        if finished.get(label or "", 0) >= LEAST_SEEDS:
            marks.append(f"{' '.join(signs)}: lower, higher than {what}")
        elif label is not None:
            few = f"{what} has fewer than {LEAST_SEEDS} seeds"
            lacking.append(f"no {' '.join(signs)}: {few}")
    return [
        f"{'; '.join(marks)}; p < {LEVEL:g}, seen items kept, rows with {LEAST_SEEDS} seeds or "
        f"more: t-test over {results.n_users:,} users and all seeds, which are crossed random "
        "effects, with Holm's correction over all differences that could be marked",
        *lacking,
    ]


def _about_limits(results: Results) -> list[str]:
    if not any(_at_limit(row) for row in results.rows):
        return []
    limit = plural(results.epochs, "epoch")
    return [f"{_LIMIT}: the limit of {limit} ended the best trial, so more might improve the row"]


def _unequal(results: Results) -> list[str]:
    """Where the budgets of rows of several calls differ."""
    trials = {row.search.trials for row in results.rows if row.search is not None}
    if len(trials) < 2 or "hours" in results.share:
        return []
    return ["the rows do not have the same number of trials: give all the same --trials"]


def _left_out(results: Results) -> list[LineFigures]:
    return [line for line in results.lines if line.left_out]


def _not_searched(results: Results) -> list[str]:
    """The rows without a finished trial, and why."""
    return [
        f"{row.label}: no trial finished: {one.trials} failed, first error: {one.error}"
        for row in results.rows
        if (one := row.search) is not None and one.trial is None
    ]


def _failed(results: Results) -> list[tuple[RowFigures, SeedFigures]]:
    return [(row, seed) for row in results.rows for seed in row.failed]


def _settings(row: RowFigures) -> str:
    return ", ".join(f"{key} {value}" for key, value in row.settings.items())


def _heading(results: Results) -> str:
    several = any(len(row.finished) > 1 for row in results.rows)
    spread = "mean ± standard deviation over seeds" if several else "one seed, so no spread"
    return f"{results.table} ({results.title}) on {results.dataset}: test figures in %, {spread}"
