"""The answers that a report begins with: what to ship, what mattered, what modalities bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmsr.format import plural
from mmsr.report.facts import Facts, Worth
from mmsr.report.importance import ROUGH, Importance
from mmsr.study.results.finalized import ConfigFigures
from mmsr.study.results.references import ReferenceLine
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.ending import recommend_command
from mmsr.study.views.standings import chosen_on
from mmsr.study.views.tables import settings_text

MOST = 3
"""Settings that are named."""
LEAST = 0.005
"""Least importance of a setting that is named: less is shown as 0.00."""


def to_ship(facts: Facts) -> Iterator[str]:
    """Which model to use, and why; and the commands that recommend with it.

    Parameters
    ----------
    facts : the study.
    """
    best = facts.best
    if best is None or best.value is None or facts.known.definition.test_selected:
        return
    line = best_line(facts)
    if line is not None and _value(line, facts) >= best.value:
        yield (
            f"Ship none of these models yet: the reference line {line.label}, which needs no "
            f"search, is as good as the best of them in {facts.metric} or better."
        )
        return
    result = facts.final.result
    refit = None if result is None else result.refit
    yield _refit_to_ship(facts, refit) if refit is not None else _trial_to_ship(facts, best)
    if not facts.known.definition.has_own_trainer and best.config is not None:
        command = recommend_command(facts.name, best.number, best.config, result)
        yield f"Recommend with it: `{command}`."


def best_line(facts: Facts) -> ReferenceLine | None:
    """The best reference line by the first objective; None where none was measured.

    Parameters
    ----------
    facts : the study.
    """
    lines = [one for one in facts.lines if one.metrics is not None and facts.metric in one.metrics]
    return max(lines, key=lambda line: _value(line, facts), default=None)


def _value(line: ReferenceLine, facts: Facts) -> float:
    return (line.metrics or {})[facts.metric]


def _refit_to_ship(facts: Facts, refit: ConfigFigures) -> str:
    best, values = facts.best, {row.number: row.value for row in facts.rows}
    better = (
        f" Trial {best.number} is better on validation; the newest finalization does not have it."
        if best is not None and best.value != values.get(refit.trial)
        else ""
    )
    return (
        f"Ship the refit of trial {refit.trial}: the study was finalized with it, and the refit "
        f"has learnt from train + validation.{better}"
    )


def _trial_to_ship(facts: Facts, best: TrialRow) -> str:
    n = sum(row.state == "finished" for row in facts.rows)
    why = (
        f"it has the best {facts.metric} of {plural(n, 'finished trial')} on "
        f"{chosen_on(facts.objective)}"
    )
    if facts.front:
        why += " (the first objective; others of the Pareto front weigh the objectives otherwise)"
    if facts.running or not facts.progress.is_over:
        return f"So far, ship trial {best.number}: {why}; the study has trials left to run."
    finalizing = (
        f" `mmsr study finalize {facts.name}` trains its config on validation, too, and gives test "
        "figures; then ship that refit."
        if not facts.known.definition.has_own_trainer
        else ""
    )
    return f"Ship trial {best.number}: {why}.{finalizing}"


def what_mattered(facts: Facts, found: Sequence[Importance]) -> Iterator[str]:
    """The settings that mattered most, a sentence for each group of trials.

    Parameters
    ----------
    facts : the study.
    found : the importance of its settings.
    """
    # In a study of several models, the best trial has the settings of its own model alone.
    best = None if facts.known.definition.models else facts.best
    for one in found:
        shares = (one.ped_anova or one.fanova).items()
        top = [(key, share) for key, share in shares if share >= LEAST][:MOST]
        if not top:
            continue
        settings = f"{len(top)} settings" if len(top) > 1 else "setting"
        rough = ", roughly" if one.n < ROUGH else ""
        named = "; ".join(_named(key, share, best) for key, share in top)
        yield f"The {settings} that mattered most{rough}, among {one.subset}: {named}."


def _named(key: str, share: float, best: TrialRow | None) -> str:
    value = ""
    if best is not None and key in best.settings:
        value = f"; trial {best.number} has {settings_text({'': best.settings[key]}).strip()}"
    return f"{key} (importance {share:.2f}{value})"


def what_modalities_bring(worth: Worth) -> Iterator[str]:
    """How far the score falls where a modality says nothing, a sentence for each.

    Parameters
    ----------
    worth : knock-outs of a model, on validation.
    """
    found = worth.knockouts
    metric, clean = found.metric, f"{100 * found.clean[found.metric]:.3f} %"
    shuffled = [(name, found.of("shuffled", name)) for name in found.modalities]
    for modality, one in shuffled:
        if one is None:
            continue
        falls = "falls" if one.low > 0 else "is not shown to fall: it goes"
        changed, shares = "lost", (one.cost, one.low, one.high)
        if one.cost < 0:
            changed, shares = "gained", (-one.cost, -one.high, -one.low)
        share, low, high = (100 * end for end in shares)
        yield (
            f"Without what {modality} says, {metric} of trial {worth.trial} on validation {falls} "
            f"from {clean} to {100 * one.metrics[metric]:.3f} %; {share:.1f} % of it is "
            f"{changed} (95 % interval {low:.1f} … {high:.1f} %)."
        )
    if any(one is not None for _, one in shuffled):
        yield (
            "For that, items were given the codes of other items. The model was not trained again: "
            "one that is trained without may do better."
        )
