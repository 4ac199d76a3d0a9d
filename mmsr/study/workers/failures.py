"""How trials fail: the kinds, what follows of each, and the summary at a study's end.

- raised: the training raised an error. Failed at once: the same again would raise again.
- not finite: the objective or the loss is NaN or infinite. Failed at once.
- out of memory: Ray's memory monitor killed the worker, or an allocation failed, on the GPU too.
  Tried twice more on a fresh worker, from the last checkpoint; then failed. Every new epoch begins
  the count anew.
- worker died: its process ended (by the system's OOM killer, say), or its node went away. The same,
  so that a trial may lose as many spot nodes as it likes while it gets on.
- time limit: it trained longer than `trial_hours`. Failed at once; amid an epoch, by the end of its
  worker.

A failed trial counts towards the number of trials, and its error is on its MLflow run. An error
that is no trial's own (a full disk, data that are not there) stops the study, and its trials go on
another time; so does an error that the first trials all have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

RAISED, NOT_FINITE, OUT_OF_MEMORY, DIED, TIME_LIMIT = (
    "raised",
    "not finite",
    "out of memory",
    "worker died",
    "time limit",
)
_SIGNS = (
    (TIME_LIMIT, re.compile(r"^time limit")),
    (
        OUT_OF_MEMORY,
        re.compile(
            r"OutOfMemory|MemoryError|out of memory|memory monitor|allocate memory|low on memory",
            re.IGNORECASE,
        ),
    ),
    (DIED, re.compile(r"^worker died")),
    (NOT_FINITE, re.compile(r"^\S+ is (nan|-?inf)|^TrainingDiverged")),
)


def kind_of(error: str) -> str:
    """The kind of a failure, by the one line that says what happened."""
    return next((kind for kind, sign in _SIGNS if sign.search(error)), RAISED)


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; the error of PyTorch's CPU allocator has no type of its own."""
    return kind_of(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") == OUT_OF_MEMORY


def alike(error: str | None) -> str:
    """The error without its numbers: what two failures alike have in common."""
    return re.sub(r"\d+", "#", error or "")
