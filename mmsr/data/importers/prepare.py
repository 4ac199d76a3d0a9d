"""Making a prepared data set from neutral tables: once, and completely or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsr import paths
from mmsr.data.closed import TEST_FILE
from mmsr.data.dataset import Dataset
from mmsr.data.encoders.lacks import note_lacks, write_lacks
from mmsr.data.folders import check_name, locked, replacing, set_apart, waiting_test_file
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.encoding import Encoders, check_encoders, hash_images
from mmsr.data.importers.features import UNUSED
from mmsr.data.importers.foreign.staging import staged
from mmsr.data.importers.gather import Gathered, gather
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.importers.scratch import scratch
from mmsr.data.importers.sources import Sources, check_sources, hash_inputs
from mmsr.data.manifest import (
    MANIFEST_FILE,
    Counts,
    Dropped,
    ImportSettings,
    InputFile,
    Manifest,
    Provenance,
)
from mmsr.data.mirror import has_test, publish
from mmsr.data.progress import Reporter, Silent
from mmsr.data.storage import (
    MOMENTS,
    content_hash,
    parted,
    vector_column,
    write_arrow,
)
from mmsr.errors import UserError
from mmsr.provenance import now
from mmsr.version import __version__

_DEVELOPMENT = "development.arrow"


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.

    Attributes
    ----------
    dataset : the data set.
    fresh : whether this call made it (otherwise it existed already).
    rows : what became of the rows of each table, where this call read them.
    """

    dataset: Dataset
    fresh: bool
    rows: tuple[RowCount, ...] = ()


def prepare(
    name: str,
    sources: Sources,
    settings: ImportSettings | None = None,
    *,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    device: str = "auto",
) -> Prepared:
    """Make a data set from neutral tables, under `$MMSR_HOME/datasets`.

    If it was made from the same inputs and settings before, nothing is done, unless its test part
    is gone. The work is done beside the target and moved into place at the end; only one process at
    a time works on a name. The test part goes to `$MMSR_HOME/held-out`. See `read_interactions`,
    `read_metadata` and `read_features` for the rules on duplicates, unknown items and order.

    Parameters
    ----------
    name : name of the data set.
    sources : the tables.
    settings : every other choice; None stands for the defaults.
    overwrite : make it anew if it exists, whatever it was made from.
    reporter : shows the stages of the work.
    device : where encoders run, see `EncoderOptions`; it is no part of the settings.

    Raises
    ------
    UserError : bad input, or the name is taken by other inputs.
    """
    settings = settings or ImportSettings()
    reporter = reporter or Silent()
    check_name(name)
    check_sources(sources, settings)
    check_encoders(sources, settings)
    if not overwrite:
        set_apart(paths.datasets() / name)
    with locked(name, reporter) as target:
        inputs = hash_inputs(sources, reporter) + hash_images(sources, settings, reporter)
        if not overwrite and (dataset := unchanged(name, inputs, settings)):
            publish(target)
            return Prepared(dataset, fresh=False)
        encoders = Encoders.load(sources, settings, device)
        with (
            replacing(target) as draft,
            staged(sources, settings, reporter) as ready,
            scratch() as folder,
        ):
            made_of = gather(ready.files, settings, encoders, Scratch(folder), ready.reporter)
            unencoded = _note_lacks(made_of, draft, reporter)
            provenance = _provenance(sources, inputs, settings, made_of, unencoded)
            _write(draft, name, made_of, settings, provenance, reporter)
            rows = ready.named(made_of.rows)
        publish(target)
        return Prepared(Dataset(target), True, rows)


def unchanged(name: str, inputs: tuple[InputFile, ...], settings: ImportSettings) -> Dataset | None:
    """The data set of this name, if it is complete; None where it has to be made.

    Parameters
    ----------
    name : name of the data set.
    inputs, settings : what it must have been made from.

    Raises
    ------
    UserError : it was made from others.
    """
    target = paths.datasets() / name
    if not (target / MANIFEST_FILE).exists():
        return None
    dataset = Dataset(target)
    differences = dataset.manifest.provenance.differences(inputs, settings)
    if differences:
        raise UserError(
            f"data set {name!r} exists and was made differently ({', '.join(differences)})"
            ": use --overwrite to replace it, or choose another name"
        )
    return dataset if has_test(target) else None


def _write(
    folder: Path,
    name: str,
    made_of: Gathered,
    settings: ImportSettings,
    provenance: Provenance,
    reporter: Reporter,
) -> None:
    """Write a data set into `folder`, its test part to where it waits."""
    tables = _tables(made_of)
    whole = content_hash(settings.protocol, tables)
    for file, moments in _moments(made_of).items():
        tables[file] = tables[file].append_column(MOMENTS, moments)
    with reporter.stage("writing", len(tables)) as advance:
        for file, table in tables.items():
            if file == TEST_FILE:
                _write_test(waiting_test_file(name, whole), table)
            else:
                write_arrow(folder / file, table)
            advance(1)
    kept, split = made_of.kept, made_of.split
    train, valid, test = made_of.targets
    lengths, users = np.unique(kept.histories.lengths, return_counts=True)
    Manifest(
        content_hash=whole,
        counts=Counts(
            users=len(kept.user_ids),
            items=len(kept.item_ids),
            interactions=len(kept.histories.items),
            train_targets=train,
            valid_targets=valid,
            test_targets=test,
        ),
        protocol=settings.protocol,
        valid_from=None if split.valid_from is None else kept.times.show(split.valid_from),
        test_from=None if split.test_from is None else kept.times.show(split.test_from),
        history_lengths=dict(zip(lengths.tolist(), users.tolist(), strict=True)),
        modalities=dict(made_of.coverage),
        provenance=provenance,
    ).write(folder)


def _provenance(
    origin: Sources,
    inputs: tuple[InputFile, ...],
    settings: ImportSettings,
    made_of: Gathered,
    unencoded: dict[str, int],
) -> Provenance:
    kept, metadata = made_of.kept, made_of.metadata
    return Provenance(
        inputs=inputs,
        settings=settings,
        dropped=Dropped(
            duplicate_interactions=kept.duplicates,
            core_users=kept.core_users,
            core_items=kept.core_items,
            core_interactions=kept.core_interactions,
            items_without_metadata=metadata.missing,
            unused_metadata_rows=metadata.unused,
            unused_vectors={
                modality: count.dropped[UNUSED] for modality, count in made_of.counts.items()
            },
            unencoded=unencoded,
        ),
        created_at=now(),
        created_by=f"mmsr {__version__}",
        generator=origin.generator,
        given=origin.given,
        entry=origin.entry,
    )


def _note_lacks(made_of: Gathered, folder: Path, reporter: Reporter) -> dict[str, int]:
    """List the items that could not be encoded, and count them by modality."""
    ids = made_of.kept.item_ids
    counts = {
        modality: note_lacks(modality, some, ids, reporter)
        for modality, some in made_of.lacks.items()
    }
    write_lacks(folder, made_of.lacks, ids)
    return {modality: count for modality, count in counts.items() if count}


def _write_test(path: Path, table: pa.Table) -> None:
    """Write the test part completely or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    write_arrow(partial, table)
    partial.replace(path)


def _tables(made_of: Gathered) -> dict[str, pa.Table]:
    """All Arrow tables of the data set by file name."""
    kept, split = made_of.kept, made_of.split
    histories = kept.histories
    users = np.arange(len(kept.user_ids), dtype=np.int32)
    seen, test = parted(histories.items, histories.offsets, split.n_test)
    tables = {
        _DEVELOPMENT: pa.table(
            {"user": users, "items": seen, "n_valid": split.n_valid.astype(np.int32)}
        ),
        TEST_FILE: pa.table({"user": users, "items": test}),
        "items.arrow": made_of.metadata.table,
        "users.arrow": pa.table({"user_id": kept.user_ids}),
    }
    for modality, table in made_of.features.items():
        tables[f"features/{modality}.arrow"] = pa.table(
            {"item": table.items.astype(np.int32), "vector": vector_column(table.vectors)}
        )
    return tables


def _moments(made_of: Gathered) -> dict[str, pa.Array]:
    """The moments of development and test by file name, which are no part of the content."""
    kept, times = made_of.kept, made_of.kept.times
    values = times.values.view(f"datetime64[{times.unit}]") if times.dated else times.values
    parts = parted(values, kept.histories.offsets, made_of.split.n_test)
    return dict(zip((_DEVELOPMENT, TEST_FILE), parts, strict=True))
