"""Sections on the run itself: failures, cost, and how to replay it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmsr.format import listed, plural, seconds, short
from mmsr.report.blocks import Block, Code, Section, Table, Text
from mmsr.report.facts import MOST_ROWS, Facts
from mmsr.study.results.finalized import SeedFigures
from mmsr.study.storage.definition import NOT_RECORDED
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.ending import grouped
from mmsr.study.views.energy import energy_in_words, kwh_of, unmeasured
from mmsr.study.views.tables import WORDS
from mmsr.tracking.databases import recorded
from mmsr.tracking.energy import ABOUT


def failures(facts: Facts) -> Section:
    """The trials that failed, by error."""
    groups = list(grouped(facts.rows))
    if not groups:
        begun = any(row.state != "waiting" for row in facts.rows)
        text = "No trial has failed." if begun else "No trial has run yet."
        return Section("failures", "Failures", (Text(text),))
    rows = tuple(
        (group.kind, str(len(group.numbers)), listed(group.numbers), group.error)
        for group in groups
    )
    table = Table(
        ("kind", "trials", "numbers", "error of the first"),
        rows,
        words=frozenset({"kind", "numbers", "error of the first"}),
    ).cut(MOST_ROWS, facts.all_states)
    n = sum(len(group.numbers) for group in groups)
    where = (
        f"{plural(n, 'trial')} of {len(facts.rows)} failed; {facts.all_states} names all. The "
        "whole tracebacks are artifacts of their runs in MLflow, and files in the study's folder, "
        "under failures."
    )
    return Section("failures", "Failures", (Text(where), table))


def cost(facts: Facts) -> Section:
    """The hours that the study took."""
    return Section("cost", "Cost", tuple(_cost(facts)))


def _cost(facts: Facts) -> Iterator[Block]:
    timed = [row for row in facts.rows if row.seconds]
    if not timed and not facts.spent:
        yield Text("Nothing has run yet, so nothing was spent; the study's run brings the hours.")
        return
    rows: list[tuple[str, str]] = []
    spent = facts.spent
    if spent.get("hours"):
        rows.append(("wall clock, all runs of the study", _hours(spent["hours"])))
    if timed:
        rows.append(("training, all trials", _hours(_sum(timed) / 3600)))
    for state in ("finished", "pruned", "failed"):
        if own := [row for row in timed if row.state == state]:
            n = plural(len(own), "trial")
            rows.append((f"of that, in {n} {WORDS.get(state, state)}", _hours(_sum(own) / 3600)))
    for model in facts.known.definition.models:
        own = [row for row in timed if row.model == model]
        rows.append((f"of that, {model}", _hours(_sum(own) / 3600)))
    for kind, name in (("cpu_hours", "CPU-hours"), ("gpu_hours", "GPU-hours")):
        if kind in spent:
            rows.append((name, short(spent[kind])))
    if (finals := _finals(facts)) > 0:
        rows.append(("refits for test, and runs with other seeds", _hours(finals / 3600)))
    resources = (facts.record.resources if facts.record else None) or {}
    each = ", ".join(f"{amount:g} {kind.upper()}" for kind, amount in resources.items() if amount)
    if each:
        rows.append(("each trial gets", each))
    energy = energy_in_words(facts.rows) or {"energy": "not measured (extra `energy`)"}
    rows += energy.items()
    words = frozenset({"what"})
    yield Table(("what", "how much"), tuple(rows), words=words)
    if kwh_of(facts.rows) is not None:
        yield Text(ABOUT)
    if lacking := unmeasured(facts.rows):
        yield Text(f"{lacking[0].upper()}{lacking[1:]}.")


def _finals(facts: Facts) -> float:
    result = facts.final.result
    runs: Sequence[SeedFigures] = (
        [one for config in result.configs for one in (*config.seeds, *config.reseeded)]
        if result is not None
        else ()
    )
    return sum(one.seconds or 0.0 for one in runs)


def _sum(rows: Sequence[TrialRow]) -> float:
    return sum(row.seconds or 0.0 for row in rows)


def _hours(hours: float) -> str:
    return f"{seconds(3600 * hours)} ({short(hours)} h)" if hours >= 0.1 else seconds(3600 * hours)


def replay(facts: Facts) -> Section:
    """The commands that resume the study, and that train its best config again."""
    name, record, definition = facts.name, facts.record, facts.known.definition
    blocks: list[Block] = []
    if record is not None:
        where = f" in the folder {Path(record.directory).name}" if record.directory else ""
        again = "repeats the study under another --name" if facts.progress.is_over else "resumes it"
        blocks += [Text(f"The study was run by this command{where}; it {again}:")]
        blocks += [Code(record.command)]
    if facts.best is not None and not definition.test_selected:
        blocks += [
            Text("The best config as a file, and one training with it:"),
            Code(f"mmsr best-config export {name} -o best.yaml\nmmsr train --config best.yaml"),
        ]
    code = facts.best.code if facts.best is not None else {}
    rows = {
        "data set": f"{definition.dataset} ({definition.protocol})",
        "content of the data set": definition.dataset_hash,
        "objectives": ", ".join(definition.objectives),
        "pruner": definition.pruner,
        "trainer": definition.trainer or NOT_RECORDED,
        "storage": recorded(facts.known.storage),
        "tracking": recorded(facts.known.tracking),
        **{f"code of the best trial: {what}": version for what, version in code.items()},
    }
    words = frozenset({"what", "value"})
    space = Table(
        ("setting", "searched"),
        tuple(definition.space.items()),
        words=frozenset({"setting", "searched"}),
        caption=f"The search space: {plural(len(definition.space), 'setting')}",
        closed=True,
    )
    fixed = Table(
        ("setting", "value"),
        tuple((key, str(value)) for key, value in definition.config.items()),
        words=frozenset({"setting", "value"}),
        caption=f"What all trials share: {plural(len(definition.config), 'setting')}",
        closed=True,
    )
    blocks += [Table(("what", "value"), tuple(rows.items()), words=words), space, fixed]
    return Section("replay", "How to replay it", tuple(blocks))
