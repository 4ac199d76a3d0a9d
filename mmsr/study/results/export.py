"""The best config as a YAML file that can be run again, with its provenance."""

from __future__ import annotations

from typing import Any

from mmsr.plain_yaml import write_plain
from mmsr.provenance import now
from mmsr.study.results.finalized import FinalRecord, read_final
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.definition import NOT_RECORDED
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import best, rows
from mmsr.tracking.databases import without_password


def export_best(known: KnownStudy, trial: int | None = None) -> str:
    """YAML text of the best trial's config, or that of a given trial, with its provenance.

    `mmsr train --config` runs it again; on the same data and machine the metrics are the same.

    Parameters
    ----------
    known : the study.
    trial : number of the trial; None takes the best.

    Raises
    ------
    UserError : no trial has finished, or the study's epochs were chosen on test.
    """
    known.check_honest()
    row, config = best(rows(known.study), known.name, trial)
    definition = known.definition
    provenance: dict[str, Any] = {
        "study": known.name,
        "study_uid": study_uid(known.study),
        "trial": row.number,
        "dataset": definition.dataset,
        "dataset_hash": definition.dataset_hash,
        "protocol": definition.protocol,
        "trainer": definition.trainer or NOT_RECORDED,
        "objective": definition.objective,
        "objective_value": row.value,
        "against": {name: row.metrics.get(name) for name in definition.against},
        "best_epoch": row.best_epoch,
        "epochs": row.epochs,
        "metrics": {k: v for k, v in row.metrics.items() if k.startswith("valid/")},
        "code": row.code,
        "mlflow_run_id": row.mlflow_run_id,
        "storage": without_password(known.storage),
        "tracking": without_password(known.tracking),
        "exported_at": now(),
        "finalized": _finalized(read_final(known.folder.finalized), row.number),
    }
    head = (
        f"# {_which(known, trial)} of study {known.name}; run it again with\n"
        "#   mmsr train --config THIS_FILE\n"
    )
    tree = {"config": config.to_dict(), "provenance": provenance}
    return head + write_plain(tree)


def _which(known: KnownStudy, trial: int | None) -> str:
    if trial is not None:
        return f"Config of trial {trial}"
    against = known.definition.against
    return f"Best config in {known.definition.objective}" if against else "Best config"


def _finalized(record: FinalRecord, trial: int) -> dict[str, Any] | None:
    """The test result of a trial; None if the study was not finalized with it."""
    result = record.result
    config = result.of_trial(trial) if result is not None else None
    if result is None or config is None:
        return None
    found: dict[str, Any] = {
        "opened": [opening.at for opening in record.opened],
        "seeds": list(result.seeds),
        "epochs": config.epochs,
        "mean": config.mean,
        "std": config.std,
        "interval_95": {name: [low, config.high[name]] for name, low in config.low.items()},
        "compared": {
            f"trial {pair.first} minus trial {pair.second}": {
                name: one.model_dump() for name, one in pair.metrics.items()
            }
            for pair in result.pairs
            if trial in (pair.first, pair.second)
        },
    }
    if config.optimism is not None:
        found["optimism"] = {**config.optimism.model_dump(), "luck": config.optimism.luck}
    return found
