"""The studies and the data sets of this home, as data frames."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mmsr.data import catalog
from mmsr.errors import UserError
from mmsr.study.reader.frames import frame_of
from mmsr.study.storage.folder import study_names
from mmsr.study.views.studies import study_lines

if TYPE_CHECKING:
    import pandas as pd


def studies_frame() -> pd.DataFrame:
    """What `mmsr.studies` returns."""
    lines, notes = study_lines(study_names())
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return frame_of(
        {
            "dataset": [line.dataset for line in lines],
            "objective": [line.objective for line in lines],
            "state": [line.state for line in lines],
            "trials": [line.over for line in lines],
            "wanted": [line.wanted for line in lines],
            "best": [line.best for line in lines],
        },
        index=("study", [line.name for line in lines]),
    )


def datasets_frame() -> pd.DataFrame:
    """What `mmsr.datasets` returns."""
    found = {}
    for name in catalog.names():
        try:
            found[name] = catalog.manifest(name)
        except UserError as error:
            warnings.warn(str(error), stacklevel=3)
    manifests = list(found.values())
    return frame_of(
        {
            "users": [one.counts.users for one in manifests],
            "items": [one.counts.items for one in manifests],
            "interactions": [one.counts.interactions for one in manifests],
            "protocol": [one.protocol for one in manifests],
            "modalities": [", ".join(sorted(one.modalities)) for one in manifests],
        },
        index=("dataset", list(found)),
    )
