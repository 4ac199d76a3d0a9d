"""The honest end of a study: refit the best config, open test once, and put that on record."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr.config import Config
from mmsr.data import Dataset, check_test
from mmsr.errors import UserError
from mmsr.study.leaderboard import TrialRow, best, rows
from mmsr.study.lookup import KnownStudy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmsr.data import Prefixes
    from mmsr.models.mmsr import MMSR

Progress = Callable[[str], None]


class SeedResult(BaseModel):
    """Test metrics of one refit."""

    model_config = ConfigDict(frozen=True)

    seed: int
    metrics: dict[str, float]


class FinalResult(BaseModel):
    """What test said of a study's best config."""

    model_config = ConfigDict(frozen=True)

    study: str
    trial: int
    dataset: str
    dataset_hash: str
    protocol: str
    epochs: int
    """Epochs of each refit: the best epoch of the trial."""
    config: dict[str, Any]
    validation: dict[str, float]
    """Metrics of the trial's best epoch, by which the config was chosen."""
    seeds: tuple[SeedResult, ...]
    mean: dict[str, float]
    std: dict[str, float]
    """Sample standard deviation over seeds; empty for a single seed."""


class FinalRecord(BaseModel):
    """`finalized.json`: every time that test was opened, and the newest result."""

    model_config = ConfigDict(frozen=True)

    opened: tuple[str, ...] = ()
    result: FinalResult | None = None


def read_final(path: Path) -> FinalRecord:
    """The record of a study; an empty one where test was never opened.

    Raises
    ------
    UserError : the file is damaged.
    """
    try:
        return FinalRecord.model_validate_json(path.read_text())
    except FileNotFoundError:
        return FinalRecord()
    except (OSError, ValidationError):
        raise UserError(
            f"{path} cannot be read, so it is not known whether test was opened: restore the file"
        ) from None


def finalize(
    known: KnownStudy,
    *,
    n_seeds: int,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda _: None,
) -> tuple[FinalRecord, bool]:
    """Refit the best config on train + validation with several seeds, and test it.

    The seeds are the config's own and those that follow it. Refits are kept after each epoch, so
    an interrupted call goes on where it was.

    Parameters
    ----------
    known : the study; nobody may be running it.
    n_seeds : number of refits.
    device : where to train.
    again : open test though it was opened before; this is counted.
    progress : told what is going on.

    Returns
    -------
    The record, and whether test was opened by this call.

    Raises
    ------
    UserError : no finished trial, other data, the study is being run, or it was chosen on test.
    """
    known.check_honest()
    if n_seeds < 1:
        raise UserError(f"--seeds {n_seeds}: give a whole number of at least 1")
    path = known.folder.finalized
    before = read_final(path)
    if before.opened and not again:
        if before.result is None:
            raise UserError(
                f"test was opened for study {known.name!r} on {before.opened[-1]}, but that call "
                "was cut off: --again opens it once more, which is counted"
            )
        return before, False
    with known.folder.locked():
        row, config = best(rows(known.study), known.name)
        dataset = known.open_dataset()
        check_test(dataset)
        refits = [
            (seed, _refit(known, row, config.replace({"seed": seed}), dataset, device, progress))
            for seed in range(config.seed, config.seed + n_seeds)
        ]
        opened = (*before.opened, datetime.now(UTC).isoformat(timespec="seconds"))
        record = FinalRecord(opened=opened, result=before.result)
        known.folder.write(path.name, record.model_dump_json(indent=1))
        progress("test")
        seeds = _test(refits, config, dataset, device)
        result = _result(known, row, config, seeds)
        record = FinalRecord(opened=opened, result=result)
        known.folder.write(path.name, record.model_dump_json(indent=1))
        return record, True


def _refit(
    known: KnownStudy,
    row: TrialRow,
    config: Config,
    dataset: Dataset,
    device: str,
    progress: Progress,
) -> MMSR:
    """Train on train + validation for as many epochs as were best for the trial."""
    from mmsr.training import holds_checkpoint, load_best_model, train

    config = config.replace({"training.epochs": row.best_epoch})
    folder = known.folder.path / "finalize" / f"trial-{row.number:05d}" / f"seed-{config.seed}"
    resume = folder if holds_checkpoint(folder) else None
    for result in train(config, dataset, part="development", device=device, resume=resume):
        result.save_checkpoint(folder)
        progress(f"seed {config.seed}: epoch {result.epoch} of {row.best_epoch}")
    return load_best_model(folder, config, dataset)


def _test(
    refits: list[tuple[int, MMSR]], config: Config, dataset: Dataset, device: str
) -> tuple[SeedResult, ...]:
    from mmsr.data import open_test
    from mmsr.evaluation import ranking_metrics

    prefixes = open_test(dataset)
    found = []
    for seed, model in refits:
        ranks = rank(model, prefixes, config, device)
        model.cpu()
        metrics = {f"test/{name}": value for name, value in ranking_metrics(ranks).items()}
        found.append(SeedResult(seed=seed, metrics=metrics))
    return tuple(found)


def rank(
    model: MMSR, prefixes: Prefixes, config: Config, device: str | None = None
) -> NDArray[np.int64]:
    """Rank the targets as the config says; `device` None leaves the model where it is."""
    from mmsr.evaluation import evaluate
    from mmsr.training import choose_device

    return evaluate(
        model if device is None else model.to(choose_device(device)),
        prefixes,
        max_history=config.graph.max_history,
        mask_seen=config.training.mask_seen,
    )


def _result(
    known: KnownStudy, row: TrialRow, config: Config, seeds: tuple[SeedResult, ...]
) -> FinalResult:
    values = {name: [seed.metrics[name] for seed in seeds] for name in seeds[0].metrics}
    definition = known.definition
    return FinalResult(
        study=known.name,
        trial=row.number,
        dataset=definition.dataset,
        dataset_hash=definition.dataset_hash,
        protocol=definition.protocol,
        epochs=row.best_epoch or 0,
        config=config.to_dict(),
        validation={k: v for k, v in row.metrics.items() if k.startswith("valid/")},
        seeds=seeds,
        mean={name: statistics.fmean(found) for name, found in values.items()},
        std={k: statistics.stdev(v) for k, v in values.items()} if len(seeds) > 1 else {},
    )
