"""The refits of table 2: each model's best trial, with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.finalize.request import DEVELOPMENT, FinalPlan, make_final_plan
from mmsr.reproduce.models.files import SELECTION
from mmsr.reproduce.models.search import SearchRequest
from mmsr.reproduce.models.seen_items import read_lines
from mmsr.reproduce.request import Chosen, Request
from mmsr.reproduce.results import LineFigures, Results, RowFigures, SearchFigures
from mmsr.reproduce.row_configs import flat, stored_config
from mmsr.reproduce.tables import MODEL, OWN_MODEL, PaperTable, Row, models_table
from mmsr.study.planning.plan import Plan
from mmsr.study.results.finalized import FinalFolder
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import TrialRow, finished, rows
from mmsr.study.views.dry_run import describe_size

if TYPE_CHECKING:
    from mmsr.study.driver.reporting import Reporting
    from mmsr.study.storage.folder import StudyFolder


@dataclass(frozen=True)
class KeptRow:
    """A row that has no runs here: it stands in the files, or none of its trials has finished."""

    figures: RowFigures
    config: Mapping[str, Any]
    """As `mmsr.reproduce.row_configs.flat_config` has it."""


@dataclass(frozen=True)
class ModelsRequest(Request):
    """The refits of each row's best trial, which rank test."""

    weights: ClassVar[str | None] = "best.safetensors"
    seen_too: ClassVar[bool] = True

    search: Plan
    """The plan of the study that chose them."""
    found: Mapping[str, SearchFigures]
    """What the search of each row that is refitted took, by label."""
    given: Mapping[str, Any]
    """What was set for all models."""
    lacking: Mapping[str, KeptRow]
    """Rows without a finished trial, by label."""
    kept: Mapping[str, KeptRow] = field(default_factory=dict)
    """Rows that stand in the files, by label."""
    kept_lines: tuple[LineFigures, ...] = ()

    @property
    def finals(self) -> FinalPlan:
        """The plan of the refits."""
        if not isinstance(self.plan, FinalPlan):  # never so: `make_finals` gives one
            raise TypeError("the plan of a ModelsRequest is a FinalPlan")
        return self.plan

    @property
    def label(self) -> str:
        """How rows were chosen, as results state it: no other table has such runs."""
        return SELECTION

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
        values = {
            row.label: one.value
            for row in self.table.rows
            if (one := self.search_of(row)) is not None and one.value is not None
        }
        others = {label: value for label, value in values.items() if label != OWN_MODEL}
        return max(others, key=lambda label: others[label], default=None)

    def beside(self, results: Results) -> ModelsRequest:
        """The same request in a table that has the rows of `results`, too."""
        own = {row.label for row in self.rows}
        kept = {
            row.label: KeptRow(row, stored_config(results, row))
            for row in results.rows
            if row.label not in own and (row.finished or row.label not in self.lacking)
        }
        wider = dataclasses.replace(self, kept=kept, kept_lines=results.lines)
        return dataclasses.replace(wider, table=wider.whole_table())

    def whole_table(self) -> PaperTable:
        """The table with all rows that it has so far, in its order."""
        order = [row.label for row in models_table().rows]
        rows = {row.label: row for row in self.rows}
        for label in (*self.lacking, *self.kept):
            rows.setdefault(label, Row(label, {"row": label}))  # the settings of no run
        known = [rows[label] for label in order if label in rows]
        newer = [row for label, row in rows.items() if label not in order]
        return dataclasses.replace(self.table, rows=(*known, *newer))

    def _without_runs(self, row: Row) -> KeptRow | None:
        return self.kept.get(row.label) or self.lacking.get(row.label)

    def kept_row(self, row: Row) -> RowFigures | None:
        """The figures of a row that stands in the files, or has no finished trial."""
        one = self._without_runs(row)
        return None if one is None else one.figures

    def kept_config(self, row: Row) -> Mapping[str, Any] | None:
        """The config of such a row."""
        one = self._without_runs(row)
        return None if one is None else one.config

    def config_of(self, row: Row) -> Config:
        """The config of the row's best trial."""
        return self.finals.of_trial(row.settings["trial"]).config

    def chosen(self, trial: TrialRow) -> Chosen:
        """How the epochs of a refit were chosen: by the trial that it refits."""
        one = self.finals.of_trial(trial.settings["trial"])
        metrics = {k: v for k, v in one.row.metrics.items() if k.startswith("valid/")}
        return Chosen(one.epochs, one.row.epochs, metrics, one.config.training.patience)

    def search_of(self, row: Row) -> SearchFigures | None:
        """What the search of a row took."""
        one = self._without_runs(row)
        return self.found[row.label] if one is None else one.figures.search

    @property
    def lacks_lines(self) -> bool:
        """Whether reference models are to rank test, too: they do so once."""
        return not self.kept_lines

    def about(self) -> dict[str, Any]:
        """How the search was shared out, and the reference models' figures on test."""
        return {
            "best_baseline": self.best_baseline,
            "share": str(self.search.share),
            "objective": self.search.objective,
            "lines": self.kept_lines or read_lines(self.plan.folder),
            "given": dict(self.given),
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
    """Choose each model's best trial, and plan the refits; rows of the files stay in the table.

    A row that has ranked test keeps its trial, whatever the search has found since.

    Parameters
    ----------
    search : the search, which is done.

    Raises
    ------
    UserError : none of the models has a finished trial.
    """
    plan, tested = search.plan, search.kept.tested
    known = look_up(plan.name, plan.storage, plan.tracking)
    found = rows(known.study)
    chosen: dict[str, int] = {}
    figures, lacking = {}, {}
    for row in search.unfinished:
        if row.label in tested:
            one = tested[row.label].search
        else:
            one = _figures(plan, row.settings[MODEL], found, search.trials)
        if one is None or one.trial is None:
            lacking[row.label] = one
        else:
            chosen[row.label], figures[row.label] = one.trial, one
    if not chosen:
        errors = [f" ({one.error})" for one in lacking.values() if one and one.error]
        raise UserError(
            f"study {plan.name!r}: no trial has finished, so there is nothing to refit"
            + "".join(errors[:1])
        )
    finals = make_final_plan(
        known,
        trials=list(chosen.values()),
        n_seeds=search.n_seeds,
        first_seed=plan.base.seed + 1,
        optimism=False,
        resources={"cpu": plan.resources.cpu, "gpu": plan.resources.gpu},
        address=plan.address,
        force=True,
    )
    table = search.table.name
    finals = dataclasses.replace(
        finals, name=f"{finals.name}-{table}", folder=FinalFolder(known.folder, table)
    )
    own = tuple(
        Row(label, {"trial": trial, "part": DEVELOPMENT}) for label, trial in chosen.items()
    )
    bases = {one.model: one.base for one in plan.contenders}
    models = {row.label: row.settings[MODEL] for row in search.rows}
    request = ModelsRequest(
        table=search.table,
        rows=own,
        seeds=finals.seeds,
        select_on="valid",
        plan=finals,
        search=plan,
        found=figures,
        given=search.given,
        lacking={
            label: KeptRow(_empty(label, one), flat(bases[models[label]]))
            for label, one in lacking.items()
        },
    )
    if search.kept.results is not None:
        return request.beside(search.kept.results)
    return dataclasses.replace(request, table=request.whole_table())


def _empty(label: str, search: SearchFigures | None) -> RowFigures:
    return RowFigures(
        label=label,
        settings={},
        seeds=(),
        mean={},
        std={},
        published={},
        comparisons={},
        search=search,
    )


def _figures(plan: Plan, model: str, found: Sequence[TrialRow], asked: int) -> SearchFigures:
    """What the search of a model took, and its best trial."""
    contender = next(one for one in plan.contenders if one.model == model)
    own = [row for row in found if row.model == model]
    ended = finished(own)
    best = ended[0] if ended else None
    errors = [row.error for row in own if row.error]
    return SearchFigures(
        model=model,
        trials=len(own),
        finished=len(ended),
        epochs=sum(row.epochs for row in own),
        seconds=sum(row.seconds or 0.0 for row in own),
        space=describe_size(contender.space),
        known=min(len(contender.known), len(own)),
        asked=asked,
        trial=None if best is None else best.number,
        value=None if best is None else best.value or 0.0,
        error=errors[0] if best is None and errors else "",
    )
