"""The reference lines below a leaderboard: popularity, item-kNN and EASE, measured once.

Their validation figures follow from the data set alone, so they are cached for all studies of it.
Reading them needs neither the data set nor torch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr import paths
from mmsr.config import Config, Seen
from mmsr.config.training import METRICS
from mmsr.errors import UserError
from mmsr.format import seconds as in_words
from mmsr.models.reference.settings import LINES
from mmsr.study.storage.known_study import KnownStudy

if TYPE_CHECKING:
    from mmsr.data import Dataset

VERSION = 1
"""Of the figures; raise it whenever a reference model or its evaluation changes."""
AT_THE_END = 5.0
"""Most seconds, as estimated, that the end of a study takes for one line."""
WHEN_ASKED = 60.0
"""Most seconds, as estimated, that a command takes for one line."""


@dataclass(frozen=True)
class ReferenceLine:
    """A reference line of a leaderboard."""

    label: str
    metrics: Mapping[str, float] | None
    """Validation metrics in [0, 1] by name without a part, e.g. `mrr@20`."""
    left_out: str = ""
    """Why there are none."""


class Figures(BaseModel):
    """A file of the cache: what was measured, and how."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    dataset_hash: str
    line: str
    settings: str
    seen: Seen
    metrics: dict[str, float]


def cached_lines(known: KnownStudy, config: Config) -> list[ReferenceLine]:
    """The reference lines of a study, as far as they have been measured before.

    Parameters
    ----------
    known : the study.
    config : config of its best trial; `training.seen` is used.
    """
    if known.definition.test_selected:
        return []
    return _Measurements(known, config.training.seen).cached()


def measured_lines(
    known: KnownStudy, config: Config, most_seconds: float, notice: Callable[[str], None]
) -> list[ReferenceLine]:
    """The reference lines of a study; those missing in the cache are measured and cached.

    A line that cannot be measured is left out with the reason. A study whose epochs were chosen on
    test has no lines, since theirs are of validation.

    Parameters
    ----------
    known, config : as in `cached_lines`.
    most_seconds : a line that is estimated to take longer is left out.
    notice : called with a message before lines are measured.
    """
    if known.definition.test_selected:
        return []
    return _Measurements(known, config.training.seen).all(most_seconds, notice)


class _Measurements:
    """The cached and new figures of one study's data set.

    Parameters
    ----------
    known : the study.
    seen : whether items of the history stay in its ranking (`training.seen`).
    """

    def __init__(self, known: KnownStudy, seen: Seen) -> None:
        self._known, self._seen = known, seen
        self._hash = known.definition.dataset_hash

    def cached(self) -> list[ReferenceLine]:
        """Those lines that the cache has."""
        found = ((label, self._read(label)) for label in LINES)
        return [ReferenceLine(label, metrics) for label, metrics in found if metrics is not None]

    def all(self, most_seconds: float, notice: Callable[[str], None]) -> list[ReferenceLine]:
        """All lines; see `measured_lines`."""
        there = {line.label: line for line in self.cached()}
        if len(there) < len(LINES):
            try:
                dataset = self._known.open_dataset()
            except UserError as error:
                return [there.get(name) or ReferenceLine(name, None, str(error)) for name in LINES]
            missing = [label for label in LINES if label not in there]
            reasons = {label: self._obstacle(label, dataset, most_seconds) for label in missing}
            if wanted := [label for label in missing if not reasons[label]]:
                notice(f"measuring {', '.join(wanted)} on {dataset.name}, once …")
            for label, reason in reasons.items():
                there[label] = (
                    ReferenceLine(label, None, reason) if reason else self._measured(label, dataset)
                )
        return [there[label] for label in LINES]

    def _obstacle(self, label: str, dataset: Dataset, most_seconds: float) -> str:
        """Why a line is not measured, as far as is known before; empty if nothing is against it."""
        from mmsr.evaluation.reference import estimated_seconds, too_large

        if (reason := too_large(label, dataset.n_items)) is not None:
            return reason
        try:
            about = estimated_seconds(label, dataset.train(), dataset.valid(), dataset.n_items)
        except UserError as error:
            return str(error)
        if about <= most_seconds:
            return ""
        reason = f"it takes about {in_words(about)}"
        if about <= WHEN_ASKED:
            reason += f": mmsr study leaderboard {self._known.name} does it, once"
        return reason

    def _measured(self, label: str, dataset: Dataset) -> ReferenceLine:
        """Measure a line and write it to the cache; an error becomes the reason to leave it out."""
        from mmsr.evaluation.reference import measure

        data = (dataset.train(), dataset.valid(), dataset.n_items)
        try:
            metrics = measure(label, *data, seen=self._seen)
        except (UserError, ArithmeticError, MemoryError) as error:
            return ReferenceLine(label, None, str(error) or "there is too little memory")
        self._write(label, metrics)
        return ReferenceLine(label, metrics)

    def _path(self, label: str) -> Path:
        key = f"{label} {LINES[label]} {self._seen}"
        short = hashlib.sha256(key.encode()).hexdigest()[:8]
        name = f"{self._hash[:32]}-{label.lower()}-{short}-v{VERSION}.json"
        return paths.references_cache() / name

    def _read(self, label: str) -> dict[str, float] | None:
        """Cached metrics; None if there are none, or the file is damaged or of something else."""
        try:
            found = Figures.model_validate_json(self._path(label).read_bytes())
        except (OSError, ValidationError):
            return None
        in_range = all(math.isfinite(value) and 0 <= value <= 1 for value in found.metrics.values())
        complete = found.metrics.keys() >= set(METRICS)
        same = found == self._figures(label, found.metrics)
        return found.metrics if in_range and complete and same else None

    def _write(self, label: str, metrics: dict[str, float]) -> None:
        path = self._path(label)
        with suppress(OSError):  # read-only or full: it is measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.write_whole(
                path, self._figures(label, metrics).model_dump_json(indent=1).encode()
            )

    def _figures(self, label: str, metrics: dict[str, float]) -> Figures:
        return Figures(
            dataset_hash=self._hash,
            line=label,
            settings=str(LINES[label]),
            seen=self._seen,
            metrics=metrics,
        )
