"""Reading everything that a data set is made of: tables, texts, images; and splitting it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmsr.data.dataset import FeatureTable
from mmsr.data.encoders.lacks import Lack
from mmsr.data.importers.bounded.scratch import Scratch
from mmsr.data.importers.encoding import Encoders, encode_items
from mmsr.data.importers.features import read_features
from mmsr.data.importers.interactions import Interactions, read_interactions
from mmsr.data.importers.items import Metadata, check_texts, read_metadata
from mmsr.data.importers.readers.rows import RowCount
from mmsr.data.importers.sources import Files
from mmsr.data.manifest import Coverage, ImportSettings
from mmsr.data.progress import Reporter
from mmsr.data.splits import BY_MOMENT, PROTOCOLS, Split
from mmsr.data.storage import features_hash
from mmsr.errors import UserError


@dataclass(frozen=True)
class Gathered:
    """All that a data set is made of.

    Attributes
    ----------
    kept : the interactions.
    split : how their histories are split.
    targets : number of training, validation and test targets.
    metadata : of the items.
    features : vectors by modality, sorted.
    coverage : what the manifest says of them.
    counts : what became of the rows of each table of vectors, by modality.
    lacks : items whose text or image was given but gave no vector, by modality.
    """

    kept: Interactions
    split: Split
    targets: tuple[int, int, int]
    metadata: Metadata
    features: Mapping[str, FeatureTable]
    coverage: Mapping[str, Coverage]
    counts: Mapping[str, RowCount]
    lacks: Mapping[str, Sequence[Lack]]

    @property
    def rows(self) -> tuple[RowCount, ...]:
        """What became of the rows of each table."""
        items = () if self.metadata.count is None else (self.metadata.count,)
        return (self.kept.count, *items, *self.counts.values())


def gather(
    sources: Files,
    settings: ImportSettings,
    encoders: Encoders,
    scratch: Scratch,
    reporter: Reporter,
) -> Gathered:
    """Read and check all tables, encode texts and images, and split the histories.

    Parameters
    ----------
    sources : the tables.
    settings : every other choice of the import.
    encoders : loaded by `Encoders.load`.
    scratch : space for what does not fit in memory; the result may lie in it.
    reporter : shows the stages of the work.

    Raises
    ------
    UserError : bad input, or a part has no target.
    """
    with reporter.stage("reading interactions"):
        kept = read_interactions(
            sources.interactions,
            settings.core,
            settings.columns,
            moments=settings.protocol in BY_MOMENT,
            scratch=scratch,
        )
    test_from = None
    if settings.test_from is not None:
        test_from = kept.times.parse(settings.test_from, "--test-from")
    split = PROTOCOLS[settings.protocol](kept.histories, test_from)
    targets = split.count_targets(kept.histories.lengths)
    for part, n_targets in zip(("training", "validation", "test"), targets, strict=True):
        if n_targets == 0:
            raise UserError(
                f"{sources.interactions}: protocol {settings.protocol!r} leaves no {part} target: "
                "give longer histories, or choose another protocol"
            )
    metadata = Metadata.empty(kept.item_ids)
    if sources.items is not None:
        notes: list[str] = []
        with reporter.stage("reading items"):
            metadata = read_metadata(sources.items, kept.item_ids, settings, notes.append)
        _show(notes, reporter)
    features, counts = _given(sources, settings, kept, reporter)
    made_by = dict.fromkeys(features, "file")
    encoded = encode_items(encoders, sources.origin, settings, metadata, reporter)
    for modality, (found, encoder) in encoded.items():
        features[modality], made_by[modality] = found.table, encoder
    if settings.text and "text" not in features and sources.items is not None:
        check_texts(sources.items, settings, reporter.note)
    # In one order, whether vectors are given or encoded here: an export gives them all.
    features = dict(sorted(features.items()))
    return Gathered(
        kept=kept,
        split=split,
        targets=targets,
        metadata=metadata,
        features=features,
        coverage={
            modality: Coverage(
                items=len(table.items),
                width=table.vectors.shape[1],
                source=made_by[modality],
                features_hash=features_hash(table.items, table.vectors),
            )
            for modality, table in features.items()
        },
        counts=counts,
        lacks={modality: found.lacks for modality, (found, _) in encoded.items()},
    )


def _given(
    sources: Files, settings: ImportSettings, kept: Interactions, reporter: Reporter
) -> tuple[dict[str, FeatureTable], dict[str, RowCount]]:
    """Vectors that are given, and what became of their rows."""
    features, counts = {}, {}
    for modality, path in sorted(sources.features.items()):
        notes: list[str] = []
        with reporter.stage(f"reading {modality} features"):
            features[modality], counts[modality] = read_features(
                path, modality, kept.item_ids, settings.columns, notes.append
            )
        _show(notes, reporter)
    return features, counts


def _show(notes: Iterable[str], reporter: Reporter) -> None:
    for note in notes:
        reporter.note(note)
