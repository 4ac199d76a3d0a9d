"""Reproducing table 2: the search, then the refits and the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from mmsr.console import Console
from mmsr.reproduce.kept import check_writable, paths_of
from mmsr.reproduce.models.finals import make_finals
from mmsr.reproduce.models.search import SearchRequest
from mmsr.reproduce.results import Results
from mmsr.reproduce.run import reproduce
from mmsr.study.driver.exit_codes import FAILED, OK
from mmsr.study.driver.reporting import Reporting
from mmsr.study.driver.run import run_plan
from mmsr.study.planning.existing import check_existing
from mmsr.study.planning.plan import Plan
from mmsr.study.storage import database
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.outside import model_of
from mmsr.study.storage.progress import counted
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.ending import show_failures
from mmsr.study.views.tables import by_model


def _show_search(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Show the failures and the best of each model; test is opened by what follows."""
    show_failures(plan, found, console)
    console.print(by_model(found, plan.objective, plan.names or ()))


def failed_settings(plan: Plan) -> Sequence[Mapping[str, Any]] | None:
    """Settings of the models whose trials all failed in earlier calls: they are retried.

    Parameters
    ----------
    plan : the search.

    Returns
    -------
    The settings as Optuna stores them; None if there are none.
    """
    study = check_existing(plan, database.open_storage(plan.storage))
    if study is None:
        return None
    states: dict[str, set[TrialState]] = {}
    for trial in counted(study):
        states.setdefault(str(model_of(trial)), set()).add(trial.state)
    hopeless = [name for name in plan.names or () if states.get(name) == {TrialState.FAIL}]
    found = [trial.params for trial in counted(study) if model_of(trial) in hopeless]
    return found or None


def reproduce_models(
    search: SearchRequest, console: Console, device: str = "auto"
) -> tuple[int, Results | None, tuple[Path, ...]]:
    """Search the models, refit each one's best, rank test row by row, and write the files.

    Rows that the files have with enough seeds are done: nothing is run for them.

    Parameters
    ----------
    search : what to search.
    console : where to show progress.
    device : device on which the models rank test.

    Returns
    -------
    The exit code, the results so far (None if the search was interrupted), and the files' paths.

    Raises
    ------
    UserError : as `mmsr.reproduce.run.reproduce`; or no trial of the search has finished.
    """
    check_writable(search.folder)
    if not search.unfinished:
        done = f"study {search.plan.name}: nothing to do, the files have all rows and seeds"
        console.print(done, soft_wrap=True)
        return OK, search.kept.results, paths_of(search.kept.path)
    if search.searches:
        retried = failed_settings(search.plan)
        searched = run_plan(search.plan, Reporting(show_end=_show_search), retried=retried)
        known = look_up(search.plan.name, search.plan.storage, search.plan.tracking)
        if not search.plan.progress(known.study).is_over:
            return searched or FAILED, None, ()
    request = make_finals(search)
    code, results, paths = reproduce(request, console, search.folder, device)
    return FAILED if code == OK and request.lacking else code, results, paths
