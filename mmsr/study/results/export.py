"""The best config as a YAML file that can be run again, with its provenance."""

from __future__ import annotations

from typing import Any

from mmsr.provenance import now
from mmsr.study.results.finalized import FinalRecord, read_final
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.definition import NOT_RECORDED
from mmsr.study.storage.known_study import KnownStudy
from mmsr.tracking.databases import recorded


def export_best(known: KnownStudy, trial: int | None = None, model: str | None = None) -> str:
    """YAML text of the best trial's config, or that of a given trial, with its provenance.

    `mmsr train --config` runs it again; on the same data and machine the metrics are the same.

    Parameters
    ----------
    known : the study.
    trial : number of the trial; None takes the best.
    model : take the best trial of this model, in a study of several.

    Raises
    ------
    UserError : no trial has finished, the study has no such model, or its epochs were chosen on
        test.
    """
    known.check_honest()
    row, config = known.best(trial, model)
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
        "storage": recorded(known.storage),
        "tracking": recorded(known.tracking),
        "exported_at": now(),
        "finalized": _finalized(read_final(known.folder.finalized), row.number),
    }
    head = (
        f"# {_which(known, trial, model)} of study {known.name}; run it again with\n"
        "#   mmsr train --config THIS_FILE\n"
    )
    return head + config.to_yaml(provenance)


def _which(known: KnownStudy, trial: int | None, model: str | None) -> str:
    if trial is not None:
        return f"Config of trial {trial}"
    if model is not None:
        return f"Best config of {model}"
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
