"""An exported model as MLflow loads it: histories in, items with scores out.

MLflow imports this module and calls `_load_pyfunc`; nothing is unpickled. Bad requests raise
`MlflowException` with `INVALID_PARAMETER_VALUE`, which its scoring server answers with 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from mmsr.errors import UserError, shown, unknown
from mmsr.format import plural
from mmsr.serving.exported.read import read_model
from mmsr.serving.options import Options, read_histories
from mmsr.serving.recommender import Recommender

HISTORY, ITEMS, SCORES = "history", "item_ids", "scores"
"""Columns of what goes in and of what comes out."""
PARAMETERS: Mapping[str, Any] = {
    name: value for name, value in asdict(Options()).items() if name != "seen"
}
"""Parameters of a request, with their defaults; that of `seen` is in the model's config."""


class Predictor:
    """Recommends for tables of histories.

    Parameters
    ----------
    recommender : the model.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def predict(self, table: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Recommend items for histories.

        Parameters
        ----------
        table : data frame with the column `history`, a list of item ids in each row, oldest first.
        params : fields of `Options`.

        Returns
        -------
        A row for each history: `item_ids` and their `scores`, best first. Histories that are
        skipped have none.

        Raises
        ------
        MlflowException : something of it cannot be answered; the code stands for status 400.
        """
        try:
            return self._predict(table, dict(params or {}))
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None

    def _predict(self, table: Any, params: dict[str, Any]) -> pd.DataFrame:
        if not isinstance(table, pd.DataFrame) or HISTORY not in table.columns:
            raise UserError(
                f"the request has no column {HISTORY!r}: send "
                '{"dataframe_records": [{"history": ["ID", "ID"]}]}'
            )
        known = {"seen", *PARAMETERS}
        if strange := next((name for name in params if name not in known), None):
            raise unknown("parameter", str(strange), sorted(known))
        ours = self._recommender
        options = Options(**{**PARAMETERS, **params})
        if options.top > len(ours.catalogue):
            raise UserError(
                f"top is {shown(options.top)}: the catalogue has "
                f"{plural(len(ours.catalogue), 'item')}"
            )
        histories = [_plain(one) for one in table[HISTORY]]
        read = read_histories(histories, ours.catalogue, options)
        ranked = ours.ranker.rank(read.histories, options)
        found = pd.DataFrame({ITEMS: [[]] * len(table), SCORES: [[]] * len(table)})
        for row, items, scores in zip(read.rows, ranked.items, ranked.scores, strict=True):
            there = items >= 0
            found.at[row, ITEMS] = ours.catalogue.ids_of(items[there]).to_pylist()
            found.at[row, SCORES] = scores[there].astype(float).tolist()
        return found


def _plain(history: Any) -> Any:
    return history.tolist() if isinstance(history, np.ndarray) else history


def _load_pyfunc(path: str) -> Predictor:
    """Load the exported model in a folder, as MLflow asks for it.

    Parameters
    ----------
    path : the folder.
    """
    return Predictor(read_model(Path(path)))
