"""The report of a study: its sections, below the answer in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mmsr import __version__
from mmsr.errors import UserError
from mmsr.format import listed, plural
from mmsr.provenance import now
from mmsr.report import answers
from mmsr.report.blocks import Block, Page, Points, Table, Text
from mmsr.report.facts import Facts
from mmsr.report.importance import Importance, importances
from mmsr.report.sections import models, running, scores, settings
from mmsr.report.sendable import labelled, without_paths
from mmsr.study.search.objectives import in_words
from mmsr.study.storage.definition import TEST_SELECTED
from mmsr.study.views.standings import chosen_on
from mmsr.study.views.tables import settings_text, summary

_WITHOUT_FIGURES = frozenset({"failures", "cost", "replay"})
"""Sections without figures of models."""


def page_of(facts: Facts, notice: Callable[[str], None] = lambda message: None) -> Page:
    """The report of a study.

    Parameters
    ----------
    facts : the study.
    notice : called with messages for the user.
    """
    notice("importance of the settings")
    definition = facts.known.definition
    found = importances(facts.finished, definition.models)
    page = Page(
        title=f"Study {facts.name}",
        lead=tuple(_lead(facts, found)),
        sections=(
            scores.leaderboard(facts),
            settings.importance(facts, found),
            models.modalities(facts),
            scores.curves(facts),
            scores.progress(facts),
            settings.parallel(facts, found),
            settings.codes_map(facts),
            models.robustness(facts),
            models.finals(facts),
            running.failures(facts),
            running.cost(facts),
            running.replay(facts),
        ),
        foot=f"Made {now()} by mmsr {__version__} with `mmsr study report {facts.name}`.",
    )
    if definition.test_selected:
        page = labelled(page, TEST_SELECTED.upper(), _WITHOUT_FIGURES)
    return without_paths(page)


def _lead(facts: Facts, found: Sequence[Importance]) -> Iterator[Block]:
    definition, progress = facts.known.definition, facts.progress
    several = f" of {plural(len(definition.models), 'model')}" if definition.models else ""
    size = f"{plural(len(definition.space), 'setting')}{several}"
    yield Text(
        f"A search over {size} on data set {definition.dataset} ({definition.protocol} split), "
        f"{in_words(definition.objectives)}. The study is {facts.state}: {progress.over} of "
        f"{progress.wanted} trials done ({summary(facts.rows, running=facts.running)})."
        + (f" {progress.used_up[:1].upper()}{progress.used_up[1:]}." if progress.used_up else "")
    )
    if definition.test_selected:
        yield Text(
            "TEST-SELECTED: the epochs of these trials were chosen on test, as the paper's authors "
            "did, so no figure here is an honest one."
        )
    best = facts.best
    if best is None:
        yield Text(
            "No trial has finished, so there is no best config yet; "
            f"`mmsr study status {facts.name}` shows the trials' states."
        )
        return
    yield Points((*answers.to_ship(facts), *_answers(facts, found)))
    yield _best_settings(facts)


def _answers(facts: Facts, found: Sequence[Importance]) -> Iterator[str]:
    best = facts.best
    if best is None or best.value is None:
        return
    which = f"trial {best.number}" + (f", model {best.model}" if best.model else "")
    interval = facts.interval(best.number)
    within = "" if interval is None else f" (95 % interval {scores.interval_text(interval)} %)"
    first = " in the first objective" if facts.front else ""
    yield (
        f"Best config{first}: {which}, {facts.metric} {100 * best.value:.3f} %{within} on "
        f"{chosen_on(facts.objective)}, at epoch {best.best_epoch} of {best.epochs}."
    )
    yield from _against_lines(facts, best.value)
    yield from _against_second(facts)
    yield from answers.what_mattered(facts, found)
    if facts.worth is not None:
        yield from answers.what_modalities_bring(facts.worth)
    result = facts.final.result
    if result is not None and f"test/{facts.metric}" in result.best.mean:
        value = 100 * result.best.mean[f"test/{facts.metric}"]
        yield (
            f"TEST, trial {result.best.trial} refitted with {plural(len(result.seeds), 'seed')}: "
            f"{facts.metric} {value:.3f} %."
        )


def _against_lines(facts: Facts, value: float) -> Iterator[str]:
    line = answers.best_line(facts)
    if line is None or line.metrics is None:
        return
    points = 100 * (value - line.metrics[facts.metric])
    more = "above" if points > 0 else "below"
    yield (
        f"That is {abs(points):.3f} points {more} the best reference line, {line.label} "
        f"({100 * line.metrics[facts.metric]:.3f} %)."
    )


def _against_second(facts: Facts) -> Iterator[str]:
    """Which of the trials behind it the best one is shown to beat, paired over users."""
    from mmsr.evaluation import contributions
    from mmsr.evaluation.significance import per_user_means
    from mmsr.study.results.comparison import compare

    best = facts.best
    ranks = facts.measured.ranks
    if best is None or best.number not in ranks or len(ranks) < 2:
        return
    of = {
        number: per_user_means(contributions(one.ranks)[facts.metric], one.users)
        for number, one in ranks.items()
    }
    others = [number for number in of if number != best.number]
    found = compare([(of[best.number], of[number]) for number in others])
    how = "Wilcoxon's test paired over users" + (", Holm's correction" if len(others) > 1 else "")
    beaten = [
        n for n, one in zip(others, found, strict=True) if one.significant and one.difference > 0
    ]
    alike = [number for number in others if number not in beaten]
    if beaten:
        yield (
            f"Better than {_trials(beaten)} on validation ({how}), with these seeds; all of them "
            "were chosen on these targets, so only test is an honest comparison."
        )
    if alike:
        yield f"Not shown to be better than {_trials(alike)} ({how})."


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _best_settings(facts: Facts) -> Block:
    best = facts.best
    if best is None:
        raise UserError("no trial has finished")
    if not best.settings:
        return Text(f"Settings of trial {best.number}: none was searched.")
    return Table(
        ("setting", "value"),
        tuple((key, settings_text({"": value}).strip()) for key, value in best.settings.items()),
        words=frozenset({"setting", "value"}),
        caption=f"The best config: trial {best.number}",
    )
