"""Hyperparameter studies for multi-modal sequential recommendation.

`open_study`, `studies` and `datasets` read what is there; `load` loads a trained model. All import
what they need when they are called, so `import mmsr` takes no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from mmsr.serving.recommender import Recommender
    from mmsr.study.reader.opened import OpenedStudy

__all__ = ["__version__", "datasets", "load", "open_study", "studies"]


def open_study(name: str, storage: str | None = None) -> OpenedStudy:
    """Open an existing study by name, whether it is finished, stopped or running.

    Parameters
    ----------
    name : name of the study, as `studies` lists it.
    storage : URL of Optuna's database; None takes the one that the study was run with.

    Raises
    ------
    UserError : there is no such study, or its storage cannot be used.

    Examples
    --------
    >>> import mmsr
    >>> mmsr.open_study("toys").leaderboard()  # doctest: +SKIP
    """
    from mmsr.errors import UserError
    from mmsr.study.reader.opened import OpenedStudy
    from mmsr.study.storage.known_study import look_up

    if not isinstance(storage, str | None):
        raise UserError(f"storage={storage!r}: give the URL of a database, e.g. sqlite:///a.db")
    return OpenedStudy(look_up(name, storage))


def studies() -> pd.DataFrame:
    """The studies that were run from this `$MMSR_HOME`, one row for each, by name.

    The columns are `dataset`, `objective`, `state`, `trials` that are done, trials `wanted` in all,
    and `best`, the first objective of the best finished trial, in [0, 1].

    Warns
    -----
    UserWarning : a study cannot be read; its figures are missing.
    """
    from mmsr.study.reader.listing import studies_frame

    return studies_frame()


def datasets() -> pd.DataFrame:
    """The prepared data sets of this `$MMSR_HOME`, one row for each, by name.

    The columns are the numbers of `users`, `items` and `interactions`, the `protocol` by which
    histories are split, and the `modalities`.

    Warns
    -----
    UserWarning : the manifest of a data set cannot be read; it has no row.
    """
    from mmsr.study.reader.listing import datasets_frame

    return datasets_frame()


def load(
    source: str | Path,
    *,
    trial: int | None = None,
    refit: bool | None = None,
    seed: int | None = None,
    model: str | None = None,
    storage: str | None = None,
    device: str = "auto",
) -> Recommender:
    """Load a trained model, to recommend with.

    Parameters
    ----------
    source : name of a study, folder of a checkpoint, or folder of an exported model.
    trial : number of the study's trial. By default it is the one that was finalized best, or else
        the best one on validation.
    refit : whether to take the refit of `mmsr study finalize`, which was trained on validation
        targets, too, instead of the trial's own model. None takes it where there is one, but with
        `trial` the trial's own.
    seed : seed of the refit; by default the first one.
    model : only trials of this model, in a study of several.
    storage : URL of the study's state; by default where it was run.
    device : a torch device name, or `auto`: CUDA where there is a device, else the CPU.

    Raises
    ------
    UserError : there is no such model, or its data set has other contents now.

    Examples
    --------
    >>> import mmsr
    >>> recommender = mmsr.load("toys")  # doctest: +SKIP
    >>> recommender.recommend([["B00004TDLD", "B0000205XI"]], top=5)  # doctest: +SKIP
    """
    from mmsr.serving import sources

    return sources.load(
        source, trial=trial, refit=refit, seed=seed, model=model, storage=storage, device=device
    )
