"""`BestTrial`: the config of a finished trial, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmsr.config import Config
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow, finished
from mmsr.study.views.tables import settings_text


@dataclass(frozen=True)
class BestTrial:
    """A finished trial: its config, and the figures of its best epoch."""

    trial: int
    """Its number within the study."""
    score: float
    """The first objective at the best epoch, in [0, 1]."""
    config: Config
    """The whole config, as `mmsr.training.train` takes it."""
    settings: Mapping[str, Any]
    """Values of the config keys that the study varies."""
    metrics: Mapping[str, float]
    """All metrics of the best epoch."""
    best_epoch: int | None
    epochs: int
    """Number of epochs that it trained."""
    seconds: float | None

    @classmethod
    def of(cls, row: TrialRow, config: Config) -> BestTrial:
        """The figures of a trial.

        Parameters
        ----------
        row, config : the trial, and its config.
        """
        return cls(
            trial=row.number,
            score=float(row.value or 0.0),
            config=config,
            settings=row.settings,
            metrics=row.metrics,
            best_epoch=row.best_epoch,
            epochs=row.epochs,
            seconds=row.seconds,
        )

    def __repr__(self) -> str:
        return (
            f"BestTrial(trial {self.trial}: {self.score:.4f} at epoch {self.best_epoch} of "
            f"{self.epochs}; {settings_text(dict(self.settings))})"
        )


def best_of(known: KnownStudy) -> BestTrial | None:
    """The best finished trial of a study, or None.

    Parameters
    ----------
    known : the study.
    """
    if not finished(known.overview.standings):
        return None
    return BestTrial.of(*known.best())
