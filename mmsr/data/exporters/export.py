"""Exporting a prepared data set: one folder, complete or not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmsr.data.dataset import Dataset
from mmsr.data.exporters.base import Exporter
from mmsr.data.exporters.folder import (
    RECORD_FILE,
    ExportRecord,
    check_output,
    files_in,
    replacing,
)
from mmsr.data.exporters.histories import ExportedHistories, check_moments, read_histories
from mmsr.data.exporters.parquet import Parquet
from mmsr.data.exporters.recbole import RecBole
from mmsr.data.exporters.rectools import RecTools
from mmsr.data.held_out import check_test
from mmsr.data.progress import Reporter, Silent
from mmsr.data.splits import COLD_ITEMS
from mmsr.errors import unknown
from mmsr.provenance import now
from mmsr.version import __version__

FORMATS: dict[str, Exporter] = {
    "recbole": RecBole(),
    "parquet": Parquet(),
    "rectools": RecTools(),
}
_README_FILE = "README.md"
_README = """\
# {name}, exported by {made_by}

| | |
|---|---|
| content | `{content_hash}` |
| protocol | {protocol} |
| size | {users:,} users, {items:,} items |
{parts}
| timestamps | {moments} |

{test}{targets}
{guide}"""
_WITH_TEST = "The test part is included: choose nothing by it.\n"
_WITHOUT_TEST = "This is development data alone: the test part is not included.\n"
_NEW_ITEMS = """\

With the protocol cold-items, the targets of a part but train are interactions with new items: those
that no user has in an earlier part. The other rows of `split` valid and test are no targets.
"""
_MOMENTS = {
    True: "as imported",
    False: "positions in the histories: the data set was imported by a version of mmsr that did "
    "not keep the moments",
}


@dataclass(frozen=True)
class Exported:
    """A finished export: its folder, and what it is of."""

    folder: Path
    record: ExportRecord


def export(
    dataset: Dataset,
    to: str,
    output: str,
    *,
    with_test: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Exported:
    """Write a data set as files of another library, with the split.

    The files are written beside the folder, which is replaced at the end. Test is opened only when
    everything else has been checked.

    Parameters
    ----------
    dataset : a prepared data set.
    to : name of the format, in `FORMATS`.
    output : the folder to make.
    with_test : whether to open test, which is recorded, and to export it, too.
    overwrite : whether an earlier export may be replaced.
    reporter : shows the stages of the work.

    Raises
    ------
    UserError : an unknown format, a folder that cannot be used, something that the format cannot
        hold, a temporal data set without moments, or test stays closed, e.g. to a trial.
    """
    reporter = reporter or Silent()
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    exporter = FORMATS[to]
    target = check_output(output, overwrite=overwrite)
    if with_test:
        check_test(dataset)
    check_moments(dataset)
    exporter.check(dataset)
    opened = f"opening test, which is on record: mmsr data describe {dataset.name}"
    with replacing(target) as folder:
        why = f"export to {to}: {target}" if with_test else None
        histories = read_histories(dataset, why=why, recorded=lambda: reporter.note(opened))
        exporter.write(folder, histories, reporter)
        record = _record(histories, to, {*files_in(folder), RECORD_FILE, _README_FILE})
        record.write(folder)
        readme = _readme(record, exporter.guide(histories))
        (folder / _README_FILE).write_text(readme, encoding="utf-8")
    return Exported(target, record)


def _record(histories: ExportedHistories, to: str, files: Iterable[str]) -> ExportRecord:
    dataset = histories.dataset
    return ExportRecord(
        dataset=dataset.name,
        content_hash=dataset.content_hash,
        protocol=dataset.protocol,
        format=to,
        with_test=histories.with_test,
        moments=histories.has_moments,
        users=dataset.n_users,
        items=dataset.n_items,
        interactions=histories.counts,
        targets={part: len(histories.examples(part)) for part in histories.part_names},
        features={name: len(dataset.features(name).items) for name in dataset.modalities},
        files=tuple(sorted(files)),
        created_at=now(),
        created_by=f"mmsr {__version__}",
    )


def _readme(record: ExportRecord, guide: str) -> str:
    parts = "\n".join(
        f"| {part} | {record.interactions[part]:,} interactions, {targets:,} targets |"
        for part, targets in record.targets.items()
    )
    return _README.format(
        name=record.dataset,
        made_by=record.created_by,
        content_hash=record.content_hash,
        protocol=record.protocol,
        users=record.users,
        items=record.items,
        parts=parts,
        moments=_MOMENTS[record.moments],
        test=_WITH_TEST if record.with_test else _WITHOUT_TEST,
        targets=_NEW_ITEMS if record.protocol == COLD_ITEMS else "",
        guide=guide,
    )
