"""Items whose text or image gave no vector, and why: noted, and listed in the data set."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsr.data.folders import cannot
from mmsr.data.progress import Reporter
from mmsr.errors import one_line

LIST_FILE = "without_vectors.csv"
"""File of a data set that names the items whose text or image gave no vector, and why."""
ABSENT = "nothing given"
"""Reason of an item that had nothing to encode."""
_SHOWN = 3
"""How many items without a vector a note names."""


@dataclass(frozen=True)
class Lack:
    """An item without a vector, and why.

    Attributes
    ----------
    item : index of the item.
    source : its image as the user named it; empty for texts.
    reason : why there is no vector.
    """

    item: int
    source: str
    reason: str

    @property
    def absent(self) -> bool:
        """Whether there was nothing to encode."""
        return self.reason == ABSENT


def note_lacks(
    modality: str, lacks: Sequence[Lack], ids: Sequence[object], reporter: Reporter
) -> int:
    """Name the first items whose text or image could not be used.

    Parameters
    ----------
    modality : what was encoded.
    lacks : items without a vector; those that had nothing to encode are not named.
    ids : ids of the items, by index.
    reporter : gets the note.

    Returns
    -------
    How many could not be used.
    """
    failed = [lack for lack in lacks if not lack.absent]
    if failed:
        first = "; ".join(
            f"{ids[lack.item]}: {' '.join(filter(None, (lack.source, lack.reason)))}"
            for lack in failed[:_SHOWN]
        )
        more = "; …" if len(failed) > _SHOWN else ""
        items = "1 item has" if len(failed) == 1 else f"{len(failed):,} items have"
        reporter.note(
            one_line(f"note: {items} no {modality} vector (all in {LIST_FILE}): {first}{more}")
        )
    return len(failed)


def write_lacks(folder: Path, lacks: Mapping[str, Sequence[Lack]], ids: Sequence[object]) -> None:
    """Write the list of items without a vector into the folder of a data set; none, no file.

    Parameters
    ----------
    folder : folder of the data set.
    lacks : items without a vector, by modality.
    ids : ids of the items, by index.

    Raises
    ------
    UserError : it cannot be written.
    """
    if not any(lacks.values()):
        return
    path = folder / LIST_FILE
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["modality", "item_id", "source", "reason"])
            for modality, some in sorted(lacks.items()):
                for lack in some:
                    out.writerow(
                        [modality, str(ids[lack.item]), one_line(lack.source), lack.reason]
                    )
    except OSError as error:
        raise cannot("write", path, error) from None
