"""Events that the server refused, kept in `tracking.refused.jsonl` and sent again later."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr.paths import write_whole
from mmsr.tracking.base import Event
from mmsr.tracking.journal.file import pack, unpack

REFUSED = "tracking.refused.jsonl"


class Refusal(BaseModel):
    """A refused event."""

    model_config = ConfigDict(frozen=True)

    why: str
    event: Event


class RefusedEvents:
    """The refused events of a journal, by number.

    Parameters
    ----------
    folder : where the journal is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / REFUSED
        self._known = read_refused(folder)

    def __len__(self) -> int:
        return len(self._known)

    def events(self) -> list[tuple[int, Event]]:
        """Number and event, in the order of the numbers."""
        return [(number, self._known[number].event) for number in sorted(self._known)]

    def add(self, number: int, event: Event, why: str) -> None:
        """Keep an event.

        Parameters
        ----------
        number : its number in the journal.
        event : the event.
        why : the server's reason.
        """
        if number in self._known:
            return
        refusal = Refusal(why=why, event=event)
        with self.path.open("ab") as file:
            file.write(pack_refusal(number, refusal))
            file.flush()
            os.fsync(file.fileno())
        self._known[number] = refusal

    def remove(self, numbers: Collection[int]) -> None:
        """Forget the events with these `numbers`: the server has them now."""
        left = {n: one for n, one in self._known.items() if n not in numbers}
        if left:
            write_whole(self.path, b"".join(pack_refusal(n, one) for n, one in left.items()))
        else:
            self.path.unlink(missing_ok=True)
        self._known = left


def read_refused(folder: Path) -> dict[int, Refusal]:
    """The refused events of the journal in `folder`, by number; damaged ones are left out."""
    found: dict[int, Refusal] = {}
    try:
        lines = (folder / REFUSED).read_bytes().split(b"\n")
    except FileNotFoundError:
        return found
    for line in lines:
        for _, number, data in unpack(line):
            try:
                found.setdefault(number, Refusal.model_validate_json(data))
            except ValidationError:
                continue
    return found


def pack_refusal(number: int, refusal: Refusal) -> bytes:
    """The line of a refused event with its `number`."""
    return pack(number, refusal.model_dump_json().encode())
