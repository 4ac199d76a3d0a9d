"""The search of table 2: one study over all models of its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmsr.data.held_out import check_test
from mmsr.errors import UserError
from mmsr.numbers import check_whole
from mmsr.reproduce.request import seeds_from
from mmsr.reproduce.tables import MODEL, PaperTable, Row, models_table
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.plan import Plan
from mmsr.study.search.share import SHARES

TRIALS = 20
"""Trials of each model, unless a call says how many."""
_SEEN = "training.seen"


@dataclass(frozen=True)
class SearchRequest:
    """The models to compare, and the study that searches them."""

    table: PaperTable
    rows: tuple[Row, ...]
    n_seeds: int
    plan: Plan
    study: Declaration
    """What the plan was made of."""
    options: Options

    def plan_of(self, models: Sequence[str]) -> Plan:
        """The plan of the same study with other models.

        Parameters
        ----------
        models : their names.
        """
        if self.plan.names == tuple(models):
            return self.plan
        return make_plan(dataclasses.replace(self.study, models=list(models)), self.options)


def make_search(
    dataset: str,
    *,
    rows: Sequence[str] | None = None,
    trials: int | None = None,
    equal: str = "trials",
    n_seeds: int = 3,
    resources: Mapping[str, float] | None = None,
    options: Options | None = None,
) -> SearchRequest:
    """Check everything that was asked for, and plan the search.

    Parameters
    ----------
    dataset : name of a prepared data set.
    rows : labels as the paper prints them; None takes all models that mmsr has.
    trials : trials of each model; None takes `TRIALS`. With equal hours, as many in all.
    equal : what each model gets the same of: `trials` or `hours`.
    n_seeds : refits of each model.
    resources : what each run gets, as in `mmsr.study.Study`.
    options : name, epochs, settings common to all models, and where to run.

    Raises
    ------
    UserError : the first thing that is wrong, or the data set has no test part; nothing was
        scheduled.
    """
    options = options or Options()
    table = models_table()
    chosen = table.choose(rows)
    if equal not in SHARES:
        raise UserError(f"--equal {equal!r}: choose one of {', '.join(SHARES)}")
    each = TRIALS if trials is None else trials
    check_whole("--trials ", each, 1)
    seeds_from(n_seeds, 0)
    if _SEEN in (options.settings or {}):
        raise UserError(f"--set {_SEEN}: the table has both, seen items kept and masked")
    study = Declaration(
        dataset=dataset,
        models=[row.settings[MODEL] for row in chosen],
        trials=each * len(chosen),
        share=equal,
        resources=resources or {"cpu": 1, "gpu": 0},
    )
    given = dataclasses.replace(options, name=options.name or f"{table.name}-{dataset}")
    plan = make_plan(study, given)
    check_test(plan.dataset)
    return SearchRequest(table, chosen, n_seeds, plan, study, given)
