"""Whether the ids of a table are those of the interactions, and what differs where they are not."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from mmsr.errors import UserError

_EXAMPLES = 3
_LONGEST = 24
"""Most characters of an id that are shown."""
_COMPARED = 10_000
"""Ids of the shorter side, evenly spread, that are looked for in the other to find what differs."""
_CHUNK = 100_000
_DIFFERENCES: dict[str, Callable[[str], str]] = {
    "leading zeros": lambda text: re.sub(r"^0+(?=.)", "", text),
    "case": str.casefold,
    "blanks": lambda text: "".join(text.split()),
    "Unicode normal form": lambda text: unicodedata.normalize("NFKC", text),
    "an ending .0": lambda text: text.removesuffix(".0"),
    "quotation marks": lambda text: text.strip("\"'"),
}
"""How ids that are meant to be the same come to differ, and what makes them equal."""


def check_join(listed: pa.Array, kept: pa.Array, source: str, note: Callable[[str], None]) -> None:
    """Check that a table lists items of the data set; warn where it lists less than half.

    Parameters
    ----------
    listed : ids in the table, each once.
    kept : ids of the data set's items, each once.
    source : name of the table, for messages.
    note : called with the warning.

    Raises
    ------
    UserError : the table lists none of the items.
    """
    listed = listed.cast(kept.type)
    known = pc.is_in(listed, kept)
    found = pc.sum(known).as_py()
    if 2 * found >= len(kept):
        return
    theirs = kept.filter(pc.invert(pc.is_in(kept, listed)))
    ours = listed.filter(pc.invert(known))
    advice = _advice(ours, theirs)
    if not found:
        raise UserError(
            f"{source}: none of its {len(listed):,} items occurs in the interactions that are "
            f"kept: it has {_examples(ours)}, they have {_examples(theirs)}: {advice}"
        )
    message = f"{source} lists only {found:,} of the {len(kept):,} items that are kept"
    message += f"; not listed: {_examples(theirs)}"
    if len(ours):
        message += f"; listed, but not among those: {_examples(ours)}"
    note(f"warning: {message}; {advice}")


def _advice(ours: pa.Array, theirs: pa.Array) -> str:
    """What to do about ids that are not matched: say what they differ in, if it is plain."""
    shorter, longer = sorted((ours, theirs), key=len)
    sample = shorter[:: max(1, len(shorter) // _COMPARED)].to_pylist()
    matched = {name: _found(sample, longer, alike) for name, alike in _DIFFERENCES.items()}
    name, most = max(matched.items(), key=lambda pair: pair[1])
    if not most or 2 * most < len(sample):
        return "check that both tables use the same ids"
    return f"the ids differ in {name}: write them alike"


def _found(sample: list[str], ids: pa.Array, alike: Callable[[str], str]) -> int:
    """How many of a sample are among ids once both are made alike."""
    missing = Counter(map(alike, sample))
    for start in range(0, len(ids), _CHUNK):
        for text in map(alike, ids[start : start + _CHUNK].to_pylist()):
            missing.pop(text, None)
    return len(sample) - missing.total()


def _examples(ids: pa.Array) -> str:
    """The first ids, the longest of them cut."""
    texts = ids[:_EXAMPLES].to_pylist()
    shown = ", ".join(
        repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") for text in texts
    )
    return f"{shown}, …" if len(ids) > _EXAMPLES else shown
