"""Whether the ids of a table are those of the interactions."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from mmsr.errors import UserError

_EXAMPLES = 3


def check_overlap(
    listed: pa.Array, kept: pa.Array, source: str, note: Callable[[str], None]
) -> None:
    """Check that a table lists items of the data set, and note where it lists less than half.

    Parameters
    ----------
    listed : ids in the table, each once.
    kept : ids of the data set's items, each once.
    source : name of the table, for messages.
    note : called with the note.

    Raises
    ------
    UserError : the table lists none of the items.
    """
    listed = listed.cast(kept.type)
    known = pc.is_in(listed, kept)
    found = pc.sum(known).as_py()
    if not found:
        raise UserError(
            f"{source}: none of its {len(listed)} items occurs in the interactions that are kept, "
            f"e.g. {listed[0].as_py()!r}: check that both tables use the same ids"
        )
    if 2 * found >= len(kept):
        return
    message = f"{source} lists only {found:,} of the {len(kept):,} items that are kept"
    message += f"; not listed: {_examples(kept, pc.is_in(kept, listed))}"
    if found < len(listed):
        message += f"; listed, but not among those: {_examples(listed, known)}"
    note(f"{message}; check that both tables use the same ids")


def _examples(ids: pa.Array, matched: pa.Array) -> str:
    """The first ids that are not matched."""
    rest = ids.filter(pc.invert(matched))
    shown = ", ".join(map(repr, rest[:_EXAMPLES].to_pylist()))
    return f"{shown}, …" if len(rest) > _EXAMPLES else shown
