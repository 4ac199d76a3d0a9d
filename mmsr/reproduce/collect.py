"""From a study's trials and their test ranks to the results of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsr.config import METRICS
from mmsr.provenance import provenance
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures, SeedFigures
from mmsr.reproduce.tables import REFERENCE, Row, published
from mmsr.study.results.comparison import COMPARED, Comparison, compare, mean_and_std, users_means
from mmsr.study.results.held_out import all_openings, checkpoint_of, read_ranked, read_record
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from mmsr.evaluation.significance import Floats

Runs = Mapping[tuple[str, int], TrialRow]
"""The trial of each row (by label) and seed."""


@dataclass(frozen=True)
class _Tested:
    """Test ranks of one run by metric, and the epochs that gave them."""

    ranks: Mapping[str, NDArray[np.int64]]
    users: NDArray[np.int32]
    best_epochs: Mapping[str, int]

    def metrics(self) -> dict[str, float]:
        from mmsr.evaluation import ranking_metrics

        return {name: ranking_metrics(ranks)[name] for name, ranks in self.ranks.items()}


def runs_of(request: Request, found: Sequence[TrialRow]) -> Runs:
    """The trial of each row and seed.

    Parameters
    ----------
    request : the rows and seeds.
    found : the study's trials.
    """
    runs = {}
    for row in request.rows:
        for seed in request.seeds:
            wanted = {**row.settings, "seed": seed}
            for trial in found:
                if trial.settings == wanted:
                    runs[row.label, seed] = trial
    return runs


def collect(
    request: Request,
    known: KnownStudy,
    runs: Runs,
    progress: Callable[[str], None] = lambda _: None,
) -> Results:
    """Read the test ranks of all finished runs, and compare the rows.

    Parameters
    ----------
    request : the rows and seeds.
    known : the study.
    runs : the trial of each row and seed.
    progress : called with messages for the user.

    Raises
    ------
    UserError : stored ranks cannot be read.
    """
    tested = {
        key: _tested(request, known, trial)
        for key, trial in runs.items()
        if trial.state == "finished"
    }
    opened = all_openings(read_record(known.folder).opened, known.study)
    column = published(request.table.name, known.definition.dataset)
    compared = _compare(request, tested, progress)
    rows = tuple(
        _row(request, row, runs, tested, column.percent[row.label], compared.get(row.label))
        for row in request.rows
    )
    training = request.plan.base.training
    some = next(iter(tested.values()), None)
    return Results(
        table=request.table.name,
        title=request.table.title,
        selection=request.label,
        study=known.name,
        **provenance(),
        dataset=known.definition.dataset,
        dataset_hash=known.definition.dataset_hash,
        protocol=known.definition.protocol,
        n_users=len(np.unique(some.users)) if some else 0,
        seeds=request.seeds,
        epochs=training.epochs,
        patience=training.patience,
        config=_common(request, runs),
        published_dataset=column.dataset,
        published_stands_in=column.stand_in,
        reference=REFERENCE,
        test_opened=tuple(opening.at for opening in opened),
        rows=rows,
    )


def _tested(request: Request, known: KnownStudy, trial: TrialRow) -> _Tested:
    if not request.test_selected:
        ranked = read_ranked(known.folder, trial.number)
        epochs = dict.fromkeys(METRICS, trial.best_epoch or 0)
        return _Tested(dict.fromkeys(METRICS, ranked.ranks), ranked.users, epochs)
    from mmsr.reproduce.select_on_test import read_best

    best, ranks, users = read_best(checkpoint_of(known, trial))
    return _Tested(ranks, users, best.epochs)


def _row(
    request: Request,
    row: Row,
    runs: Runs,
    tested: Mapping[tuple[str, int], _Tested],
    percent: Mapping[str, float],
    comparisons: Mapping[str, Comparison] | None,
) -> RowFigures:
    seeds = tuple(
        _seed(seed, runs[row.label, seed], tested.get((row.label, seed))) for seed in request.seeds
    )
    mean, std = mean_and_std([seed.test for seed in seeds if seed.error is None])
    return RowFigures(
        label=row.label,
        settings=_own(request, row, runs),
        seeds=seeds,
        mean=mean,
        std=std,
        published=dict(percent),
        comparisons=dict(comparisons or {}),
    )


def _own(request: Request, row: Row, runs: Runs) -> dict[str, Any]:
    """The config values of a row that not all rows share: its settings, its aggregator's values."""
    common = _common(request, runs)
    flat = _flat(runs[row.label, request.seeds[0]])
    return {**row.settings, **{key: value for key, value in flat.items() if key not in common}}


def _common(request: Request, runs: Runs) -> dict[str, Any]:
    """Config values that all rows share and the table does not vary."""
    first, *others = (_flat(trial) for trial in runs.values())
    return {
        key: value
        for key, value in first.items()
        if key not in request.table.rows[0].settings
        and all(key in flat and flat[key] == value for flat in others)
    }


def _flat(trial: TrialRow) -> dict[str, Any]:
    """A trial's config by dotted key, without what is stated elsewhere or follows the machine."""
    flat = trial.config.flat() if trial.config else {}
    return {k: v for k, v in flat.items() if k not in ("dataset", "seed", "training.threads")}


def _seed(seed: int, trial: TrialRow, tested: _Tested | None) -> SeedFigures:
    return SeedFigures(
        seed=seed,
        trial=trial.number,
        error=None if tested else trial.error or trial.state,
        epochs=trial.epochs,
        best_epochs=dict(tested.best_epochs) if tested else {},
        training_seconds=trial.seconds,
        validation={k: v for k, v in trial.metrics.items() if k.startswith("valid/")},
        test=tested.metrics() if tested else {},
        commit=trial.code.get("commit"),
    )


def _compare(
    request: Request,
    tested: Mapping[tuple[str, int], _Tested],
    progress: Callable[[str], None],
) -> dict[str, dict[str, Comparison]]:
    """Each row with figures compared with the reference, by each metric."""
    labels = [row.label for row in request.rows if any(key[0] == row.label for key in tested)]
    others = [label for label in labels if label != REFERENCE]
    if REFERENCE not in labels or not others:
        return {}
    found: dict[str, dict[str, Comparison]] = {label: {} for label in others}
    for metric in COMPARED:
        progress(f"comparing users by {metric}")
        users = {label: _per_user(tested, label, metric) for label in labels}
        pairs = [(users[label], users[REFERENCE]) for label in others]
        for label, comparison in zip(others, compare(pairs), strict=True):
            found[label][metric] = comparison
    return found


def _per_user(tested: Mapping[tuple[str, int], _Tested], label: str, metric: str) -> Floats:
    """Each user's value of a metric, averaged over the seeds of a row."""
    runs = [one for (row, _), one in tested.items() if row == label]
    return users_means([one.ranks[metric] for one in runs], runs[0].users)(metric)
