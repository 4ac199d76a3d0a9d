"""Journals that an older mmsr wrote, rewritten with numbers and checksums.

Their lines were bare events, and their position was a byte offset, which a line removed by hand
made point into the middle of another line. Such a journal is shipped from its beginning again;
what MLflow has, it does not store twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from mmsr.paths import write_whole
from mmsr.tracking.databases import is_same_place
from mmsr.tracking.journal.file import EVENT, JOURNAL, pack, unpack
from mmsr.tracking.journal.position import STATE, Position, packed
from mmsr.tracking.journal.refused import REFUSED, Refusal, pack_refusal


class _OlderState(BaseModel):
    place: str
    offset: int = 0
    runs: dict[str, str] = {}


def rewrite_older(folder: Path) -> None:
    """Rewrite the journal in `folder`, with its position and refused events, if it is older.

    The number of a line becomes that of its event; lines that hold no event are missing.
    """
    path = folder / JOURNAL
    if not path.exists() or _is_numbered(path):
        return
    lines = enumerate(path.read_bytes().split(b"\n"), start=1)
    events = {number: line for number, line in lines if _is_event(line)}
    if not events:
        return
    if (position := older_position(folder)) is not None:
        write_whole(folder / STATE, packed(position))
    _rewrite_refused(folder / REFUSED, {line: number for number, line in events.items()})
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.writelines(pack(number, line) for number, line in events.items())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def older_position(folder: Path, place: str | None = None) -> Position | None:
    """The position of a journal that has none of today's; None where there is no journal.

    Parameters
    ----------
    folder, place : as in `read_position`.
    """
    try:
        content = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return None
    written = content.count(b"\n")
    try:
        state = _OlderState.model_validate_json((folder / STATE).read_bytes())
    except (OSError, ValidationError):
        return Position(place=place or "", written=written)
    if place is not None and not is_same_place(state.place, place):
        return Position(place=place or "", written=written)
    whole = state.offset <= len(content) and content[: state.offset].endswith(b"\n")
    shipped = content.count(b"\n", 0, state.offset) if whole else 0
    there = state.place if place is None else place
    return Position(place=there, written=written, shipped=shipped, runs=state.runs)


def _rewrite_refused(path: Path, numbers: Mapping[bytes, int]) -> None:
    if not path.exists():
        return
    refused = [line for line in path.read_bytes().split(b"\n") if line in numbers]
    refusals = {numbers[line]: Refusal(why="", event=EVENT.validate_json(line)) for line in refused}
    write_whole(path, b"".join(pack_refusal(n, one) for n, one in sorted(refusals.items())))


def _is_numbered(path: Path) -> bool:
    with path.open("rb") as file:
        return any(list(unpack(line)) for line in file)


def _is_event(line: bytes) -> bool:
    try:
        EVENT.validate_json(line)
    except ValidationError:
        return False
    return True
