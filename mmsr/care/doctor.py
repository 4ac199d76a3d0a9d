"""Whether everything that mmsr needs works here: one finding for each check, within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mmsr.errors import UserError, one_line, reason_and_file

SECONDS = 8.0
"""How long all checks together may take; one that has not answered by then is given up."""


class Verdict(StrEnum):
    """What a check has found."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as it could, or not all the time."""
    FAIL = "fail"
    """It does not work."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    verdict: Verdict
    text: str
    """What was found, in one line without secrets."""
    remedy: str = ""
    """What to do about it."""


Check = Callable[[], Finding]


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, text)


def warn(text: str, remedy: str = "") -> Finding:
    """It works, but not as it could."""
    return Finding(Verdict.WARN, text, remedy)


def fail(text: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(Verdict.FAIL, text, remedy)


def examine(checks: Mapping[str, Check], seconds: float = SECONDS) -> dict[str, Finding]:
    """Run checks side by side.

    Parameters
    ----------
    checks : by name. One that raises UserError or OSError has found what that says.
    seconds : how long they may take together.

    Returns
    -------
    Findings in the order of the checks.
    """
    found: dict[str, Finding] = {}
    threads = {
        name: threading.Thread(target=_run, args=(name, check, found), daemon=True)
        for name, check in checks.items()
    }
    deadline = time.monotonic() + seconds
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(deadline - time.monotonic(), 0.0))
        if thread.is_alive():
            found.setdefault(
                name, warn(f"no answer within {seconds:g} s", "check again when less is running")
            )
    return {name: found[name] for name in checks}


def _run(name: str, check: Check, found: dict[str, Finding]) -> None:
    try:
        finding = check()
    except UserError as error:
        finding = fail(str(error))
    except OSError as error:
        finding = fail(one_line(reason_and_file(error)))
    except Exception as error:  # a library that is broken here: that is what the check is for
        finding = fail(one_line(f"{type(error).__name__}: {error}"))
    found.setdefault(name, finding)
