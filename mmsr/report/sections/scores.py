"""Sections on the scores: the leaderboard, learning curves, the history of the search."""

from __future__ import annotations

from collections.abc import Iterator

from mmsr.format import listed, percent, plural, seconds
from mmsr.report.blocks import Block, Section, Table, Text
from mmsr.report.charts import MOST_CURVES, front, history, learning_curves
from mmsr.report.facts import MOST_ROWS, Facts
from mmsr.study.results.pareto import FRONT
from mmsr.study.search.objectives import shown
from mmsr.study.views.standings import (
    MOST_OF_FRONT,
    chosen_on,
    front_heads,
    metric_names,
    model_standings,
)
from mmsr.study.views.tables import kwh_text, settings_text, summary

_OVER = ("finished", "pruned", "failed")
"""States of trials that count in the history: others may still get better."""
_CURVES, _EPOCHS = 5, 8
"""Rows and columns of the table of learning curves."""


def leaderboard(facts: Facts) -> Section:
    """The best trials with intervals and settings, above the reference lines."""
    return Section("leaderboard", "Leaderboard", tuple(_leaderboard(facts)))


def _leaderboard(facts: Facts) -> Iterator[Block]:
    if not facts.ranked:
        yield Text(
            f"No trial has finished yet: `mmsr study status {facts.name}` shows their states."
        )
        return
    if facts.front:
        yield from _front(facts)
    models = facts.known.definition.models
    if models:
        yield _by_model(facts, models)
    yield _best(facts)
    if any(name.startswith("cold/") for name in metric_names(facts.ranked, facts.objective)):
        yield Text(
            "warm: targets that occur in the training part; cold: those that do not. Each is a "
            "mean over its own targets."
        )
    yield Text(_about_intervals(facts))
    left_out = [line for line in facts.lines if line.metrics is None]
    if left_out:
        reasons = "; ".join(f"{line.label} ({line.left_out})" for line in left_out)
        yield Text(f"Not measured: {reasons}.")


def _best(facts: Facts) -> Table:
    part = facts.objective.partition("/")[0]
    metric, *names = metric_names(facts.ranked, facts.objective)
    several = bool(facts.known.definition.models)
    columns = ["place", "trial", *(["model"] if several else []), metric, "95 % interval", *names]
    measured = any(row.energy.kwh is not None for row in facts.rows)
    columns += ["epoch", "time", *(["kWh"] if measured else []), "settings"]
    rows = []
    for place, row in enumerate(facts.ranked[:MOST_ROWS], start=1):
        own = facts.interval(row.number) if row.state == "finished" else None
        rows.append(
            (
                "cut" if row.state == "pruned" else str(place),
                str(row.number),
                *([row.model or ""] if several else []),
                percent(row.value),
                "" if own is None else interval_text(own),
                *(percent(row.metrics.get(f"{part}/{name}")) for name in names),
                "" if row.best_epoch is None else f"{row.best_epoch} of {row.epochs}",
                seconds(row.seconds),
                *([kwh_text(row.energy.kwh)] if measured else []),
                settings_text(row.settings),
            )
        )
    for line in facts.lines:
        if line.metrics is not None:
            figures = (percent(line.metrics.get(name)) for name in names)
            label = (line.label, "") if several else (line.label,)
            value = percent(line.metrics.get(metric))
            gaps = [""] * (3 if measured else 2)
            rows.append(("", *label, value, "", *figures, *gaps, "reference line"))
    left = len(facts.ranked) - MOST_ROWS
    more = f"… and {plural(left, 'more trial')}: {facts.all_scores} has all." if left > 0 else ""
    return Table(
        tuple(columns),
        tuple(rows),
        words=frozenset({"model", "settings"}),
        bold=frozenset({0} if facts.best is not None else ()),
        caption=f"Trials by {metric} on {chosen_on(facts.objective)}, all metrics in %",
        more=more,
    )


def _about_intervals(facts: Facts) -> str:
    cut = " “cut” marks trials that were stopped early."
    lacking = listed([f"trial {n}: {why}" for n, why in facts.measured.lacking.items()], 5)
    when = " While the study runs, none is measured anew." if facts.running else ""
    n = len(facts.measured.ranks)
    if n:
        without = f" Without one: {lacking}." if lacking else ""
        return (
            f"Intervals, of {plural(n, 'trial')}: the mean over all such users lies within, at "
            "95 % confidence (bootstrap over the validation users). They hold neither "
            "the luck of the seed nor that of being the best of many; `mmsr study finalize` "
            f"measures both.{without}{when}{cut}"
        )
    if not lacking:
        lacking = (
            "no trial has finished" if facts.best is None else "none was asked for, see --intervals"
        )
    return f"There are no intervals: {lacking}.{when}{cut}"


def interval_text(ends: tuple[float, float]) -> str:
    """An interval in percent.

    Parameters
    ----------
    ends : its ends, in [0, 1].
    """
    return f"{100 * ends[0]:.2f} – {100 * ends[1]:.2f}"


def _by_model(facts: Facts, models: tuple[str, ...]) -> Table:
    rows = []
    for one in model_standings(facts.rows, facts.known.definition.objectives, models):
        found = None if one.first is None else facts.interval(one.first.number)
        rows.append(
            (
                one.name,
                percent(one.best),
                "" if found is None else interval_text(found),
                "" if one.first is None else str(one.first.number),
                str(len(one.trials)),
                seconds(one.seconds),
                summary(one.trials, running=facts.running),
            )
        )
    columns = ("model", f"best {facts.metric}", "95 % interval", "of trial", "trials", "time")
    return Table(
        (*columns, "how they ended"),
        tuple(rows),
        words=frozenset({"model", "how they ended"}),
        bold=frozenset({0}),
        caption=f"Models by {facts.metric} on {chosen_on(facts.objective)}, in %",
    )


def _front(facts: Facts) -> Iterator[Block]:
    objectives = facts.known.definition.objectives
    finished = [row for row in facts.ranked if row.state == "finished"]
    yield front(finished, facts.front, objectives)
    rows = [
        (
            str(row.number),
            *(shown(name, row.metrics[name]) for name in objectives),
            settings_text(row.settings),
        )
        for row in facts.front
    ]
    front_table = Table(
        ("trial", *front_heads(objectives), "settings"),
        tuple(rows),
        words=frozenset({"settings"}),
        bold=frozenset({0}),
        caption=f"Pareto front: {len(rows)} of {plural(len(finished), 'finished trial')}, which no "
        "other trial beats in every objective",
    )
    where = f"{FRONT}, written when the study ends, in its folder and with its run,"
    yield front_table.cut(MOST_OF_FRONT, where)


def curves(facts: Facts) -> Section:
    """The learning curves."""
    known = [row for row in facts.ranked if facts.curves.get(row.number)]
    known += [row for row in facts.rows if row.state == "running" and facts.curves.get(row.number)]
    if not known:
        nothing = Text(
            "No epoch has been reported yet: `mmsr study status "
            f"{facts.name}` shows when trials have started."
        )
        return Section("curves", "Learning curves", (nothing,))
    told = f"{facts.metric} on {chosen_on(facts.objective)} after each epoch"
    more = f"; of {len(known)} trials, the best {MOST_CURVES}" if len(known) > MOST_CURVES else ""
    last = max(max(facts.curves[row.number]) for row in known[:_CURVES])
    step = -(-last // _EPOCHS)
    epochs = sorted({1, *range(step, last + 1, step), last})
    rows = tuple(
        (str(row.number), *(percent(facts.curves[row.number].get(epoch)) for epoch in epochs))
        for row in known[:_CURVES]
    )
    table = Table(
        ("trial", *(f"epoch {epoch}" for epoch in epochs)),
        rows,
        caption=f"The best trials' {facts.metric} in % by epoch",
        closed=True,
    )
    text = Text(f"{told}{more}. Dotted: stopped early, or running.")
    chart = learning_curves(known, facts.curves, facts.metric)
    return Section("curves", "Learning curves", (text, chart, table))


def progress(facts: Facts) -> Section:
    """The history of the search: each trial's score, and the best one so far."""
    title = "Optimisation history"
    scored = [row for row in facts.rows if row.value is not None and row.state in _OVER]
    if not scored:
        told = f"No trial has a score yet: `mmsr study status {facts.name}` shows their states."
        return Section("history", title, (Text(told),))
    best, rows = None, []
    for row in scored:
        if row.state == "finished" and row.value is not None and (best is None or row.value > best):
            best = row.value
            rows.append((str(row.number), percent(best), settings_text(row.settings)))
    table = Table(
        ("trial", f"{facts.metric}, %", "settings"),
        tuple(reversed(rows)),
        words=frozenset({"settings"}),
        caption="Trials that were the best so far, the newest first",
        closed=True,
    ).cut(MOST_ROWS, facts.all_states)
    last = f"; trial {rows[-1][0]} was the last that improved on all before it" if rows else ""
    text = Text(f"{plural(len(scored), 'trial')} with a score, in the order of their start{last}.")
    chart = history(scored, facts.metric)
    return Section("history", title, (text, chart, table) if rows else (text, chart))
