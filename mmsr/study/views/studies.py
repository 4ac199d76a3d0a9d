"""The list of studies: one line for each, whatever is wrong with its record or its storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmsr.errors import UserError
from mmsr.format import percent
from mmsr.study.storage.folder import StudyFolder, StudyRecord
from mmsr.study.storage.known_study import storage_url
from mmsr.study.storage.overview import Overview, no_study, overviews
from mmsr.study.storage.progress import Extent
from mmsr.urls import Url

UNREADABLE, UNAVAILABLE = "unreadable", "storage unavailable"


@dataclass(frozen=True)
class StudyLine:
    """What the list shows of one study."""

    name: str
    dataset: str = ""
    objective: str = ""
    state: str = ""
    trials: str = ""
    best: str = ""
    extent: Extent | None = None
    """How far it is; None where that cannot be told."""
    value: float | None = None
    """First objective of its best finished trial."""

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        return (self.name, self.dataset, self.objective, self.state, self.trials, self.best)


def study_lines(names: Sequence[str]) -> tuple[list[StudyLine], list[str]]:
    """A line for each study, and notes on those that cannot be shown whole.

    Each storage is asked once for all of its studies.

    Parameters
    ----------
    names : names of studies that were run from this `$MMSR_HOME`.
    """
    lines: dict[str, StudyLine] = {}
    notes: list[str] = []
    records: dict[Url, dict[str, StudyRecord]] = {}
    for name in names:
        lines[name] = StudyLine(name, state=UNREADABLE)
        try:
            if (record := StudyFolder(name).read_record()) is None:
                continue  # it was removed meanwhile
            lines[name] = StudyLine(name, record.dataset, record.objective, UNAVAILABLE)
            records.setdefault(storage_url(name, record), {})[name] = record
        except UserError as error:
            notes.append(str(error))
    for url, of_url in records.items():
        try:
            found = overviews(url, list(of_url))
        except UserError as error:
            notes.append(str(error))
            continue
        for name, record in of_url.items():
            there = found.get(name)
            if there is None or (isinstance(there, Overview) and there.uid != record.uid):
                there = no_study(name, url)
            if isinstance(there, UserError):
                notes.append(str(there))
            else:
                lines[name] = _line(lines[name], there)
    return list(lines.values()), list(dict.fromkeys(notes))


def _line(line: StudyLine, found: Overview) -> StudyLine:
    extent = found.extent
    state = "finished" if extent.is_over else "stopped"
    return replace(
        line,
        state="running" if StudyFolder(line.name).is_running() else state,
        trials=f"{extent.over} of {extent.wanted}",
        best=percent(found.best),
        extent=extent,
        value=found.best,
    )
