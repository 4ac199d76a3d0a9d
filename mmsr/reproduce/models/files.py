"""Whether a search can go on from the files of table 2, checked before anything is scheduled."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsr.errors import UserError
from mmsr.format import plural
from mmsr.reproduce.kept import read_runs
from mmsr.reproduce.results import Results, RowFigures, read_results
from mmsr.reproduce.row_configs import flat, other_kind, stored_config
from mmsr.reproduce.tables import Row
from mmsr.study.planning.plan import Plan
from mmsr.study.storage import database
from mmsr.study.storage.trials import rows as rows_of_study

SELECTION = "search on validation"
"""How rows were chosen, as results state it."""
_ADVICE = "or give another --output or --name for a new table"


@dataclass(frozen=True)
class KeptTable:
    """What the files of table 2 hold before a call."""

    path: Path
    """The JSON file."""
    results: Results | None
    """None if there is no file yet."""

    @property
    def tested(self) -> Mapping[str, RowFigures]:
        """The rows that have ranked test, by label: they are never searched again."""
        found = self.results.rows if self.results is not None else ()
        return {row.label: row for row in found if row.finished}

    def has_enough(self, label: str, n_seeds: int) -> bool:
        """Whether a row has as many finished seeds as are asked for.

        Parameters
        ----------
        label : label of the row.
        n_seeds : number of seeds.
        """
        row = self.tested.get(label)
        return row is not None and len(row.finished) >= n_seeds


def read_table(folder: Path, name: str) -> KeptTable:
    """What the files of table 2 hold.

    Parameters
    ----------
    folder : folder of the files.
    name : name of the study that searched the models.

    Raises
    ------
    UserError : the files cannot be read.
    """
    path = folder / f"{name}.json"
    results = read_results(path)
    if results is not None:
        read_runs(results, path)
    return KeptTable(path, results)


def check_same_call(
    kept: KeptTable,
    plan: Plan,
    asked: Container[str],
    given: Mapping[str, Any],
) -> None:
    """Refuse to add rows to a table whose rows got something else: the budgets would be unequal.

    Settings of models are left out: rows may differ in them, and the files state each row's.

    Parameters
    ----------
    kept : what the files hold.
    plan : the search.
    asked : labels of the rows that are asked for.
    given : what was set for all models, as `common_settings` has it.

    Raises
    ------
    UserError : data, share, epochs, patience or settings of all models differ.
    """
    results = kept.results
    if results is None:
        return
    others = [row for row in results.rows if row.finished or row.label not in asked]
    if not others:
        return
    found = other_kind(plan.definition, SELECTION, results)
    training = plan.base.training
    pairs: dict[str, tuple[Any, Any]] = {
        "what each model gets": (results.share, str(plan.share)),
        "objective": (results.objective, plan.objective),
        "training.epochs": (results.epochs, training.epochs),
        "training.patience": (results.patience, training.patience),
        **{
            f"--set {key}": (results.given.get(key, "not given"), given.get(key, "not given"))
            for key in sorted({*results.given, *given})
        },
    }
    for what, (then, now) in pairs.items():
        if found is None and then != now:
            found = f"{what} was {then} and is {now}"
    if found is not None:
        raise UserError(
            f"{kept.path} holds rows of another call ({found}): give the same as then, {_ADVICE}"
        )


def check_rows(
    kept: KeptTable, plan: Plan, rows: tuple[Row, ...], trials: int, n_seeds: int, *, hours: bool
) -> None:
    """Refuse to search a row again that has ranked test, and seeds whose trial is not here.

    Parameters
    ----------
    kept : what the files hold.
    plan : the search of all rows.
    rows : the rows that are asked for.
    trials : trials of each model.
    n_seeds : seeds of each row.
    hours : whether each model gets the same hours.

    Raises
    ------
    UserError : a row cannot go on as asked.
    """
    tested, labels = kept.tested, [row.label for row in rows]
    new = [label for label in labels if label not in tested]
    if hours and new and (others := [label for label in tested if label not in labels]):
        raise UserError(
            f"--equal hours shares out the hours of one call, and {kept.path} has the row "
            f"{others[0]} of another: use --equal trials, {_ADVICE}"
        )
    for label in labels:
        if label not in tested or (search := tested[label].search) is None:
            continue
        if trials > search.asked:
            raise UserError(
                f"--trials {trials}: {label} has ranked test after a search of --trials "
                f"{search.asked}, so it is not searched again: give --trials {search.asked}, leave "
                f"{label} out of --rows, {_ADVICE}"
            )
        more_seeds = not kept.has_enough(label, n_seeds)
        if (more_seeds or (hours and new)) and not _is_here(kept, plan, tested[label]):
            n_finished = len(tested[label].finished)
            raise UserError(
                f"{kept.path} has {plural(n_finished, 'seed')} of {label}, whose search is not in "
                f"study {plan.name!r} here: "
                + (f"give --seeds {n_finished}, " if more_seeds else "")
                + f"leave {label} out of --rows, or go on where it was searched"
            )


def _is_here(kept: KeptTable, plan: Plan, row: RowFigures) -> bool:
    """Whether the study here has the trial that a row in the files is of."""
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    if study is None or kept.results is None or row.search is None:
        return False
    return any(
        one.number == row.search.trial
        and one.config is not None
        and one.config.seed == plan.base.seed
        and flat(one.config) == stored_config(kept.results, row)
        for one in rows_of_study(study)
    )


def common_settings(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` gives all models, but for what is a model's own or stated elsewhere.

    Parameters
    ----------
    plan : the search.
    settings : values by key, as given.
    """
    config = json.loads(json.dumps(flat(plan.base)))
    return {key: config[key] for key in settings if key in config and not key.startswith("model.")}
