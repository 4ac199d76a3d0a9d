"""A study's trials, curves and test figures as data frames.

Metrics are shares in [0, 1], durations are seconds, and settings have their dotted config keys as
names of columns. Whole numbers stay whole where some are missing (pandas' `Int64`). The type of a
column that every study has does not depend on its values; that of a setting does.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mmsr.study.results.finalized import FinalResult
from mmsr.study.results.references import ReferenceLine
from mmsr.study.storage.attributes import is_invalid, key_of
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.lineage import current, whole_curve
from mmsr.study.storage.outside import trials_of
from mmsr.study.storage.trials import TrialRow, ranked
from mmsr.study.views.standings import metric_names
from mmsr.study.views.tables import state_of
from mmsr.tracking.base import Metrics
from mmsr.tracking.journal.file import Journal

if TYPE_CHECKING:
    import pandas as pd

_BEST_SO_FAR = "best/"
"""Begins the names of metrics that repeat earlier epochs."""
_TYPES = {
    "state": "string",
    "model": "string",
    "pareto": "boolean",
    "place": "Int64",
    "trial": "Int64",
    "score": "float64",
    "best_epoch": "Int64",
    "epochs": "Int64",
    "seconds": "float64",
    "error": "string",
    "mlflow_run_id": "string",
}
"""Types of the columns that all studies have, also where they have no values yet."""


def trials_frame(rows: Sequence[TrialRow], objective: str, *, running: bool) -> pd.DataFrame:
    """One row per trial, by its number: how it ended, its settings, its metrics.

    Parameters
    ----------
    rows : the trials, in the order of the rows.
    objective : the first objective, whose value at the best epoch is the column `score`.
    running : whether a driver runs the study now; no trial is running without one.
    """
    columns: dict[str, list[Any]] = {
        "state": [state_of(row, running=running) for row in rows],
        "score": [row.value for row in rows],
        "best_epoch": [row.best_epoch for row in rows],
        "epochs": [row.epochs for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    if any(row.model is not None for row in rows):
        columns = {"state": columns.pop("state"), "model": [row.model for row in rows], **columns}
    columns |= _columns([row.settings for row in rows])
    metrics = _columns([row.metrics for row in rows], first=[objective])
    columns |= metrics
    columns["error"] = [row.error for row in rows]
    columns["mlflow_run_id"] = [row.mlflow_run_id for row in rows]
    index = ("trial", [row.number for row in rows])
    return frame_of(columns, index, {**_TYPES, **dict.fromkeys(metrics, "float64")})


def leaderboard_frame(
    rows: Sequence[TrialRow],
    objective: str,
    lines: Sequence[ReferenceLine] = (),
    *,
    against: Sequence[str] = (),
    front: Container[int] = (),
) -> pd.DataFrame:
    """The rows and figures of the leaderboard: the best trials, and reference lines below.

    Parameters
    ----------
    rows : the trials to show.
    objective : metric that ranks them.
    lines : the reference lines; those without metrics are left out. Their `trial` is missing.
    against : further objectives of the study.
    front : numbers of the trials on the Pareto front; a column if there are further objectives.
    """
    best = ranked(rows, (objective, *against))
    measured = [(line.label, line.metrics) for line in lines if line.metrics is not None]
    part = objective.partition("/")[0]
    names = [f"{part}/{name}" for name in metric_names(best, objective)]
    names += [name for name in against if name not in names]
    finished = iter(range(1, len(best) + 1))
    places = [next(finished) if row.state == "finished" else None for row in best]
    labels = [f"trial {row.number}" for row in best] + [label for label, _ in measured]
    columns: dict[str, list[Any]] = {
        "place": places,
        "trial": [row.number for row in best],
        "state": [row.state for row in best],
    }
    if any(row.model is not None for row in best):
        columns["model"] = [row.model for row in best]
    if against:
        columns["pareto"] = [row.number in front for row in best]
    for name in names:
        columns[name] = [row.metrics.get(name) for row in best]
        columns[name] += [line.get(name.removeprefix(f"{part}/")) for _, line in measured]
    columns["best_epoch"] = [row.best_epoch for row in best]
    columns["epochs"] = [row.epochs for row in best]
    columns["seconds"] = [row.seconds for row in best]
    columns |= _columns([row.settings for row in best])
    for values in columns.values():
        values += [None] * (len(labels) - len(values))
    return frame_of(columns, ("name", labels), {**_TYPES, **dict.fromkeys(names, "float64")})


def curves_frame(known: KnownStudy, journal: Path | None) -> pd.DataFrame:
    """One row per trial and epoch: the objective, and all metrics that the journal has.

    The storage holds the first objective of each epoch. All others are in the study's journal,
    which stands in the home that the study was run from.

    Parameters
    ----------
    known : the study.
    journal : its journal; None if that is not in this home.
    """
    objective = known.definition.objective
    logged = {} if journal is None else _logged(journal)
    trials = trials_of(known.study)
    numbers: list[int] = []
    epochs: list[int] = []
    metrics: list[Mapping[str, float]] = []
    for trial in current(trials):
        if is_invalid(trial):
            continue
        there = logged.get(key_of(trial), {})
        for epoch, value in sorted(whole_curve(trial, trials.__getitem__).items()):
            numbers.append(trial.number)
            epochs.append(epoch)
            metrics.append({objective: value, **there.get(epoch, {})})
    columns = _columns(metrics, first=[objective])
    types = {"trial": "int64", "epoch": "int64", **dict.fromkeys(columns, "float64")}
    return frame_of({"trial": numbers, "epoch": epochs, **columns}, types=types)


def finals_frame(result: FinalResult) -> pd.DataFrame:
    """One row per finalized config and test metric: mean over seeds, spread, interval.

    Parameters
    ----------
    result : the test results.
    """
    rows = [
        {
            "trial": config.trial,
            "metric": name,
            "mean": mean,
            "std": config.std.get(name),
            "low": config.low.get(name),
            "high": config.high.get(name),
            "seeds": sum(one.error is None for one in config.seeds),
            "epochs": config.epochs,
            "validation": config.validation.get(name.replace("test/", "valid/", 1)),
        }
        for config in result.configs
        for name, mean in config.mean.items()
    ]
    types = dict.fromkeys(("mean", "std", "low", "high", "validation"), "float64")
    return frame_of(_columns(rows), types=types)


def _logged(journal: Path) -> dict[str, dict[int, dict[str, float]]]:
    """Metrics by the key of the run and the epoch, as a study's journal has them."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for _, event in Journal(journal).all():
        if isinstance(event, Metrics):
            own = {k: v for k, v in event.values.items() if not k.startswith(_BEST_SO_FAR)}
            found.setdefault(event.key, {})[event.step] = own
    return found


def _columns(rows: Sequence[Mapping[str, Any]], first: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Columns of rows that do not all have the same fields; those named come first."""
    there = dict.fromkeys(chain.from_iterable(rows))
    names = [name for name in first if name in there]
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys([*names, *there])}


def frame_of(
    columns: Mapping[str, Sequence[Any]],
    index: tuple[str, Sequence[Any]] | None = None,
    types: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """A data frame; a column without a type of its own has the narrowest that holds its values.

    Parameters
    ----------
    columns : values by name of the column; None stands for a missing one.
    index : name and values of the index; None counts the rows.
    types : types of columns, by name; some need not be there.
    """
    import pandas as pd

    frame = pd.DataFrame(
        {
            name: pd.Series(values, dtype=types[name]) if name in types else _series(values)
            for name, values in columns.items()
        }
    )
    if index is not None:
        frame.index = pd.Index(index[1], name=index[0])
    return frame


def _series(values: Sequence[Any]) -> pd.Series[Any]:
    """A column of the narrowest type that holds its values; settings may be of any type."""
    import pandas as pd

    there = [value for value in values if value is not None]
    missing = len(there) < len(values)
    if there and all(isinstance(value, bool) for value in there):
        return pd.Series(values, dtype="boolean" if missing else "bool")
    if there and all(_is(value, Integral) for value in there):
        return pd.Series(values, dtype="Int64" if missing else "int64")
    if there and all(_is(value, Real) for value in there):
        return pd.Series(values, dtype="float64")
    if there and all(isinstance(value, str) for value in there):
        return pd.Series(values)  # pandas 3 has a type for texts
    return pd.Series(values, dtype="object")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
