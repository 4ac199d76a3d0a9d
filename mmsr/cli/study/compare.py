"""`mmsr study compare`: studies and models side by side."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from mmsr.cli.options import Device, StudyStorage, known_studies
from mmsr.cli.output import AsCsv, AsJson, check_format, write_csv, write_json
from mmsr.console import Console
from mmsr.errors import UserError


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Two or more of: a study; STUDY:TRIAL or STUDY:MODEL, one of its trials or "
            "models; a checkpoint folder of `mmsr train`.",
            autocompletion=known_studies,
        ),
    ],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    device: Device = "auto",
    storage: StudyStorage = None,
) -> None:
    """Show two or more studies or models side by side.

    Of a study, it takes the trial that was finalized, or else the best one. Where two have the
    same targets, their differences are tested, paired over users; where not, it says so. CSV has
    the tests alone.
    """
    for_program = check_format(as_json, as_csv)
    if len(names) < 2:
        raise UserError(f"{names[0]} alone: name two or more studies or models to compare")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{twice[0]} is named twice: name different studies or models")
    from mmsr.report.side_by_side.contenders import contender
    from mmsr.report.side_by_side.pairs import side_by_side
    from mmsr.report.side_by_side.view import PAIR_COLUMNS, pair_records, record, show

    console = Console(stderr=for_program)
    with console.status("reading", spinner="line") as status:
        tell = status.update if console.is_terminal else lambda message: None
        contenders = [contender(name, storage, device, tell) for name in names]
        tell("comparing users")
        found = side_by_side(contenders)
    if as_json:
        write_json(record(found))
    elif as_csv:
        write_csv(pair_records(found), PAIR_COLUMNS)
        for reason in found.not_paired:
            console.print(reason, soft_wrap=True)
    else:
        show(found, console)
