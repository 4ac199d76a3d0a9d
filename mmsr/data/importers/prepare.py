"""Making a prepared data set from neutral tables: once, and completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsr import __version__, paths
from mmsr.data.closed import TEST_FILE
from mmsr.data.dataset import Dataset, FeatureTable
from mmsr.data.encoders.lacks import Lack, note_lacks, write_lacks
from mmsr.data.folders import check_name, locked, replacing, set_apart, waiting_test_file
from mmsr.data.importers.encoding import Encoders, check_encoders, encode_items, hash_images
from mmsr.data.importers.features import UNUSED, read_features
from mmsr.data.importers.interactions import Interactions, read_interactions
from mmsr.data.importers.items import Metadata, check_texts, read_metadata
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.importers.sources import Sources, check_sources, hash_inputs
from mmsr.data.manifest import (
    MANIFEST_FILE,
    Counts,
    Coverage,
    Dropped,
    ImportSettings,
    InputFile,
    Manifest,
    Provenance,
)
from mmsr.data.mirror import has_test, publish
from mmsr.data.progress import Reporter, Silent
from mmsr.data.splits import PROTOCOLS, Split
from mmsr.data.storage import content_hash, list_column, vector_column, write_arrow
from mmsr.errors import UserError
from mmsr.provenance import now


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
        if (target / MANIFEST_FILE).exists() and not overwrite:
            dataset = Dataset(target)
            differences = dataset.manifest.provenance.differences(inputs, settings)
            if differences:
                raise UserError(
                    f"data set {name!r} exists and was made differently ({', '.join(differences)})"
                    ": use --overwrite to replace it, or choose another name"
                )
            if has_test(target):
                publish(target)
                return Prepared(dataset, fresh=False)
        encoders = Encoders.load(sources, settings, device)
        with replacing(target) as draft:
            rows = _write(draft, name, sources, settings, encoders, inputs, reporter)
        publish(target)
        return Prepared(Dataset(target), True, rows)


def _write(
    folder: Path,
    name: str,
    sources: Sources,
    settings: ImportSettings,
    encoders: Encoders,
    inputs: tuple[InputFile, ...],
    reporter: Reporter,
) -> tuple[RowCount, ...]:
    """Read, check and split everything; write it into `folder`, test to where it waits."""
    with reporter.stage("reading interactions"):
        kept = read_interactions(
            sources.interactions,
            settings.core,
            settings.columns,
            moments=settings.protocol == "temporal",
        )
    test_from = None
    if settings.test_from is not None:
        test_from = kept.times.parse(settings.test_from, "--test-from")
    split = PROTOCOLS[settings.protocol](kept.histories, test_from)
    metadata = Metadata.empty(kept.item_ids)
    if sources.items is not None:
        notes: list[str] = []
        with reporter.stage("reading items"):
            metadata = read_metadata(sources.items, kept.item_ids, settings, notes.append)
        _show(notes, reporter)
    features, coverage, counts = _features(sources, settings, kept, reporter)
    lacks: dict[str, Sequence[Lack]] = {}
    for modality, (encoded, made_by) in encode_items(
        encoders, sources, settings, metadata, reporter
    ).items():
        features[modality] = encoded.table
        coverage[modality] = _coverage(encoded.table, made_by)
        lacks[modality] = encoded.lacks
    if settings.text and "text" not in features and sources.items is not None:
        check_texts(sources.items, settings, lambda note: _show([note], reporter))

    lengths = kept.histories.lengths
    train, valid, test = split.count_targets(lengths)
    for part, n_targets in (("training", train), ("validation", valid), ("test", test)):
        if n_targets == 0:
            raise UserError(
                f"{sources.interactions}: protocol {settings.protocol!r} leaves no {part} target: "
                "give longer histories, or choose another protocol"
            )
    ids = kept.item_ids
    noted = {
        modality: note_lacks(modality, some, ids, reporter) for modality, some in lacks.items()
    }
    unencoded = {modality: count for modality, count in noted.items() if count}
    write_lacks(folder, lacks, ids)
    tables = _tables(kept, split, metadata, features)
    whole = content_hash(settings.protocol, tables)
    with reporter.stage("writing", len(tables)) as advance:
        for file, table in tables.items():
            if file == TEST_FILE:
                _write_test(waiting_test_file(name, whole), table)
            else:
                write_arrow(folder / file, table)
            advance(1)
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
        history_lengths={
            int(n): int(users)
            for n, users in zip(*np.unique(lengths, return_counts=True), strict=True)
        },
        modalities=coverage,
        provenance=Provenance(
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
                    modality: count.dropped[UNUSED] for modality, count in counts.items()
                },
                unencoded=unencoded,
            ),
            created_at=now(),
            created_by=f"mmsr {__version__}",
            generator=sources.generator,
        ),
    ).write(folder)
    items = () if metadata.count is None else (metadata.count,)
    return (kept.count, *items, *counts.values())


def _write_test(path: Path, table: pa.Table) -> None:
    """Write the test part completely or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    write_arrow(partial, table)
    partial.replace(path)


def _features(
    sources: Sources,
    settings: ImportSettings,
    kept: Interactions,
    reporter: Reporter,
) -> tuple[dict[str, FeatureTable], dict[str, Coverage], dict[str, RowCount]]:
    """Vectors that are given, their coverage of the items, and what became of the rows."""
    features, counts = {}, {}
    for modality, path in sorted(sources.features.items()):
        notes: list[str] = []
        with reporter.stage(f"reading {modality} features"):
            features[modality], counts[modality] = read_features(
                path, modality, kept.item_ids, settings.columns, notes.append
            )
        _show(notes, reporter)
    coverage = {modality: _coverage(table, "file") for modality, table in features.items()}
    return features, coverage, counts


def _coverage(table: FeatureTable, source: str) -> Coverage:
    return Coverage(items=len(table.items), width=table.vectors.shape[1], source=source)


def _show(notes: Iterable[str], reporter: Reporter) -> None:
    for note in notes:
        reporter.note(note)


def _tables(
    kept: Interactions,
    split: Split,
    metadata: Metadata,
    features: Mapping[str, FeatureTable],
) -> dict[str, pa.Table]:
    """All Arrow tables of the data set by file name."""
    histories = kept.histories
    users = np.arange(len(kept.user_ids), dtype=np.int32)
    n_seen = histories.lengths - split.n_test
    position = np.arange(len(histories.items)) - np.repeat(
        histories.offsets[:-1], histories.lengths
    )
    is_seen = position < np.repeat(n_seen, histories.lengths)
    parts: list[pa.Array] = []
    for part, counts in ((is_seen, n_seen), (~is_seen, split.n_test)):
        offsets = np.concatenate([[0], np.cumsum(counts)])
        parts.append(list_column(histories.items[part], offsets))
    tables = {
        "development.arrow": pa.table(
            {"user": users, "items": parts[0], "n_valid": split.n_valid.astype(np.int32)}
        ),
        TEST_FILE: pa.table({"user": users, "items": parts[1]}),
        "items.arrow": metadata.table,
        "users.arrow": pa.table({"user_id": kept.user_ids}),
    }
    for modality, table in features.items():
        tables[f"features/{modality}.arrow"] = pa.table(
            {"item": table.items.astype(np.int32), "vector": vector_column(table.vectors)}
        )
    return tables
