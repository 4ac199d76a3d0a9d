"""Made-up searches and refits of table 2, without Ray, in one home or another."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmsr.reproduce.collect import finished_run, make_results, trials_of
from mmsr.reproduce.kept import runs_so_far
from mmsr.reproduce.models.finals import make_finals
from mmsr.reproduce.models.search import make_search
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.results.held_out import Opening
from mmsr.study.storage.database import open_storage
from mmsr.study.storage.progress import add_missing
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report

USERS = np.repeat(np.arange(60), 2).astype(np.int32)
VALUES = {"gru4rec": 0.1, "sasrec": 0.3, "nova": 0.2, "mmsr": 0.25}
FACTORS = {"GRU4Rec": 3.0, "SASRec": 1.0, "NOVA": 1.1, "MMSR": 0.3}
OPENED = [Opening(at="2026-01-01", trials=(0,))]
SETTINGS = {"training.batch_size": 32, "graph.n_codes": 6, "graph.links_per_item": 2}


def ranks_of(seed, factor):
    """Ranks from 1 to 60; a factor above 1 makes them worse."""
    base = np.random.default_rng(seed).integers(1, 40, size=len(USERS))
    return np.clip((base * factor).round(), 1, None).astype(np.int32)


@pytest.fixture
def searched(study_home):
    """A finished search; all trials of the models in `failing` have failed."""

    def make(labels=tuple(FACTORS), trials=2, failing=(), n_seeds=3, output=None, **options):
        given = Options(**{"epochs": 4, "settings": SETTINGS, **options})
        search = make_search(
            "shop", rows=labels, trials=trials, n_seeds=n_seeds, options=given, output=output
        )
        plan = search.plan
        if not search.searches:
            return search
        plan.folder.path.mkdir(parents=True, exist_ok=True)
        study = open_study_of(plan, open_storage(plan.storage))
        ledger = Ledger(study, plan.rules(), plan.folder.ray)
        left = plan.trials - plan.progress(study).over
        for number in range(left):
            name = ledger.ask("r").config.model.name
            if name in failing:
                ledger.fail("r", Failure(error=f"out of memory in trial {number}", traceback=""))
                continue
            metrics = {plan.objective: VALUES[name] - number / 1000}
            found = Report(
                epoch=4,
                metrics=metrics,
                best_epoch=2,
                best_metrics=metrics,
                finished=True,
                seconds=60.0,
            )
            ledger.report("r", found)
        return search

    return make


@pytest.fixture
def table_of(searched):
    """The results of a search whose refits rank test as `FACTORS` says."""

    def make(**options):
        search = searched(**options)
        request = make_finals(search)
        plan = request.without(runs_so_far(request, search.folder)[0]).plan
        (plan.folder.path / "tested").mkdir(parents=True, exist_ok=True)
        study = open_study_of(plan, open_storage(plan.storage))
        add_missing(study, plan.only)
        ledger = Ledger(study, plan.rules(), plan.folder.ray)
        for _ in range(plan.trials):
            proposal = ledger.ask("r")
            label = next(
                row.label
                for row in request.rows
                if row.settings["trial"] == proposal.settings["trial"]
            )
            seed = proposal.settings["seed"]
            assert proposal.config.seed == seed
            metrics = {plan.objective: 1.0}
            found = Report(
                epoch=2, metrics=metrics, best_epoch=2, best_metrics=metrics, finished=True
            )
            ledger.report("r", found)
            number = proposal.number
            for kind, factor in (("trial", 1.0), ("masked", 0.5)):
                ranks = ranks_of(seed, FACTORS[label] * factor)
                file = plan.folder.path / "tested" / f"{kind}-{number:05d}.safetensors"
                save_file({"ranks": ranks, "users": USERS}, file)
        known = plan.as_known(study)
        own = {
            key: finished_run(request, known, trial)
            for key, trial in trials_of(request, rows(known.study)).items()
        }
        runs = {**own, **runs_so_far(request, search.folder)[0]}
        return SimpleNamespace(
            request=request, runs=runs, results=make_results(request, runs, [], OPENED)
        )

    return make


@pytest.fixture
def made_up():
    """What the trials and ranks are made of."""
    return SimpleNamespace(
        values=VALUES, factors=FACTORS, opened=OPENED, settings=SETTINGS, ranks_of=ranks_of
    )


@pytest.fixture
def elsewhere(study_home, monkeypatch, tmp_path):
    """Go to a new home that has the data sets, and nothing else; called again, to another."""
    homes = []

    def go():
        home = tmp_path / f"home{len(homes)}"
        for part in ("datasets", "held-out"):
            shutil.copytree(study_home / part, home / part)
        homes.append(home)
        monkeypatch.setenv("MMSR_HOME", str(home))
        return home

    return go
