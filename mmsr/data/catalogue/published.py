"""Whether a data set made of published files has the counts that were published with a paper."""

from __future__ import annotations

from mmsr.data.catalogue.entries import PublishedCounts, entry
from mmsr.data.manifest import ImportSettings, Manifest
from mmsr.errors import UserError


def compared(manifest: Manifest) -> str | None:
    """Compare the counts of a data set with those of table 1 of the paper.

    Parameters
    ----------
    manifest : the data set's.

    Returns
    -------
    A line that says that they are the same, or a warning that has both. None where nothing is
    published, or another core was taken.
    """
    made = manifest.provenance
    if made.entry is None or made.settings.core != ImportSettings().core:
        return None
    try:
        published = entry(made.entry).published
    except UserError:  # the catalogue of another version of mmsr had it
        return None
    if published is None:
        return None
    counts = manifest.counts
    found = PublishedCounts(counts.users, counts.items, counts.interactions)
    if found == published:
        return f"the counts are those of the paper's table 1: {_shown(published)}"
    return (
        f"warning: the counts are not those of the paper's table 1: {_shown(found)}; "
        f"there {_shown(published)}"
    )


def _shown(counts: PublishedCounts) -> str:
    return f"{counts.users:,} users, {counts.items:,} items, {counts.interactions:,} interactions"
