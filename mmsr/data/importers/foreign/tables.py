"""Importing from Python: tables in memory, under the rules of tables in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsr.data.importers.foreign.memory import as_features, as_table
from mmsr.data.importers.prepare import Prepared, prepare
from mmsr.data.importers.sources import Sources
from mmsr.data.manifest import IN_PYTHON, ImportSettings
from mmsr.data.progress import Reporter
from mmsr.errors import UserError, unknown


def import_tables(
    name: str,
    interactions: Any,
    items: Any = None,
    features: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Prepared:
    """Make a data set of tables in memory, under `$MMSR_HOME/datasets`.

    A table is a data frame of pandas or polars, an Arrow table, a mapping of columns by name, or
    whatever has `__arrow_c_stream__`. The rules are those of files, and the same content gives the
    same data set. If it was made from the same tables and settings before, nothing is done. Errors
    name the argument and the row, counted from 0.

    Parameters
    ----------
    name : name of the data set.
    interactions : table of user_id, item_id and timestamp.
    items : table of item_id and any of title, description, brand, categories, image.
    features : vectors by modality: a table of item_id and vector, or a pair `(ids, matrix)` of
        `[n]` ids and `[n, width]` numbers.
    overwrite : make it anew if it exists, whatever it was made from.
    reporter : shows the stages of the work.
    **settings : any field of `ImportSettings`, e.g. ``protocol="leave-one-out"``, ``core=2`` or
        ``columns={"timestamp": "datetime"}``.

    Raises
    ------
    UserError : bad input, or the name is taken by other inputs.
    """
    for setting in settings:
        if setting not in ImportSettings.model_fields:
            raise unknown("setting", setting, ImportSettings.model_fields)
    if features is not None and not isinstance(features, Mapping):
        raise UserError(
            f"features is {type(features).__name__}: give a table for each modality, e.g. "
            '{"image": (ids, matrix)}'
        )
    sources = Sources(
        as_table(interactions, "interactions"),
        None if items is None else as_table(items, "items"),
        {
            str(modality): as_features(table, f"features[{modality!r}]")
            for modality, table in (features or {}).items()
        },
        given=IN_PYTHON,
    )
    checked = ImportSettings.checked(**settings)
    return prepare(name, sources, checked, overwrite=overwrite, reporter=reporter)
