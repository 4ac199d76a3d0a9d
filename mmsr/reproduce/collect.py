"""From a study's trials and their test ranks to the results of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.config import METRICS
from mmsr.provenance import provenance
from mmsr.reproduce.kept import Run, Runs
from mmsr.reproduce.models.seen_items import read_masked
from mmsr.reproduce.request import Request
from mmsr.reproduce.results import Results, RowFigures, SeedFigures
from mmsr.reproduce.row_configs import flat_config
from mmsr.reproduce.select_on_test import read_chosen
from mmsr.reproduce.tables import Row, published
from mmsr.study.results.comparison import (
    COMPARED,
    LEAST_SEEDS,
    SeedComparison,
    compare_seeds,
    mean_and_std,
)
from mmsr.study.results.held_out import Opening, read_ranked
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow

Trials = dict[tuple[str, int], TrialRow]
"""The trial of each row (by label) and seed."""


def trials_of(request: Request, found: Sequence[TrialRow]) -> Trials:
    """The trials of the table's rows, whichever rows and seeds are asked for now.

    Parameters
    ----------
    request : the rows and seeds.
    found : the study's trials.
    """
    trials = {}
    for trial in found:
        settings = {key: value for key, value in trial.settings.items() if key != "seed"}
        for row in request.table.rows:
            if settings == row.settings:
                trials[row.label, trial.settings["seed"]] = trial
    return trials


def finished_run(request: Request, known: KnownStudy, trial: TrialRow) -> Run:
    """A run from its stored test ranks.

    Parameters
    ----------
    request : the rows and seeds.
    known : the study.
    trial : its trial, whose model has ranked test.

    Raises
    ------
    UserError : the ranks cannot be read.
    """
    from mmsr.evaluation import contributions, ranking_metrics
    from mmsr.evaluation.significance import per_user_means

    ranks: Mapping[str, NDArray[np.int64]]
    if request.test_selected:
        epochs, ranks, users = read_chosen(known.folder, trial.number)
    else:
        ranked = read_ranked(known.folder, trial.number)
        ranks, users = dict.fromkeys(METRICS, ranked.ranks), ranked.users
        epochs = dict.fromkeys(METRICS, request.chosen(trial).epoch)
    test = {name: ranking_metrics(one)[name] for name, one in ranks.items()}
    means = [per_user_means(contributions(ranks[name])[name], users) for name in COMPARED]
    update = {"best_epochs": epochs, "test": test}
    if request.seen_too:
        update["test_masked"] = ranking_metrics(read_masked(known.folder, trial.number))
    figures = _figures(request, trial).model_copy(update=update)
    return Run(figures, np.stack(means).astype(np.float32))


def failed_run(request: Request, trial: TrialRow, reason: str | None = None) -> SeedFigures:
    """What is known of a run that failed, or whose models are lost.

    Parameters
    ----------
    request : the rows and seeds.
    trial : its trial.
    reason : why it gives no figures; None takes the trial's error.
    """
    return _figures(request, trial).model_copy(
        update={
            "error": reason or trial.error or trial.state,
            "epochs": trial.epochs,
            "chosen_epoch": None,
            "stopped_by": None,
            "validation": {},
        }
    )


def _figures(request: Request, trial: TrialRow) -> SeedFigures:
    chosen = request.chosen(trial)
    patient = chosen.epochs - chosen.epoch >= chosen.patience
    return SeedFigures(
        seed=trial.settings["seed"],
        study=request.name,
        trial=trial.number,
        error=None,
        epochs=chosen.epochs,
        chosen_epoch=chosen.epoch,
        stopped_by="patience" if patient else "limit",
        best_epochs={},
        training_seconds=trial.seconds,
        validation=dict(chosen.validation),
        test={},
        commit=trial.code.get("commit"),
    )


def make_results(
    request: Request,
    runs: Runs,
    failed: Sequence[tuple[str, SeedFigures]],
    opened: Sequence[Opening],
) -> Results:
    """The table of all rows that have results, and of those that were not run yet.

    Parameters
    ----------
    request : the rows and seeds.
    runs : the finished runs.
    failed : the runs that failed, with the labels of their rows.
    opened : the openings of test for them; any of them may be there twice.
    """
    definition, training = request.plan.definition, request.base.training
    column = published(request.table.name, definition.dataset)
    configs = {row.label: flat_config(request, row) for row in request.table.rows}
    common = _common(request, list(configs.values()))
    compared = _compare(runs, request.table.reference, request.best_baseline)
    some = next(iter(runs.values()), None)
    return Results(
        table=request.table.name,
        title=request.table.title,
        selection=request.label,
        study=request.name,
        **provenance(),
        dataset=definition.dataset,
        dataset_hash=definition.dataset_hash,
        protocol=definition.protocol,
        features={
            name: f"{one.width} numbers, from {one.source}"
            for name, one in request.plan.dataset.manifest.modalities.items()
        },
        n_users=some.users.shape[1] if some else 0,
        epochs=training.epochs,
        patience=training.patience,
        config=common,
        published_dataset=column.dataset,
        published_stands_in=column.stand_in,
        reference=request.table.reference,
        test_opened=tuple(sorted(set(opened), key=lambda one: (one.at, one.trials))),
        rows=tuple(
            _row(
                row,
                [run.figures for (label, _), run in runs.items() if label == row.label]
                + [figures for label, figures in failed if label == row.label],
                {k: v for k, v in configs[row.label].items() if k not in common},
                column.percent.get(row.label, {}),
                {reference: found.get(row.label, {}) for reference, found in compared.items()},
                request,
            )
            for row in request.table.rows
        ),
        **request.about(),
    )


def _row(
    row: Row,
    seeds: Sequence[SeedFigures],
    settings: Mapping[str, Any],
    percent: Mapping[str, float],
    comparisons: Mapping[str | None, Mapping[str, SeedComparison]],
    request: Request,
) -> RowFigures:
    kept = request.kept_row(row)
    there = {seed.seed for seed in seeds}
    seeds = [*seeds, *(one for one in (kept.failed if kept else ()) if one.seed not in there)]
    finished = [seed for seed in seeds if seed.error is None]
    mean, std = mean_and_std([seed.test for seed in finished])
    mean_masked, std_masked = mean_and_std([seed.test_masked for seed in finished])
    return RowFigures(
        label=row.label,
        settings=dict(settings),
        seeds=tuple(sorted(seeds, key=lambda one: one.seed)),
        mean=mean,
        std=std,
        published=dict(percent) or (kept.published if kept else {}),
        comparisons=dict(comparisons.get(request.table.reference, {})),
        mean_masked=mean_masked,
        std_masked=std_masked,
        against_baseline=dict(comparisons.get(request.best_baseline, {})),
        search=request.search_of(row),
    )


def _common(request: Request, configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Config values that all rows share and the table does not vary."""
    first, *others = configs
    varied = request.table.rows[0].settings
    return {
        key: value
        for key, value in first.items()
        if key not in varied and all(key in flat and flat[key] == value for flat in others)
    }


def _compare(
    runs: Runs, reference: str, baseline: str | None
) -> dict[str | None, dict[str, dict[str, SeedComparison]]]:
    """Rows compared with the reference and the best baseline: by that, label and metric.

    P-values are corrected for all differences together. The spread of seeds is pooled over all rows
    that have several. The reference is compared with the baseline once, among the first.
    """
    from mmsr.evaluation.significance import pooled_spread

    seeds: dict[str, list[NDArray[np.float64]]] = {}
    for (label, _), run in sorted(runs.items()):
        seeds.setdefault(label, []).append(run.users.astype(np.float64))
    several = {label: np.stack(found, axis=1) for label, found in seeds.items() if len(found) > 1}
    enough = {label: one for label, one in several.items() if one.shape[1] >= LEAST_SEEDS}
    others = [one for one in (reference, baseline) if one in enough]
    places = range(len(COMPARED))
    keys = [
        (other, label, place)
        for other in others
        for label in enough
        if label != other and (label, other) != (reference, baseline)
        for place in places
    ]
    if not keys:
        return {}
    pooled = [pooled_spread([one[place] for one in several.values()]) for place in places]
    found = compare_seeds(
        [
            (enough[label][place], enough[other][place], pooled[place])
            for other, label, place in keys
        ]
    )
    compared: dict[str | None, dict[str, dict[str, SeedComparison]]] = {}
    for (other, label, place), one in zip(keys, found, strict=True):
        compared.setdefault(other, {}).setdefault(label, {})[COMPARED[place]] = one
    return compared
