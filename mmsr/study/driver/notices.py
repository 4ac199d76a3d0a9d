"""What is sent to `--notify` when a study has ended, has failed or waits for its user."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from mmsr.console import Console
from mmsr.errors import UserError, one_line, reason_and_file
from mmsr.format import plural, seconds
from mmsr.notices import Receiver
from mmsr.provenance import now
from mmsr.study.driver.exit_codes import FAILED, INTERRUPTED, OK
from mmsr.study.storage.known_study import look_up
from mmsr.study.workers.head import before_exit
from mmsr.urls import Url

Event = Literal["finished", "failed", "waits"]
"""`waits`: it was interrupted or its budget is used up, and the same command resumes it."""


def notified(
    receiver: Receiver | None,
    what: str,
    about: Callable[[], dict[str, Any]],
    run: Callable[[], int],
) -> int:
    """Run something, and tell the receiver how it ended; returns its exit code.

    Nothing is sent where nothing ran: of input that is refused, or of what was done before. What
    becomes of the notice changes nothing else: a receiver that cannot be reached is a warning.

    Parameters
    ----------
    receiver : who is told; None tells nobody.
    what : what is run, e.g. `study toys`.
    about : returns further fields of the notice, once it has ended.
    run : what is run.
    """
    if receiver is None:
        return run()
    before = _fields(about)
    started = time.monotonic()
    code, error, refused = FAILED, None, False

    def dies(reason: str) -> None:
        _send(receiver, what, "failed", reason, time.monotonic() - started, FAILED, {})

    try:
        with before_exit(dies):
            code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
        raise
    except BaseException as failure:
        error, refused = _in_words(failure), isinstance(failure, UserError)
        raise
    finally:
        fields = _fields(about)
        done_before = code == OK and bool(fields)
        if fields != before or not (refused or done_before):
            duration = time.monotonic() - started
            _send(receiver, what, _event(code, error, fields), error, duration, code, fields)
    return code


def about_study(name: str, storage: Url, tracking: Url) -> dict[str, Any]:
    """What a notice says of a study: its trials, and the best one.

    Parameters
    ----------
    name, storage, tracking : the study.
    """
    known = look_up(name, storage, tracking)
    progress, found = known.overview.extent, known.overview.standings
    states = [one.state for one in found]
    told: dict[str, Any] = {
        "study": name,
        "dataset": known.definition.dataset,
        "objective": known.definition.objective,
        "trials": {
            "done": progress.over,
            "wanted": progress.wanted,
            **{state: states.count(state) for state in ("finished", "pruned", "failed")},
        },
        "complete": progress.is_complete,
    }
    if "finished" in states:
        best, _ = known.best()
        told["best"] = {"trial": best.number, "value": best.value, "settings": best.settings}
    return told


def _fields(about: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return about()
    except Exception:  # the study may have failed because its storage has
        return {}


def _event(code: int, error: str | None, fields: dict[str, Any]) -> Event:
    if error is not None:
        return "failed"
    if code == INTERRUPTED or (code == OK and fields.get("complete") is False):
        return "waits"
    return "finished" if code == OK else "failed"


def _send(
    receiver: Receiver,
    what: str,
    event: Event,
    error: str | None,
    duration: float,
    code: int,
    fields: dict[str, Any],
) -> None:
    words = {"finished": "has finished", "failed": "has failed", "waits": "waits to be resumed"}
    parts = [f"{what} {words[event]} after {seconds(duration)}"]
    if trials := fields.get("trials"):
        parts.append(f"{trials['done']} of {plural(trials['wanted'], 'trial')} done")
    if (best := fields.get("best")) and best["value"] is not None:
        parts.append(f"best {fields['objective']} {100 * best['value']:.3f} %")
    if error is not None:
        parts.append(error)
    notice = {
        "text": "; ".join(parts),
        "event": event,
        "exit_code": code,
        "error": error,
        "seconds": round(duration, 1),
        "at": now(),
        "host": socket.gethostname(),
        **fields,
    }
    if (reason := receiver.send(notice)) is not None:
        sys.stdout.flush()
        Console(stderr=True, soft_wrap=True).print(
            f"warning: the notice did not reach {receiver.host}: {reason}"
        )


def _in_words(error: BaseException) -> str:
    text = reason_and_file(error) if isinstance(error, OSError) else str(error)
    return one_line(text or type(error).__name__)
