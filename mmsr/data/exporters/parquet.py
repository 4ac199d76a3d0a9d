"""Exports as the neutral tables that `mmsr data import` reads."""

from __future__ import annotations

from pathlib import Path

from mmsr.data.dataset import Dataset
from mmsr.data.exporters.base import Exporter
from mmsr.data.exporters.histories import ExportedHistories
from mmsr.data.exporters.tables import (
    FEATURES,
    INTERACTIONS,
    ITEMS,
    features_guide,
    write_features,
    write_interactions,
    write_items,
)
from mmsr.data.manifest import ImportSettings, InputFile, Provenance
from mmsr.data.progress import Reporter

_GUIDE = """\
- `interactions.parquet`: user_id, item_id, timestamp, split; a user's rows are in the order of time
- `items.parquet`: item_id and metadata of all items
"""
_OF_TEXT = ("text", "text_encoder", "text_width", "seed")
"""Settings that say how texts are encoded."""
_AGAIN = """
In this folder, the following command makes the same data set again, with the content hash above;
the column `split` is not read, since the protocol gives the same:

    {command}
"""
_NO_AGAIN = """
An import of these tables makes another data set, split anew: test is not among them.
"""


class Parquet(Exporter):
    """Neutral tables: interactions with a column `split`, items, and vectors by modality."""

    def check(self, dataset: Dataset) -> None:
        """Refuse nothing: these tables hold all that an import takes."""

    def write(self, folder: Path, histories: ExportedHistories, reporter: Reporter) -> None:
        """Write the tables."""
        with reporter.stage("writing interactions", len(histories.items)) as advance:
            moments = {"timestamp": histories.moments}
            write_interactions(folder / INTERACTIONS, histories, moments, advance)
        with reporter.stage("writing items and features"):
            write_items(folder, histories.dataset)
            write_features(folder, histories.dataset)

    def guide(self, histories: ExportedHistories) -> str:
        """The files, and the command that imports them."""
        guide = _GUIDE + features_guide(histories.dataset)
        if not histories.with_test:
            return guide + _NO_AGAIN
        return guide + _AGAIN.format(command=import_command(histories.dataset))


def import_command(dataset: Dataset) -> str:
    """The command that makes the data set again, of the tables of its export.

    It names these tables alone, whatever the data set was made from. Texts and images that mmsr has
    encoded are imported as vectors, so that they are the same everywhere. Texts are encoded anew
    where `--text-from` chose their columns, which it reads for that alone.

    Parameters
    ----------
    dataset : a prepared data set.
    """
    provenance = dataset.manifest.provenance
    settings = provenance.settings.model_copy(update={"columns": {}, "image_encoder": None})
    modalities = list(dataset.modalities)
    if settings.text_from is not None:
        modalities = [name for name in modalities if name != "text"]
    elif "text" in modalities:
        default = ImportSettings()
        same = {name: getattr(default, name) for name in _OF_TEXT}
        settings = settings.model_copy(update=same)
    files = {"interactions": INTERACTIONS}
    if dataset.item_table.num_columns > 1:
        files["items"] = ITEMS
    files |= {f"{FEATURES}/{name}": f"{FEATURES}/{name}.parquet" for name in modalities}
    inputs = tuple(
        InputFile(role=role, path=path, sha256="0" * 64, bytes=0) for role, path in files.items()
    )
    tables = Provenance(
        inputs=inputs,
        settings=settings,
        dropped=provenance.dropped,
        created_at=provenance.created_at,
        created_by=provenance.created_by,
    )
    command = tables.command(dataset.name)
    return command.removesuffix(" --overwrite")
