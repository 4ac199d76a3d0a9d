"""TPE over the best and newest trials: as over all in a short study, bounded in a long one."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler

from mmsr.study.search import recent
from mmsr.study.search.recent import BestAndNewest

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def value_of(trial: optuna.Trial) -> float:
    return 1 - abs(trial.params["x"] - 0.3) - 0.1 * trial.params["y"]


def proposed(sampler: optuna.samplers.BaseSampler, trials: int) -> list[dict]:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, value_of(trial))
    return [trial.params for trial in study.trials]


def tpe() -> TPESampler:
    return TPESampler(multivariate=True, constant_liar=True, n_startup_trials=4, seed=1)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(recent, "BEST", 3)
    monkeypatch.setattr(recent, "NEWEST", 12)


def test_nothing_changes_in_a_short_study():
    assert proposed(BestAndNewest(tpe()), 13) == proposed(tpe(), 13)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_are_never_forgotten(direction):
    seen = []

    class Looking(TPESampler):
        def sample_relative(self, study, trial, search_space):
            seen.append(study._get_trials(deepcopy=False))
            return super().sample_relative(study, trial, search_space)

    sampler = BestAndNewest(Looking(multivariate=True, n_startup_trials=4, seed=1))
    study = optuna.create_study(direction=direction, sampler=sampler)
    for number in range(30):
        study.tell(study.ask(SPACE), float(number if direction == "minimize" else -number))
    study.ask(SPACE)
    assert [trial.number for trial in seen[-1]] == [0, 1, 2, *range(19, 31)]
