"""The list of studies: one line for each, whatever is wrong with its record or its storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmsr.errors import UserError
from mmsr.format import percent
from mmsr.study.storage.folder import StudyFolder, StudyRecord
from mmsr.study.storage.known_study import storage_url
from mmsr.study.storage.overview import Overview, no_study, overviews
from mmsr.urls import Url

UNREADABLE, UNAVAILABLE = "unreadable", "storage unavailable"


@dataclass(frozen=True)
class StudyLine:
    """What the list shows of one study."""

    name: str
    dataset: str = ""
    objective: str = ""
    state: str = ""
    over: int | None = None
    """Number of its trials that are done; None where it cannot be read."""
    wanted: int | None = None
    """Number of trials that it is to run."""
    best: float | None = None
    """First objective of the best finished trial, in [0, 1]."""

    @property
    def trials(self) -> str:
        """How many of its trials are done, in words."""
        return "" if self.over is None else f"{self.over} of {self.wanted}"

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table shows of it; the best value is in percent."""
        found = (self.name, self.dataset, self.objective, self.state, self.trials)
        return (*found, percent(self.best))


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
        over=extent.over,
        wanted=extent.wanted,
        best=found.best,
    )
