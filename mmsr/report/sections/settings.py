"""Sections on the settings: their importance, parallel coordinates, the map of codes and links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmsr.report.blocks import Block, Section, Table, Text
from mmsr.report.charts import bars, grid_map
from mmsr.report.facts import MOST_ROWS, Facts
from mmsr.report.importance import MOST_FOR_FANOVA, ROUGH, Importance
from mmsr.report.parallel import MOST_LINES, parallel_coordinates

CODES, LINKS = "graph.n_codes", "graph.links_per_item"


def importance(facts: Facts, found: Sequence[Importance]) -> Section:
    """Which settings mattered.

    Parameters
    ----------
    facts : the study.
    found : the importance of its settings.
    """
    return Section("importance", "Which settings mattered", tuple(_importance(facts, found)))


def _importance(facts: Facts, found: Sequence[Importance]) -> Iterator[Block]:
    if not any(one.ped_anova or one.fanova for one in found):
        judged = "; ".join(f"{one.subset}: {one.why}" for one in found)
        why = judged if facts.finished else "no trial has finished"
        yield Text(f"Importance is not known: {why}. More trials bring it.")
        return
    yield Text(
        "PED-ANOVA: which settings set the best trials apart from the others; a setting that only "
        "some trials have counts as far as they have it. fANOVA: how much of the variance of "
        f"{facts.metric} a setting explains by itself, among trials that have the same settings. "
        "Shares of all settings sum to 1; trials stopped early are left out."
    )
    for one in found:
        if one.why:
            yield Text(f"Among {one.subset}: not known, {one.why}.")
            continue
        rough = f" With fewer than {ROUGH} trials, they are rough." if one.n < ROUGH else ""
        good = f" PED-ANOVA: the best {one.good} against all." if one.ped_anova else ""
        many = one.fanova and one.n > MOST_FOR_FANOVA
        drawn = f" fANOVA: a random {MOST_FOR_FANOVA} of them." if many else ""
        yield Text(f"Among {one.subset}.{good}{drawn}{rough}")
        kinds = {"PED-ANOVA": one.ped_anova, "fANOVA": one.fanova}
        kinds = {kind: shares for kind, shares in kinds.items() if shares}
        if not kinds:
            yield Text("No setting makes a difference among them.")
            continue
        yield bars(kinds, f"importance among {one.subset}")
        names = dict.fromkeys(name for shares in kinds.values() for name in shares)
        rows = tuple(
            (name, *(f"{own[name]:.3f}" if name in own else "" for own in kinds.values()))
            for name in names
        )
        caption = f"Importance among {one.subset}"
        words = frozenset({"setting"})
        yield Table(("setting", *kinds), rows, words=words, caption=caption, closed=True)


def order_of(found: Sequence[Importance]) -> list[str]:
    """Settings by their importance, the most important first.

    Parameters
    ----------
    found : the importance of a study's settings.
    """
    best: dict[str, float] = {}
    for one in found:
        for name, share in (*one.ped_anova.items(), *one.fanova.items()):
            best[name] = max(best.get(name, 0.0), share)
    return sorted(best, key=lambda name: -best[name])


def parallel(facts: Facts, found: Sequence[Importance]) -> Section:
    """The trials as lines over their settings.

    Parameters
    ----------
    facts : the study.
    found : the importance of its settings, which orders the axes.
    """
    title, name = "Parallel coordinates", "parallel"
    scored = facts.ranked
    if not scored:
        text = "No trial has a score yet, so there is no line to draw; the study's run brings them."
        return Section(name, title, (Text(text),))
    chart = parallel_coordinates(scored, facts.metric, order_of(found))
    if chart is None:
        return Section(name, title, (Text("No setting differs between the trials."),))
    more = f" The best {MOST_LINES} of {len(scored)}." if len(scored) > MOST_LINES else ""
    text = (
        "Each line is a trial, from grey (worst) to orange (best, thick); the most important "
        "settings stand left. A line drops below an axis where the trial does not have the "
        f"setting. Dotted: stopped early.{more}"
    )
    return Section(name, title, (Text(text), chart))


def codes_map(facts: Facts) -> Section:
    """The best score for each number of codes and links per item."""
    title, name = "Codes × links", "codes"
    searched = {key.rpartition("/")[2] for key in facts.known.definition.space}
    if not {CODES, LINKS} & searched:
        text = (
            f"The study varies neither {CODES} nor {LINKS}: both in its space, as `graph.n_codes` "
            "and `graph.links_per_item`, bring this map."
        )
        return Section(name, title, (Text(text),))
    cells: dict[tuple[int, int], tuple[float, int]] = {}
    for row in facts.ranked:
        if row.state != "finished" or row.value is None or (config := row.config) is None:
            continue
        if config.model.modalities_as != "codes":
            continue  # its graph has no codes, whatever the defaults are
        flat = config.flat()
        codes, links = flat.get(CODES), flat.get(LINKS)
        if isinstance(codes, int) and isinstance(links, int):
            best, n = cells.get((codes, links), (0.0, 0))
            cells[codes, links] = max(best, row.value), n + 1
    if not cells:
        text = (
            "No trial that has one number of codes for all modalities has finished yet, so the map "
            "is empty; more trials bring it."
        )
        return Section(name, title, (Text(text),))
    rows = tuple(
        (str(codes), str(links), f"{100 * best:.3f}", str(n))
        for (codes, links), (best, n) in sorted(cells.items(), key=lambda cell: -cell[1][0])
    )
    metric = f"best {facts.metric}, %"
    table = Table(("codes", "links per item", metric, "trials"), rows, closed=True, caption="Cells")
    table = table.cut(MOST_ROWS, facts.all_scores)
    text = (
        "The best score of the finished trials with each pair, and their number n; empty cells "
        "were not tried, or all their trials were stopped early. The other settings differ between "
        "cells."
    )
    chart = grid_map(cells, "codes per modality", "links per item", facts.metric)
    return Section(name, title, (Text(text), chart, table))
