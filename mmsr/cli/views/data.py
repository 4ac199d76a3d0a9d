"""How data sets look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mmsr.data.catalogue.published import compared
from mmsr.data.encoders.lacks import LIST_FILE
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.manifest import Manifest, shown
from mmsr.data.openings import RecordedOpening
from mmsr.format import data_size, plural

if TYPE_CHECKING:
    from mmsr.data.exporters.export import Exported

_QUANTILES = {"shortest": 0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "longest": 1}
_BAR = 40
_POSITIONS = (
    "timestamps are positions in the histories: the version of mmsr that imported the data set did "
    "not keep the moments"
)


def overview(manifests: Mapping[str, Manifest]) -> Table:
    """Table of data sets, one per row.

    Parameters
    ----------
    manifests : by name of the data set.
    """
    table = _table("data set", ">users", ">items", ">interactions", "protocol", "modalities")
    for name, manifest in manifests.items():
        counts = manifest.counts
        table.add_row(
            name,
            f"{counts.users:,}",
            f"{counts.items:,}",
            f"{counts.interactions:,}",
            manifest.protocol,
            ", ".join(sorted(manifest.modalities)) or "none",
        )
    return table


def summary(verb: str, name: str, manifest: Manifest, rows: Sequence[RowCount]) -> Text:
    """Describe an import in a few lines.

    Parameters
    ----------
    verb : what was done, e.g. ``"imported"``.
    name : name of the data set.
    manifest : manifest of the data set.
    rows : what became of the rows of each table.
    """
    counts = manifest.counts
    lines = [
        f": {plural(counts.users, 'user')}, {plural(counts.items, 'item')}, "
        f"{plural(counts.interactions, 'interaction')}; modalities: {_modalities(manifest)}",
        f"{manifest.protocol}: {counts.train_targets:,} training, {counts.valid_targets:,} "
        f"validation and {counts.test_targets:,} test targets",
        *(str(count) for count in rows),
        *_left_out(manifest),
        *_published(manifest),
        f"more: mmsr data describe {name}",
    ]
    return Text.assemble((f"{verb} {name}", "bold"), "\n".join(lines))


def exported(done: Exported) -> Text:
    """Describe an export in a few lines.

    Parameters
    ----------
    done : the export.
    """
    record = done.record
    parts = ", ".join(f"{n:,} {part}" for part, n in record.interactions.items())
    lines = [
        f" to {done.folder}: {plural(record.users, 'user')}, "
        f"{plural(record.items, 'item')}; interactions: {parts}",
        f"test is included; its opening is on record: mmsr data describe {record.dataset}"
        if record.with_test
        else "test is not included and stays closed; --with-test opens and includes it",
        *([] if record.moments else [_POSITIONS]),
        f"how to read it: {done.folder / 'README.md'}",
    ]
    return Text.assemble((f"exported {record.dataset}", "bold"), "\n".join(lines))


def description(
    name: str, manifest: Manifest, openings: Sequence[RecordedOpening], set_apart_at: str | None
) -> RenderableType:
    """Everything that a manifest records, and when test was opened.

    Parameters
    ----------
    name : name of the data set.
    manifest : manifest of the data set.
    openings : the recorded openings of its test part.
    set_apart_at : time in UTC before which none was recorded; None if all were.
    """
    return Group(
        Text(name, style="bold"),
        "",
        _size(manifest),
        "",
        _splits(manifest),
        "",
        *_histories(manifest),
        "",
        _coverage(manifest),
        "",
        *_origin(manifest),
        "",
        _openings(name, openings),
        *([_before(set_apart_at)] if set_apart_at is not None else []),
    )


def _table(*columns: str) -> Table:
    """A plain table; columns marked with `>` hold numbers and are aligned right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        right = column.startswith(">")
        justify: JustifyMethod = "right" if right else "left"
        table.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    return table


def _size(manifest: Manifest) -> Table:
    counts = manifest.counts
    table = _table(">users", ">items", ">interactions", ">per user", ">per item", ">sparsity")
    table.add_row(
        f"{counts.users:,}",
        f"{counts.items:,}",
        f"{counts.interactions:,}",
        f"{counts.mean_history:.2f}",
        f"{counts.interactions / counts.items:.2f}",
        f"{counts.sparsity:.2%}",
    )
    return table


def _splits(manifest: Manifest) -> Table:
    counts = manifest.counts
    table = _table(f"split by {manifest.protocol}", ">targets", "from")
    table.add_row("train", f"{counts.train_targets:,}", "")
    table.add_row("validation", f"{counts.valid_targets:,}", manifest.valid_from or "")
    table.add_row("test", f"{counts.test_targets:,}", manifest.test_from or "")
    return table


def _histories(manifest: Manifest) -> list[RenderableType]:
    lengths = np.array(sorted(manifest.history_lengths))
    users = np.array([manifest.history_lengths[int(length)] for length in lengths])
    shares = np.cumsum(users) / users.sum()
    quantiles = _table("history length", *(f">{name}" for name in _QUANTILES))
    at = [lengths[np.searchsorted(shares, share)] for share in _QUANTILES.values()]
    quantiles.add_row("items", *(f"{length:,}" for length in at))
    histogram = _table("items", ">users", "")
    edges = _edges(int(lengths[0]), int(lengths[-1]))
    counts = [int(users[(lengths >= a) & (lengths < b)].sum()) for a, b in edges]
    for (first, end), count in zip(edges, counts, strict=True):
        bar = "█" * round(_BAR * count / max(counts)) or ("▏" if count else "")
        label = f"{first}" if end == first + 1 else f"{first}–{end - 1}"
        histogram.add_row(label, f"{count:,}", Text(bar, style="cyan"))
    return [quantiles, "", histogram]


def _edges(shortest: int, longest: int) -> list[tuple[int, int]]:
    """Half-open ranges that double in width; the last one ends at the longest history."""
    edges, first, width = [], shortest, max(1, shortest // 2)
    while first <= longest:
        edges.append((first, min(first + width, longest + 1)))
        first, width = first + width, width * 2
    return edges


def _coverage(manifest: Manifest) -> RenderableType:
    if not manifest.modalities:
        return Text("no modality: items are known by their ids alone")
    table = _table("modality", ">items with a vector", ">coverage", ">width", "made by")
    for modality, coverage in sorted(manifest.modalities.items()):
        table.add_row(
            modality,
            f"{coverage.items:,}",
            f"{coverage.items / manifest.counts.items:.1%}",
            f"{coverage.width}",
            coverage.source,
        )
    return table


def _origin(manifest: Manifest) -> list[RenderableType]:
    origin = manifest.provenance
    table = _table("made from", "file", ">size", "sha256")
    for file in origin.inputs:
        table.add_row(file.role, file.path, data_size(file.bytes), file.sha256[:12])
    changed = origin.settings.model_dump(exclude_defaults=True)
    settings = "; ".join(f"{key} {shown(value)}" for key, value in changed.items())
    lines = [
        *([f"generated by: {origin.generator}"] if origin.generator else []),
        f"settings: {settings or 'all defaults'}",
        *_left_out(manifest),
        *_published(manifest),
        f"made {origin.created_at} by {origin.created_by}; content {manifest.content_hash[:12]}",
    ]
    return [table, "", "\n".join(lines)]


def _openings(name: str, openings: Sequence[RecordedOpening]) -> RenderableType:
    """When test was opened, by whom and what for, under other names of the same content too."""
    if not openings:
        return Text("no opening of test on record")
    table = _table("test was opened (UTC)", "by", "for")
    for one in openings:
        named = f" (data set {one.dataset})" if one.dataset != name else ""
        where = f", {one.user} on {one.host}" if one.host else ""
        table.add_row(_shown_time(one.at), one.who + where, one.why + named)
    return table


def _before(set_apart_at: str) -> Text:
    return Text(
        f"until {_shown_time(set_apart_at)} (UTC), a test part was in the data set's own folder, "
        "where earlier versions have it; they keep no record here, so earlier openings stand "
        "at most in the records of studies"
    )


def _shown_time(at: str) -> str:
    return at[:19].replace("T", " ")


def _left_out(manifest: Manifest) -> list[str]:
    """Lines on what the import left out or kept without metadata; none if there is nothing."""
    dropped = manifest.provenance.dropped
    core = manifest.provenance.settings.core
    parts = [
        ("duplicate interaction", "", dropped.duplicate_interactions),
        ("interaction", f" outside the {core}-core", dropped.core_interactions),
        ("user", f" outside the {core}-core", dropped.core_users),
        ("item", f" outside the {core}-core", dropped.core_items),
        ("metadata row", " of items without interactions", dropped.unused_metadata_rows),
        *(
            (f"{modality} vector", " of items without interactions", count)
            for modality, count in dropped.unused_vectors.items()
        ),
    ]
    told = [f"{plural(count, noun)}{which}" for noun, which, count in parts if count]
    lines = [f"left out: {', '.join(told)}"] if told else []
    if dropped.unencoded:
        failed = (f"{count:,} of {modality}" for modality, count in dropped.unencoded.items())
        lines.append(f"could not be encoded (see {LIST_FILE}): {', '.join(failed)}")
    if dropped.items_without_metadata:
        lines.append(f"kept without metadata: {plural(dropped.items_without_metadata, 'item')}")
    return lines


def _published(manifest: Manifest) -> list[str]:
    """A line that compares the counts with published ones, where there are any."""
    line = compared(manifest)
    return [] if line is None else [line]


def _modalities(manifest: Manifest) -> str:
    shown = (
        f"{name} ({coverage.items / manifest.counts.items:.1%} of items, {coverage.width} wide)"
        for name, coverage in sorted(manifest.modalities.items())
    )
    return ", ".join(shown) or "none"
