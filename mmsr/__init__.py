"""Hyperparameter studies for multi-modal sequential recommendation.

`open_study`, `studies` and `datasets` read what is there; `load` loads a trained model. All import
what they need when they are called, so `import mmsr` takes no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def load(source: str | Path, **options: Any) -> Recommender:
    """Load a trained model, to recommend with.

    Parameters
    ----------
    source : name of a study, folder of a checkpoint, or folder of an exported model.
    options : as for `mmsr.serving.sources.load`.
    """
    from mmsr.serving import sources

    return sources.load(source, **options)
