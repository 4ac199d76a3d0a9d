"""Sections on the winner: its modalities, its robustness, its figures on test."""

from __future__ import annotations

from collections.abc import Iterator

from mmsr.evaluation.knockouts import Knockouts
from mmsr.finalize.tables import compared, figures
from mmsr.finalize.view import notes, optimism
from mmsr.format import PALETTE, plural
from mmsr.report.blocks import Block, Chart, Points, Section, Table, Text
from mmsr.report.charts import axis, plain
from mmsr.report.facts import MOST_ROWS, Facts
from mmsr.robustness.plots import traces_of
from mmsr.robustness.results import Results, label
from mmsr.study.views.tables import settings_text

_FINAL = "finalized.json in the study's folder, and with its run,"
_PAIRS, _SWEEPS = 40, 6
"""Most pairs of configs, and most measurements of robustness, that are shown."""
_PARTS = {"valid": "validation", "test": "TEST"}


def modalities(facts: Facts) -> Section:
    """What each modality is worth: knock-outs of the best trial's model."""
    return Section("modalities", "What each modality is worth", tuple(_modalities(facts)))


def _modalities(facts: Facts) -> Iterator[Block]:
    worth, name = facts.worth, facts.name
    if worth is None:
        yield Text(
            "No knock-outs have been measured: the end of the study's run brings them, or "
            f"`mmsr robustness {name}`."
            if facts.reads_modalities
            else "The model of the best trial reads no modalities, so none can be knocked out."
        )
        return
    found = worth.knockouts
    yield Text(
        f"The model of trial {worth.trial} ranks validation while a modality carries no "
        f"information, without being trained again (measured by {worth.whence}). Shuffled: every "
        "item has another item's codes."
    )
    if facts.best is not None and worth.trial != facts.best.number:
        yield Text(
            f"The best trial is now {facts.best.number}, and its model has not been measured so."
        )
    yield Points(tuple(found.verdicts()))
    yield _costs(found)
    rows = tuple(
        (
            one.label,
            f"{100 * one.metrics[found.metric]:.3f}",
            f"{100 * one.cost:.1f}",
            f"{100 * one.low:.1f} … {100 * one.high:.1f}",
        )
        for one in found.results
    )
    clean = ("nothing knocked out", f"{100 * found.clean[found.metric]:.3f}", "", "")
    yield Table(
        ("knock-out", f"{found.metric}, %", "lost, %", "95 % interval"),
        (clean, *rows),
        words=frozenset({"knock-out"}),
        bold=frozenset({0}),
        caption="Knock-outs",
    )


def _costs(found: Knockouts) -> Chart:
    results = found.results
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [plain(one.label) for one in results],
        "x": [100 * one.cost for one in results],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [100 * max(one.high - one.cost, 0) for one in results],
            "arrayminus": [100 * max(one.cost - one.low, 0) for one in results],
            "color": "rgba(128,128,128,0.9)",
            "thickness": 1.4,
        },
        "marker": {"color": PALETTE[0]},
        "hovertemplate": "%{y}: %{x:.1f} % lost<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": axis(f"share of {found.metric} that is lost, %"),
        "yaxis": {"autorange": "reversed", "automargin": True},
    }
    return Chart((trace,), layout, "what knock-outs cost", height=120 + 30 * len(results))


def robustness(facts: Facts) -> Section:
    """How the score falls as items lose modalities."""
    if not facts.robustness:
        text = (
            "It has not been measured what missing modalities cost: "
            f"`mmsr robustness {facts.name}` does that on validation."
            if facts.reads_modalities
            else "The model of the best trial reads no modalities, so nothing can go missing."
        )
        return Section("robustness", "Robustness", (Text(text),))
    blocks = [block for one in facts.robustness[:_SWEEPS] for block in _robustness(one)]
    if (left := len(facts.robustness) - _SWEEPS) > 0:
        blocks.append(Text(f"… and {left:,} more: the study's folder robustness has all."))
    return Section("robustness", "Robustness to missing modalities", tuple(blocks))


def _robustness(results: Results) -> Iterator[Block]:
    curves = results.curves
    what = "items" if curves.way == "item" else "readings of items"
    part = _PARTS.get(results.part, results.part)
    yield Text(
        f"On {part}, {results.origin}: {curves.metric} as more of the {what} lack a modality. "
        f"Band: {curves.band}. Area: under the curve, 1 where nothing is lost."
    )
    traces = []
    for place, curve in enumerate(curves.curves):
        colour = PALETTE[place % len(PALETTE)]
        band, line = traces_of(curve, plain(label(curve.modalities)), colour)
        traces += [{**band, "mode": "lines"}, line]
    layout = {
        "xaxis": axis(f"{what} that lack the modality, %"),
        "yaxis": axis(f"{curves.metric}, %", rangemode="tozero"),
    }
    yield Chart(tuple(traces), layout, f"robustness on {part}")
    rates = [f"{100 * point.rate:g} %" for point in curves.curves[0].points]
    rows = tuple(
        (
            label(curve.modalities),
            *(f"{100 * point.value:.3f}" for point in curve.points),
            f"{curve.area:.3f}",
            f"{curve.area_low:.3f} – {curve.area_high:.3f}",
        )
        for curve in curves.curves
    )
    yield Table(
        ("missing", *rates, "area", "95 % interval"),
        rows,
        words=frozenset({"missing"}),
        caption=f"{curves.metric} on {part}, in %, by the share that is missing",
    )


def finals(facts: Facts) -> Section:
    """The figures on test, if the study was finalized."""
    title = "Test figures"
    if facts.final_error:
        return Section("finals", title, (Text(facts.final_error),))
    result = facts.final.result
    if result is None:
        if facts.opened:
            first = facts.opened[0].at
            text = (
                f"Test was opened {plural(len(facts.opened), 'time')}, first on {first}; no figure "
                "on this page is of test."
            )
        elif facts.known.definition.test_selected:
            text = "TEST-SELECTED: epochs were chosen on test, so there are no honest test figures."
        else:
            text = (
                "Test is closed: no figure on this page is of test. "
                f"`mmsr study finalize {facts.name}` refits the best config and opens test."
            )
        return Section("finals", title, (Text(text),))
    heads, body = figures(result)
    table = Table(
        (*heads, "settings"),
        tuple(
            (*(" ".join(filter(None, both)) for both in zip(*lines, strict=True)), settings)
            for lines, settings in zip(
                body, (settings_text(one.settings) for one in result.configs), strict=True
            )
        ),
        words=frozenset({"config", "settings"}),
        bold=frozenset({0}),
        caption="TEST in %: mean ± standard deviation over seeds [95 % interval over users]",
    ).cut(MOST_ROWS, _FINAL)
    lines = (*optimism(result), *notes(facts.final))
    intro = (
        f"These are figures of TEST, of {plural(len(result.configs), 'config')} refitted on train "
        f"+ validation with {plural(len(result.seeds), 'seed')}; what is not marked as TEST on "
        "this page is of validation."
    )
    columns, pairs = compared(result, list(result.pairs[0].metrics) if result.pairs else ())
    against = Table(
        tuple(columns),
        tuple(map(tuple, pairs)),
        words=frozenset({"trials", "metric"}),
        caption="TEST, configs against each other in points, paired over users; p with Holm's "
        "correction",
    ).cut(_PAIRS, _FINAL)
    blocks: list[Block] = [Text(intro), table, *([against] if pairs else []), Points(lines)]
    return Section("finals", title, tuple(blocks))
