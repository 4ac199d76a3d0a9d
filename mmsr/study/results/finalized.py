"""The results of finalizing a study, as `finalized.json` records them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study.results.comparison import Comparison
from mmsr.study.results.held_out import Opening, all_openings
from mmsr.study.storage import database
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class SeedFigures(_Frozen):
    """One run of a config with one seed."""

    seed: int
    trial: int | None = None
    """Number of the run in the study of the final runs; None in records of older versions."""
    error: str | None = None
    """Why it failed; None if it finished."""
    epochs: int | None = None
    """Epochs of a refit; the best epoch of a run on the training part."""
    seconds: float | None = None
    metrics: dict[str, float] = {}
    """`test/…` of a refit, `valid/…` of a run on the training part; in [0, 1]."""


class Optimism(_Frozen):
    """The validation score by which a config was chosen, compared with those of other seeds."""

    selected: float
    """Score of the trial at its best epoch; this trial was the best of many."""
    mean: float
    """Mean score of the runs with other seeds, each at its best epoch; no run was selected.

    The best epochs were chosen on the same validation targets, so this mean is too high itself.
    """
    std: float | None
    """Sample standard deviation over these runs; None for a single one."""
    n: int
    """Number of these runs."""

    @property
    def luck(self) -> float:
        """The part of the selected score that other seeds do not reach; it understates the luck."""
        return self.selected - self.mean

    @property
    def error(self) -> float | None:
        """Standard error of the mean."""
        return None if self.std is None else self.std / self.n**0.5


class ConfigFigures(_Frozen):
    """One config: how it was chosen, and its test results."""

    trial: int
    """Number of the study's trial that had this config."""
    epochs: int
    """Epochs of each refit: the trial's best epoch."""
    config: dict[str, Any]
    settings: dict[str, Any] = {}
    """Values of the config keys that the study varied."""
    validation: dict[str, float]
    """Metrics of the trial's best epoch, by which the config was chosen."""
    seeds: tuple[SeedFigures, ...]
    """Refits on train + validation."""
    mean: dict[str, float]
    """Test metrics (`test/…`), mean over the refits that finished."""
    std: dict[str, float]
    """Sample standard deviation over these refits; empty for a single one."""
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    """95 % interval of the mean over users (bootstrap), with these seeds."""
    reseeded: tuple[SeedFigures, ...] = ()
    """Runs on the training part with the same seeds; empty if they were left out."""
    optimism: Optimism | None = None

    @property
    def failed(self) -> tuple[SeedFigures, ...]:
        """The runs that failed."""
        return tuple(one for one in (*self.seeds, *self.reseeded) if one.error is not None)


class PairFigures(_Frozen):
    """Two configs, compared over users by each metric."""

    first: int
    second: int
    """Numbers of the two trials."""
    metrics: dict[str, Comparison]


class FinalResult(_Frozen):
    """The test results of a study's best configs."""

    study: str
    dataset: str
    dataset_hash: str
    protocol: str
    objective: str | None = None
    seeds: tuple[int, ...]
    configs: tuple[ConfigFigures, ...]
    """Best on validation first; the order was fixed before test was opened."""
    pairs: tuple[PairFigures, ...] = ()
    n_users: int | None = None
    n_targets: int | None = None
    trials: tuple[int, int] | None = None
    """Number of the study's trials that were done, and that were to run, when the configs were
    chosen."""
    code: dict[str, str] = {}
    command: str = ""
    created_at: str | None = None

    @property
    def best(self) -> ConfigFigures:
        """The config that was best on validation."""
        return self.configs[0]

    @property
    def refit(self) -> ConfigFigures | None:
        """The best config if one of its refits finished, so that there is a model; else None."""
        for best in self.configs[:1]:
            if any(one.error is None and one.trial is not None for one in best.seeds):
                return best
        return None

    def of_trial(self, number: int) -> ConfigFigures | None:
        """The figures of the config of trial `number`; None if it was not finalized."""
        return next((config for config in self.configs if config.trial == number), None)


class FinalRecord(_Frozen):
    """Every opening of test for a study, and the newest result."""

    version: Literal[2] = 2
    opened: tuple[Opening, ...] = ()
    result: FinalResult | None = None

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, given: Any) -> Any:
        """Read records from before several configs could be finalized."""
        if not isinstance(given, dict) or "version" in given:
            return given
        opened = [
            {"at": one, "trials": []} if isinstance(one, str) else one
            for one in given.get("opened", ())
        ]
        result = given.get("result")
        if isinstance(result, dict) and "configs" not in result:
            result = _several(result)
        return {**given, "opened": opened, "result": result}


def _several(old: dict[str, Any]) -> dict[str, Any]:
    shared = {name: old.pop(name) for name in ("study", "dataset", "dataset_hash", "protocol")}
    return {**shared, "seeds": [one["seed"] for one in old["seeds"]], "configs": [old]}


def read_final(path: Path) -> FinalRecord:
    """The record of a study; an empty one if test was never opened.

    Parameters
    ----------
    path : the study's `finalized.json`.

    Raises
    ------
    UserError : the file is damaged.
    """
    try:
        return FinalRecord.model_validate_json(path.read_text())
    except FileNotFoundError:
        return FinalRecord()
    except (OSError, ValidationError, KeyError):
        raise UserError(
            f"{path} cannot be read, so it is not known whether test was opened: restore the file"
        ) from None


def chosen_trial(known: KnownStudy) -> tuple[TrialRow, Config, bool]:
    """The trial that stands for a study: the one that was finalized, or else the best.

    Parameters
    ----------
    known : the study.

    Returns
    -------
    The trial, its config, and whether it was finalized.

    Raises
    ------
    UserError : no trial has finished, or the record is damaged.
    """
    result = read_final(known.folder.finalized).result
    if result is not None and result.best.trial in known.overview.ids:
        (row,) = known.rows([result.best.trial])
        if row.config is not None:
            return row, row.config, True
    return *known.best(), False


class FinalFolder(StudyFolder):
    """The folder of a study's final runs, inside the study's own.

    Parameters
    ----------
    study : folder of the finalized study.
    part : name of the folder.
    """

    def __init__(self, study: StudyFolder, part: str = "finalize") -> None:
        self.name = f"{study.name}/{part}"
        self.path = study.path / part


def finals_name(known: KnownStudy) -> str:
    """Name of the study of a study's final runs.

    Parameters
    ----------
    known : the study that is finalized.
    """
    return f"{known.name}/finalize-{database.study_uid(known.study)[:8]}"


def finals_of(known: KnownStudy) -> KnownStudy | None:
    """The study of a study's final runs; None if none was started.

    Parameters
    ----------
    known : the study that was finalized.
    """
    study = database.load_study(database.open_storage(known.storage), finals_name(known))
    folder = FinalFolder(known.folder)
    return None if study is None else replace(known, folder=folder, study=study)


def final_record(known: KnownStudy) -> FinalRecord:
    """The record of a study, with openings by drivers on other machines and for tables of models.

    Parameters
    ----------
    known : the study.

    Raises
    ------
    UserError : the record is damaged.
    """
    import optuna

    record = read_final(known.folder.finalized)
    storage = database.open_storage(known.storage)
    opened = record.opened
    for name in optuna.get_all_study_names(storage):
        finals = database.load_study(storage, name) if name.startswith(finals_name(known)) else None
        if finals is not None:
            opened = all_openings(opened, finals)
    return record.model_copy(update={"opened": opened})
