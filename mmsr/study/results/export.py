"""The best config as a YAML file that can be run again, with its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmsr.errors import UserError, reason_of
from mmsr.paths import write_whole
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
    record = read_final(known.folder.finalized) if known.is_here else FinalRecord()
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
        "finalized": _finalized(record, row.number),
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


def check_new(file: Path, overwrite: bool, how: str) -> None:
    """Refuse to replace a file unasked.

    Parameters
    ----------
    file : the file to write.
    overwrite : whether it may be replaced.
    how : how to say that, for the error.

    Raises
    ------
    UserError : the file exists, or its folder cannot be looked into.
    """
    try:
        exists = file.exists()
    except OSError as error:
        raise _unwritable(file, error) from None
    if exists and not overwrite:
        raise UserError(f"{file} exists: name another file, or {how}")


def write_config(file: Path, text: str) -> None:
    """Write the text of a config: the whole of it, or nothing.

    Parameters
    ----------
    file : the file to write; its folder must exist.
    text : what `export_best` returns.

    Raises
    ------
    UserError : it cannot be written.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe, say: it cannot be replaced
            file.write_text(text, encoding="utf-8")
        else:
            write_whole(file, text.encode())
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {file}: {reason_of(error)}; name a file in a folder with space that you can "
        "write to"
    )


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
