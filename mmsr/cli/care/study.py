"""`mmsr study remove` and `rename`."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsr.cli.care.confirm import Yes, confirm
from mmsr.cli.options import known_studies
from mmsr.console import Console


def remove(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Studies by name.", autocompletion=known_studies),
    ],
    yes: Yes = False,
) -> None:
    """Remove studies: trials, checkpoints, records and test figures, after asking.

    One that is being run is refused. Its runs stay in MLflow, and the record of test's openings
    stays with the data set.
    """
    from mmsr.care.changes import carry_out
    from mmsr.care.studies import described, removal

    removals = [removal(name) for name in dict.fromkeys(names)]
    console = Console(soft_wrap=True)
    for change in removals:
        console.print(described(change))
    one = len(removals) == 1
    console.print(f"a study that warm-starts from {'it' if one else 'them'} cannot be resumed then")
    confirm(f"Remove {len(removals)} {'study' if one else 'studies'}?", yes)
    for change in removals:
        notes = carry_out(change)
        console.print(f"removed study {change.name}")
        for note in notes:
            console.print(note)


def rename(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="Study by name.", autocompletion=known_studies)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
) -> None:
    """Rename a study in its storage, on disk and in MLflow.

    One that is being run is refused. Its file is not changed: what resumes it is shown. Exported
    configs keep the old name.
    """
    from mmsr.care.changes import carry_out
    from mmsr.care.studies import renaming
    from mmsr.study.storage.folder import StudyFolder

    notes = carry_out(renaming(old, new))
    console = Console(soft_wrap=True)
    console.print(f"renamed study {old} to {new}")
    for note in notes:
        console.print(note)
    console.print(f"a study that warm-starts from it is resumed with --warm-start {new}")
    if (record := StudyFolder(new).read_record()) is not None:
        console.print(record.resumption)
