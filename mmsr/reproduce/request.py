"""What to reproduce, checked before anything is scheduled."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmsr.config import Config
from mmsr.config.mmsr_defaults import AUTHORS_SETTINGS
from mmsr.data.held_out import check_test
from mmsr.errors import UserError
from mmsr.reproduce.tables import PaperTable, Row, find_table, seeds_from
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.plan import Plan
from mmsr.study.search.space import stored
from mmsr.study.storage.definition import TEST_SELECTED
from mmsr.study.storage.folder import StudyFolder

if TYPE_CHECKING:
    from mmsr.reproduce.results import Results, RowFigures, SearchFigures
    from mmsr.study.driver.reporting import Reporting
    from mmsr.study.storage.trials import TrialRow

SELECTIONS = ("valid", "test")
LABELS = {"valid": "validation", "test": TEST_SELECTED.upper()}
"""How the best epochs were chosen, as names and results state it."""

TRAINERS = {
    "valid": "mmsr.reproduce.training:train_and_refit",
    "test": "mmsr.reproduce.training:train_and_keep_epochs",
}
"""Trainers of tables: none of them reads test."""

COMMON: Mapping[str, Any] = {
    **{
        key: value
        for key, value in AUTHORS_SETTINGS[1].items()
        if not key.startswith("model.aggregator.")
    },
    "graph.fitted_on": "all",
}
"""Settings of every row: those of the authors with 30 codes and 3 links per item."""


@dataclass(frozen=True)
class Chosen:
    """How the number of epochs of a refit was chosen."""

    epoch: int
    """The best epoch on validation."""
    epochs: int
    """Epochs that were trained on the training part to find it."""
    validation: Mapping[str, float]
    """Validation metrics of that epoch."""
    patience: int
    """Epochs without improvement that ended training."""


@dataclass(frozen=True)
class Request:
    """Rows and seeds of a table or figure, and the study that runs them."""

    table: PaperTable
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    select_on: str
    plan: Plan

    weights: ClassVar[str | None] = None
    """File of the models' weights in the checkpoints; None stands for that of tables' trainers."""
    seen_too: ClassVar[bool] = False
    """Whether the models rank test with seen items masked, too."""

    @property
    def name(self) -> str:
        """Name of the table's files, and of the study that its results name."""
        return self.plan.name

    @property
    def folder(self) -> StudyFolder:
        """Folder of the files, if no other one is given."""
        return self.plan.folder

    @property
    def base(self) -> Config:
        """What all rows are trained by."""
        return self.plan.base

    def config_of(self, row: Row) -> Config:
        """The config of a row; its seed is that of no run.

        Parameters
        ----------
        row : the row.
        """
        return self.plan.base.replace(row.settings)

    def chosen(self, trial: TrialRow) -> Chosen:
        """How the epochs of a run's refit were chosen.

        Parameters
        ----------
        trial : the run.
        """
        best = trial.best_epoch or 0
        refitted = best + (self.base.training.patience if self.test_selected else 0)
        metrics = {k: v for k, v in trial.metrics.items() if k.startswith("valid/")}
        patience = self.base.training.patience
        return Chosen(best, max(trial.epochs - refitted, 0), metrics, patience)

    @property
    def best_baseline(self) -> str | None:
        """Label of the row that the others are compared with, too; None if there is no such row."""
        return None

    def search_of(self, row: Row) -> SearchFigures | None:
        """What the search of a row took; None if rows are not searched.

        Parameters
        ----------
        row : the row.
        """
        return None

    def beside(self, results: Results) -> Request:
        """The same request in a table that has the rows of `results`, too, where rows are models.

        Parameters
        ----------
        results : what the table's files hold.
        """
        return self

    def kept_row(self, row: Row) -> RowFigures | None:
        """The figures of a row that stands in the files and is not run here; None for others.

        Parameters
        ----------
        row : the row.
        """
        return None

    def kept_config(self, row: Row) -> Mapping[str, Any] | None:
        """The config of such a row, as `mmsr.reproduce.row_configs.flat_config` has it.

        Parameters
        ----------
        row : the row.
        """
        return None

    @property
    def lacks_lines(self) -> bool:
        """Whether reference models are to rank test, too."""
        return False

    def about(self) -> dict[str, Any]:
        """Further fields of the results."""
        return {}

    def reporting(self) -> Reporting:
        """How the runs are presented."""
        from mmsr.study.driver.reporting import Reporting

        return Reporting()

    @property
    def test_selected(self) -> bool:
        """Whether the best epochs are chosen on test."""
        return self.select_on == "test"

    @property
    def label(self) -> str:
        """How the best epochs are chosen, as results state it."""
        return LABELS[self.select_on]

    @property
    def runs(self) -> dict[tuple[str, int], Mapping[str, Any]]:
        """The settings of each row, by label, and seed; the first to run first."""
        return {
            (row.label, seed): {**row.settings, "seed": seed}
            for row in self.table.first_to_run(self.rows)
            for seed in self.seeds
        }

    def without(self, done: Container[tuple[str, int]]) -> Request:
        """The same request, but its study runs only what is not done.

        Parameters
        ----------
        done : rows, by label, and seeds.
        """
        known = tuple(settings for key, settings in self.runs.items() if key not in done)
        only = tuple(stored(self.plan.space, settings) for settings in known)
        plan = dataclasses.replace(self.plan, known=known, only=only, trials=len(known))
        return dataclasses.replace(self, plan=plan)


def make_request(
    table: str,
    dataset: str,
    *,
    rows: Sequence[str] | None = None,
    n_seeds: int = 3,
    select_on: str = "valid",
    resources: Mapping[str, float] | None = None,
    options: Options | None = None,
) -> Request:
    """Check everything that was asked for, and plan the study.

    Parameters
    ----------
    table : `table3`, `table4`, `fig4` or `fig5`.
    dataset : name of a prepared data set.
    rows : labels as the paper prints them; None takes all, or for `fig4` the fusions and `ID only`.
    n_seeds : runs of every row; their seeds count up from the config's.
    select_on : `valid`, or `test` for TEST-SELECTED figures.
    resources : what each run gets, as in `mmsr.study.Study`.
    options : name, epochs, settings common to all rows, and where to run.

    Raises
    ------
    UserError : the first thing that is wrong, or a table's data set has no test part; nothing was
        scheduled.
    """
    options = options or Options()
    found = find_table(table)
    chosen = found.choose(rows)
    if select_on not in SELECTIONS:
        raise UserError(f"--select-on {select_on!r}: choose one of {', '.join(SELECTIONS)}")
    if found.is_figure and select_on != "valid":
        raise UserError(f"--select-on {select_on}: {table} is drawn from validation alone")
    settings = dict(options.settings or {})
    seeds = seeds_from(n_seeds, settings.pop("seed", Config.model_fields["seed"].default))
    space = found.space()
    for key in settings:
        if key in space:
            raise UserError(f"--set {key}: the rows of {table} differ in it; choose them by --rows")
    study = Declaration(
        dataset=dataset,
        space=space,
        base={key: value for key, value in COMMON.items() if key not in space},
        enqueue=[
            {**row.settings, "seed": seed} for row in found.first_to_run(chosen) for seed in seeds
        ],
        only_enqueued=True,
        pruner=None,
        resources=resources or {"cpu": 1, "gpu": 0},
        trainer=Declaration.trainer if found.is_figure else TRAINERS[select_on],
    )
    name = options.name or f"{table}-{dataset}"
    if select_on == "test":
        name = f"{name.removesuffix(_SUFFIX)}{_SUFFIX}"
    plan = make_plan(study, dataclasses.replace(options, name=name, settings=settings))
    if not found.is_figure:
        check_test(plan.dataset)
    if select_on == "test":
        plan = _marked(plan)
    return Request(found, chosen, seeds, select_on, plan)


def name_of(request: Request, settings: Mapping[str, Any]) -> str:
    """What a trial is called: the label of its row, and its seed.

    Parameters
    ----------
    request : the rows and seeds.
    settings : the trial's settings.
    """
    for row in request.table.rows:
        if settings == {**row.settings, "seed": settings.get("seed")}:
            return f"{row.label}, seed {settings['seed']}"
    return str(dict(settings))


_SUFFIX = f"-{TEST_SELECTED.upper()}"


def _marked(plan: Plan) -> Plan:
    """The plan with a definition that says TEST-SELECTED, so that nothing else takes its study."""
    objective = f"{TEST_SELECTED}/{plan.objective.removeprefix('valid/')}"
    definition = plan.definition.model_copy(update={"objective": objective})
    return dataclasses.replace(plan, definition=definition)
