"""Changes that were interrupted, carried out to their end by the next command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from mmsr import paths
from mmsr.care.changes import go_on, unless_busy
from mmsr.care.datasets import RemoveDataset, RenameDataset
from mmsr.care.studies import RemoveDamagedStudy, RemoveStudy, RenameStudy
from mmsr.data.closed import in_trial
from mmsr.errors import StorageLost, UserError

_Change = Annotated[
    RemoveDataset | RenameDataset | RemoveStudy | RemoveDamagedStudy | RenameStudy,
    Field(discriminator="kind"),
]
_CHANGE: TypeAdapter[_Change] = TypeAdapter(_Change)


def finish_changes(notice: Callable[[str], None]) -> None:
    """Carry out what is left of interrupted changes; one that fails again stays recorded.

    Those that were interrupted before their first step are dropped.

    Nothing is done while another process changes the home: its changes are not interrupted.

    Parameters
    ----------
    notice : called with messages for the user.
    """
    if in_trial():
        return
    with unless_busy() as free:
        for record in sorted(paths.changes().glob("*.json")) if free else ():
            try:
                change = _CHANGE.validate_json(record.read_bytes())
            except (OSError, ValidationError):
                notice(f"{record} is damaged: remove it")
                continue
            try:
                if not change.is_begun():
                    record.unlink()
                    notice(
                        f"{change.title} was interrupted before anything was done: give the "
                        "command again"
                    )
                    continue
                notes = go_on(change)
                record.unlink()
            except (UserError, OSError, StorageLost) as error:
                notice(f"{change.title} was interrupted, and cannot go on: {error}")
                continue
            for note in (f"{change.title} was interrupted, and is done now", *notes):
                notice(note)
