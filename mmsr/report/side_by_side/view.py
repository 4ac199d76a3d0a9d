"""How contenders look side by side: on a terminal, and as records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from mmsr.console import Console
from mmsr.format import plural
from mmsr.report.side_by_side.contenders import Contender
from mmsr.report.side_by_side.pairs import TEST, VALID, Pair, SideBySide
from mmsr.study.results.comparison import LEVEL, Comparison
from mmsr.study.views.tables import kwh_text, settings_text

_FIGURES = ("difference", "low", "high", "p", "p_corrected", "test")
PAIR_COLUMNS = ("first", "second", "part", "metric", *_FIGURES)
"""Columns of the records of pairs."""
_PARTS = {VALID: "validation", TEST: "TEST"}


def show(found: SideBySide, console: Console) -> None:
    """Show differences of configs, figures, and paired tests.

    Parameters
    ----------
    found : the contenders and what came out.
    console : where to show them.
    """
    for one in found.contenders:
        epoch = "" if one.epoch is None else f", epoch {one.epoch}"
        data = f"{one.dataset} ({one.protocol})"
        console.print(f"{one.name}: {one.origin}{epoch}, on {data}", soft_wrap=True)
    _show_differences(found, console)
    _show_figures(found, console)
    for part in (VALID, TEST):
        if pairs := [pair for pair in found.pairs if pair.part == part]:
            _show_pairs(pairs, part, console)
    for reason in found.not_paired:
        console.print(reason, soft_wrap=True)


def _show_differences(found: SideBySide, console: Console) -> None:
    differences = found.differences()
    if not differences:
        console.print("their configs are the same")
        return
    table = _table(f"{plural(len(differences), 'setting')} differ{_s(len(differences))}")
    table.add_column("setting", overflow="fold")
    for one in found.contenders:
        table.add_column(one.name, overflow="fold")
    for key, values in differences.items():
        table.add_row(key, *("" if v is None else settings_text({"": v}).strip() for v in values))
    console.print(table)


def _s(count: int) -> str:
    return "s" if count == 1 else ""


def _show_figures(found: SideBySide, console: Console) -> None:
    table = _table("figures in %; test: mean over refits [95 % interval over users]")
    table.add_column("metric")
    for one in found.contenders:
        table.add_column(one.name, justify="right")
    for metric in found.on_valid:
        cells = (_valid_cell(one, metric) for one in found.contenders)
        table.add_row(f"valid {metric}", *cells)
    if any(one.final is not None for one in found.contenders):
        table.add_section()
        for metric in found.metrics:
            cells = (_test_cell(one, metric) for one in found.contenders)
            table.add_row(f"TEST {metric}", *cells)
    if any(one.study_kwh is not None for one in found.contenders):
        table.add_section()
        table.add_row("kWh, training", *(kwh_text(one.kwh) for one in found.contenders))
        table.add_row("kWh, its study", *(kwh_text(one.study_kwh) for one in found.contenders))
    console.print(table)


def _valid_cell(one: Contender, metric: str) -> str:
    value = one.valid.get(metric)
    if value is None:
        return ""
    if one.ranks is None or metric.startswith(("warm/", "cold/")):
        return f"{100 * value:.3f}"
    low, high = one.ranks.interval(metric)
    return f"{100 * value:.3f} [{100 * low:.2f}–{100 * high:.2f}]"


def _test_cell(one: Contender, metric: str) -> str:
    key = f"test/{metric}"
    if one.final is None or key not in one.final.mean:
        return "not finalized" if one.final is None else "failed"
    low, high = one.final.low.get(key), one.final.high.get(key)
    bounds = "" if low is None or high is None else f" [{100 * low:.2f}–{100 * high:.2f}]"
    return f"{100 * one.final.mean[key]:.3f}{bounds}"


def _show_pairs(pairs: list[Pair], part: str, console: Console) -> None:
    over_seeds = not isinstance(pairs[0].found, Comparison)
    how = "over users and seeds, t-test" if over_seeds else "over users, Wilcoxon's test"
    table = _table(f"{_PARTS[part]}: differences in points, paired {how}")
    table.add_column("pair", overflow="fold")
    table.add_column("metric")
    for column in ("difference", "95 % interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    for pair in pairs:
        one = pair.found
        table.add_row(
            f"{pair.first} – {pair.second}",
            pair.metric,
            f"{100 * one.difference:+.3f}",
            f"[{100 * one.low:+.3f}, {100 * one.high:+.3f}]",
            f"{one.p_corrected:.2g}{' *' if one.significant else ''}",
            style="bold" if one.significant else "",
        )
    console.print(table)
    note = (
        "difference: mean over users, each with the mean of their targets; p: with Holm's "
        f"correction over the pairs; *: below {LEVEL:g}"
    )
    if part == VALID:
        note += "; both were chosen on these targets, so only test is an honest comparison"
    console.print(note, style="dim", soft_wrap=True)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", expand=False)


def record(found: SideBySide) -> dict[str, Any]:
    """Everything as a tree, for JSON; shares are in [0, 1].

    Parameters
    ----------
    found : the contenders and what came out.
    """
    return {
        "contenders": [_contender(one) for one in found.contenders],
        "differences": {
            key: dict(zip((one.name for one in found.contenders), values, strict=True))
            for key, values in found.differences().items()
        },
        "pairs": list(pair_records(found)),
        "not_paired": list(found.not_paired),
    }


def pair_records(found: SideBySide) -> Iterator[dict[str, Any]]:
    """The pairs as flat records, for CSV.

    Parameters
    ----------
    found : the contenders and what came out.
    """
    for pair in found.pairs:
        one = pair.found
        test = "wilcoxon" if isinstance(one, Comparison) else "crossed t"
        given = (pair.first, pair.second, pair.part, pair.metric)
        figures = (one.difference, one.low, one.high, one.p, one.p_corrected, test)
        yield dict(zip(PAIR_COLUMNS, (*given, *figures), strict=True))


def _contender(one: Contender) -> dict[str, Any]:
    test = one.final
    return {
        "name": one.name,
        "origin": one.origin,
        "dataset": one.dataset,
        "dataset_hash": one.dataset_hash,
        "protocol": one.protocol,
        "objective": one.objective,
        "epoch": one.epoch,
        "energy_kwh": one.kwh,
        "study_energy_kwh": one.study_kwh,
        "valid": dict(one.valid),
        "test": test and {"mean": test.mean, "std": test.std, "low": test.low, "high": test.high},
        "config": one.config.to_dict(),
    }
