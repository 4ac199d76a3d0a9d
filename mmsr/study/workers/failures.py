"""How trials fail: the kinds of failures, and what each leads to.

- raised: the training raised an error. Fails at once: a retry would raise it again.
- not finite: the objective or the loss is NaN or infinite. Fails at once.
- out of memory: Ray's memory monitor killed the worker, or an allocation failed, also on a GPU.
  Retried twice on a fresh worker, from the last checkpoint; then fails. Every new epoch resets the
  count.
- worker died: its process ended (killed by the system's OOM killer, say), or its node went away.
  Retried in the same way, so a trial may lose any number of spot nodes, unless three in a row go
  without a new epoch.
- time limit: it trained longer than `trial_hours`. Fails at once; in the middle of an epoch, by
  ending its worker.

A failed trial counts towards the number of trials, and its error is recorded on its MLflow run.

Two kinds of errors stop the study instead, since they are not the fault of one trial:

- The machine is at fault: a full disk, say, or missing data. Trials are interrupted; the next
  driver resumes them.
- The first trials of a driver all fail with the same error. These do not count, and the next driver
  runs them again. In a study that retries its failed trials anyway, this applies only until one of
  its trials has finished.
"""

from __future__ import annotations

import re
from pathlib import Path

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
    """The kind of a failure, from the line that describes it.

    Parameters
    ----------
    error : the line, as `Failure.error` has it.
    """
    return next((kind for kind, sign in _SIGNS if sign.search(error)), RAISED)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a failed allocation; PyTorch's CPU allocator raises no type of its own."""
    return kind_of(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") == OUT_OF_MEMORY


def alike(error: str | None) -> str:
    """The error without its numbers: what two failures of the same kind have in common."""
    return re.sub(r"\d+", "#", error or "")


def why_it_died(file: str | None) -> str:
    """The line that says why a trial's worker died last.

    Parameters
    ----------
    file : the file in which Tune records that; None without one.
    """
    try:
        lines = [line.strip() for line in Path(file).read_text().splitlines()] if file else []
    except OSError:
        lines = []
    last = max((i for i, line in enumerate(lines) if line.startswith("Failure #")), default=-1)
    told = [line for line in lines[last + 1 :] if line] or ["unknown reason"]
    if "ray::" in told[0]:  # then a traceback follows, and ends with the error
        return told[-1]
    # Ray names the system's OOM killer among the causes of any death: that says nothing.
    memory = (line for line in told if "low on memory" in line or "memory monitor" in line)
    return next(memory, told[0])
