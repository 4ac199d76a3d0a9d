"""How a run of a study ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsr.study.storage.progress import Progress


class Ended(StrEnum):
    """How a run of a study ended."""

    FINISHED = "finished"
    """Nothing is left to run."""
    BUDGET = "budget used up"
    """The same run with a higher budget resumes the study."""
    INTERRUPTED = "interrupted"
    """By Ctrl-C, the notebook's stop button or SIGTERM; the same run resumes the study."""
    FAILED = "failed"
    """An error stopped it, and the same run resumes the study; or no trial has finished."""


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended, and why."""

    ended: Ended
    error: str | None = None
    """Why it failed; None if it did not."""

    @classmethod
    def without_error(cls, progress: Progress) -> Outcome:
        """The outcome of a run that nothing has stopped but the budget, if anything.

        Parameters
        ----------
        progress : how far the study is.
        """
        if progress.used_up is not None and not progress.is_complete:
            if progress.has("failed") and not progress.has("finished"):
                return cls(Ended.FAILED, f"no trial has finished, and {progress.used_up}")
            return cls(Ended.BUDGET)
        if not progress.has("finished"):
            return cls(Ended.FAILED, "no trial has finished")
        return cls(Ended.FINISHED)
