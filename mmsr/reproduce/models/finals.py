"""The refits of table 2: each model's best trial, with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.finalize.request import DEVELOPMENT, FinalFolder, FinalPlan, make_final_plan
from mmsr.reproduce.models.search import SearchRequest
from mmsr.reproduce.models.seen_items import read_lines
from mmsr.reproduce.request import Chosen, Request
from mmsr.reproduce.results import SearchFigures
from mmsr.reproduce.tables import MODEL, OWN_MODEL, Row
from mmsr.study.planning.plan import Plan
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import TrialRow, ranked, rows
from mmsr.study.views.dry_run import describe_size

if TYPE_CHECKING:
    from mmsr.study.driver.reporting import Reporting
    from mmsr.study.storage.folder import StudyFolder


@dataclass(frozen=True)
class ModelsRequest(Request):
    """The refits of each row's best trial, which rank test."""

    weights: ClassVar[str | None] = "best.safetensors"
    seen_too: ClassVar[bool] = True

    search: Plan
    """The plan of the study that chose them."""
    found: Mapping[str, SearchFigures]
    """What the search of each row took, by label."""

    @property
    def finals(self) -> FinalPlan:
        """The plan of the refits."""
        if not isinstance(self.plan, FinalPlan):  # never so: `make_finals` gives one
            raise TypeError("the plan of a ModelsRequest is a FinalPlan")
        return self.plan

    @property
    def label(self) -> str:
        """How rows were chosen, as results state it: no other table has such runs."""
        return "search on validation"

    @property
    def name(self) -> str:
        """Name of the table's files: that of the study that searched the models."""
        return self.search.name

    @property
    def folder(self) -> StudyFolder:
        """Folder of the files, if no other one is given: that of the study."""
        return self.search.folder

    @property
    def base(self) -> Config:
        """What all models were searched with."""
        return self.search.base

    @property
    def best_baseline(self) -> str | None:
        """The row that was best on validation but for the paper's own model."""
        others = {label: one.value for label, one in self.found.items() if label != OWN_MODEL}
        return max(others, key=lambda label: others[label], default=None)

    def config_of(self, row: Row) -> Config:
        """The config of the row's best trial."""
        return self.finals.of_trial(row.settings["trial"]).config

    def chosen(self, trial: TrialRow) -> Chosen:
        """How the epochs of a refit were chosen: by the trial that it refits."""
        one = self.finals.of_trial(trial.settings["trial"])
        metrics = {k: v for k, v in one.row.metrics.items() if k.startswith("valid/")}
        return Chosen(one.epochs, one.row.epochs, metrics)

    def search_of(self, row: Row) -> SearchFigures | None:
        """What the search of a row took."""
        return self.found[row.label]

    def about(self) -> dict[str, Any]:
        """How the search was shared out, and the reference models' figures on test."""
        return {
            "best_baseline": self.best_baseline,
            "share": str(self.search.share),
            "objective": self.search.objective,
            "lines": read_lines(self.plan.folder),
        }

    def reporting(self) -> Reporting:
        """How the runs are presented: as those of finalized studies."""
        from mmsr.finalize.reporting import FinalsReporter
        from mmsr.study.driver.reporting import Reporting

        return Reporting(
            metric=self.search.objective,
            reporter=lambda _, study, tracker: FinalsReporter(self.finals, tracker, closing=True),
        )


def make_finals(search: SearchRequest) -> ModelsRequest:
    """Choose each model's best trial, and plan the refits; rows of earlier calls stay in the table.

    Parameters
    ----------
    search : the search, which is done.

    Raises
    ------
    UserError : none of the models has a finished trial.
    """
    plan = search.plan
    known = look_up(plan.name, plan.storage, plan.tracking)
    found = rows(known.study)
    best = {}
    for row in search.table.rows:
        own = [one for one in ranked(found) if one.model == row.settings[MODEL]]
        if own and own[0].state == "finished":
            best[row.label] = own[0]
    if not any(row.label in best for row in search.rows):
        raise UserError(f"study {plan.name!r}: no trial has finished, so there is nothing to refit")
    finals = make_final_plan(
        known,
        trials=[one.number for one in best.values()],
        n_seeds=search.n_seeds,
        optimism=False,
        resources={"cpu": plan.resources.cpu, "gpu": plan.resources.gpu},
        address=plan.address,
        force=True,
    )
    table = search.table.name
    finals = dataclasses.replace(
        finals, name=f"{finals.name}-{table}", folder=FinalFolder(known.folder, table)
    )
    table_rows = tuple(
        Row(label, {"trial": one.number, "part": DEVELOPMENT}) for label, one in best.items()
    )
    asked = {row.label for row in search.rows}
    names = [row.settings[MODEL] for row in search.table.rows if row.label in best]
    return ModelsRequest(
        table=dataclasses.replace(search.table, rows=table_rows),
        rows=tuple(row for row in table_rows if row.label in asked),
        seeds=finals.seeds,
        select_on="valid",
        plan=finals,
        search=plan,
        found=dict(zip(best, _figures(search.plan_of(names), found, best.values()), strict=True)),
    )


def _figures(
    plan: Plan, found: Sequence[TrialRow], best: Iterable[TrialRow]
) -> list[SearchFigures]:
    """What the search of each model took, in the order of the best trials."""
    contenders = {one.model: one for one in plan.contenders}
    figures = []
    for top in best:
        own = [row for row in found if row.model == top.model]
        figures.append(
            SearchFigures(
                model=str(top.model),
                trials=len(own),
                finished=sum(row.state == "finished" for row in own),
                epochs=sum(row.epochs for row in own),
                seconds=sum(row.seconds or 0.0 for row in own),
                space=describe_size(contenders[top.model].space),
                known=min(len(contenders[top.model].known), len(own)),
                trial=top.number,
                value=top.value or 0.0,
            )
        )
    return figures
