"""The search of table 2: one study over all models of its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsr.data.held_out import check_test
from mmsr.errors import UserError
from mmsr.numbers import check_whole
from mmsr.reproduce.models.files import (
    KeptTable,
    check_rows,
    check_same_call,
    common_settings,
    read_table,
)
from mmsr.reproduce.tables import MODEL, PaperTable, Row, models_table, seeds_from
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
    """The search of the rows that have to be searched; of all rows if none has to."""
    trials: int
    """Trials of each model."""
    given: Mapping[str, Any]
    """What was set for all models, by dotted key."""
    kept: KeptTable
    """What the files of the table hold."""

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return self.kept.path.parent

    @property
    def unfinished(self) -> tuple[Row, ...]:
        """The rows that do not have all their seeds in the files."""
        return tuple(row for row in self.rows if not self.kept.has_enough(row.label, self.n_seeds))

    @property
    def searches(self) -> bool:
        """Whether any row has to be searched: those that have ranked test are not."""
        return any(row.label not in self.kept.tested for row in self.rows)


def make_search(
    dataset: str,
    *,
    rows: Sequence[str] | None = None,
    trials: int | None = None,
    equal: str = "trials",
    n_seeds: int = 3,
    resources: Mapping[str, float] | None = None,
    options: Options | None = None,
    output: Path | None = None,
) -> SearchRequest:
    """Check everything that was asked for, and plan the search of the rows that need one.

    Rows that have ranked test stand in the table's files, and are not searched again.

    Parameters
    ----------
    dataset : name of a prepared data set.
    rows : labels as the paper prints them; None takes all models that mmsr has.
    trials : trials of each model; None takes `TRIALS`. With equal hours, as many in all.
    equal : what each model gets the same of: `trials` or `hours`.
    n_seeds : refits of each model.
    resources : what each run gets, as in `mmsr.study.Study`.
    options : name, epochs, settings common to all models, and where to run.
    output : folder of the files; None takes the study's folder.

    Raises
    ------
    UserError : the first thing that is wrong, the data set has no test part, or the files cannot
        be gone on from as asked; nothing was scheduled.
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
    named = dataclasses.replace(options, name=options.name or f"{table.name}-{dataset}")

    def plan_of(rows: Sequence[Row]) -> Plan:
        study = Declaration(
            dataset=dataset,
            models=[row.settings[MODEL] for row in rows],
            trials=each * len(rows),
            share=equal,
            resources=resources or {"cpu": 1, "gpu": 0},
        )
        return make_plan(study, named)

    plan = plan_of(chosen)
    check_test(plan.dataset)
    given = common_settings(plan, options.settings or {})
    hours = equal == "hours"
    kept = read_table(output or plan.folder.path, plan.name)
    check_same_call(kept, plan, {row.label for row in chosen}, given)
    check_rows(kept, plan, chosen, each, n_seeds, hours=hours)
    new = [row for row in chosen if row.label not in kept.tested]
    if 0 < len(new) < len(chosen) and not hours:
        plan = plan_of(new)
    return SearchRequest(table, chosen, n_seeds, plan, each, given, kept)
