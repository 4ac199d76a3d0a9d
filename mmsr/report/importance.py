"""How much each setting mattered: Optuna's PED-ANOVA and fANOVA over the finished trials.

PED-ANOVA asks which settings set the best trials apart from all others; fANOVA, how much of the
variance of the score each setting explains. A setting that not all trials have is judged by fANOVA
among those that have it, and each model of a study of several is judged by itself.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial

from mmsr.format import plural
from mmsr.study.storage.attributes import key_of_parameter
from mmsr.study.storage.outside import model_of

LEAST = 4
"""Fewest finished trials that are judged."""
ROUGH = 30
"""With fewer finished trials than these, the figures are rough."""
MOST_FOR_FANOVA = 300
"""fANOVA looks at a random choice of so many trials: its time grows faster than their number."""
_GOOD_SHARE, _GOOD_TRIALS = 0.1, 5
"""PED-ANOVA looks at the best tenth, or at the best five trials if that is more (but at most at
half of them): with fewer, its figures are unstable."""


@dataclass(frozen=True)
class Importance:
    """Importance of settings among some trials; shares that sum to 1, largest first."""

    subset: str
    """Which trials, in words."""
    n: int
    """Number of these trials."""
    ped_anova: Mapping[str, float]
    """By config key; empty where it does not apply, see `why`."""
    fanova: Mapping[str, float]
    good: int = 0
    """Number of the best trials that PED-ANOVA looks at."""
    why: str = ""
    """Why there are no figures; empty where there are."""


def importances(trials: Sequence[FrozenTrial], models: Sequence[str]) -> list[Importance]:
    """Importance of a study's settings for its first objective, one entry for each subset.

    Parameters
    ----------
    trials : its finished trials.
    models : its models, if it has several.
    """
    if not models:
        return list(_of("all {} that finished", trials))
    found: list[Importance] = []
    for model in models:
        own = [trial for trial in trials if model_of(trial) == model]
        found += _of(f"the {{}} of {model} that finished", own)
    return found


def _of(what: str, trials: Sequence[FrozenTrial]) -> Iterator[Importance]:
    whole = what.format(plural(len(trials), "trial"))
    varied = [name for name in _names(trials) if len(_values(trials, name)) > 1]
    if len(trials) < LEAST:
        yield Importance(whole, len(trials), {}, {}, why=f"it takes at least {LEAST} trials")
        return
    if len({trial.values[0] for trial in trials}) == 1:
        yield Importance(whole, len(trials), {}, {}, why="all of them have the same score")
        return
    if not varied:
        yield Importance(whole, len(trials), {}, {}, why="no setting differs between them")
        return
    share = min(0.5, max(_GOOD_SHARE, _GOOD_TRIALS / len(trials)))
    ped = PedAnovaImportanceEvaluator(target_quantile=share)
    good = -int(-share * len(trials) // 1)
    apart, explained = _measured(ped, trials), _by_fanova(trials)
    why = "" if apart or explained else "no setting explains their scores"
    yield Importance(whole, len(trials), apart, explained, good=good, why=why)
    for keys, some in _conditional(trials, varied):
        named = " and ".join(key_of_parameter(key) for key in keys)
        words = (
            f"the {plural(len(some), 'trial')} that {'have' if len(some) > 1 else 'has'} {named}"
        )
        if len(some) < LEAST or len({trial.values[0] for trial in some}) == 1:
            yield Importance(
                words, len(some), {}, {}, why=f"it takes at least {LEAST} trials with unlike scores"
            )
        else:
            shares = _by_fanova(some)
            why = "" if shares else "no setting explains their scores"
            yield Importance(words, len(some), {}, shares, why=why)


def _conditional(
    trials: Sequence[FrozenTrial], names: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], list[FrozenTrial]]]:
    """Settings that only some trials have, those of the same trials together."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        having = tuple(i for i, trial in enumerate(trials) if name in trial.params)
        if len(having) < len(trials):
            groups.setdefault(having, []).append(name)
    for having, keys in groups.items():
        yield tuple(keys), [trials[i] for i in having]


def _names(trials: Sequence[FrozenTrial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.params))


def _values(trials: Sequence[FrozenTrial], name: str) -> set[str]:
    """The values of a setting, as texts; floats that differ by rounding alone are one."""
    found = (trial.params[name] for trial in trials if name in trial.params)
    return {f"{value:.12g}" if isinstance(value, float) else repr(value) for value in found}


def _by_fanova(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """The shares by fANOVA; empty where the scores of the trials drawn do not vary."""
    drawn = _drawn(trials)
    if len({trial.values[0] for trial in drawn}) == 1:
        return {}
    try:
        return _measured(FanovaImportanceEvaluator(seed=0), drawn)
    except RuntimeError:  # no tree splits them: the variance in all trees is zero
        return {}


def _drawn(trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    if len(trials) <= MOST_FOR_FANOVA:
        return trials
    return random.Random(0).sample(list(trials), MOST_FOR_FANOVA)


def _measured(
    evaluator: BaseImportanceEvaluator, trials: Sequence[FrozenTrial]
) -> dict[str, float]:
    """The shares by config key; empty where the evaluator finds no setting that differs."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.values[0]
            )
            for trial in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study, evaluator=evaluator)
    shares = {key_of_parameter(name): float(value) for name, value in found.items()}
    return shares if sum(shares.values()) > 0 else {}
