"""Ctrl-C and SIGTERM, taken at points where nothing is left half-done.

An exception out of a signal can strike anywhere, also where a library swallows it or loses a lock;
so the first signal only asks, and the second one raises.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the user wants the study to end.

    Parameters
    ----------
    say : told when the first signal arrives.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._listener: Callable[[], None] = lambda: None
        self.requested = False
        self.urgent = False
        """Whether it was requested again."""

    def install(self) -> None:
        """Take the signals; again after a library has taken them."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._take)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the stop is requested, at once if it was."""
        self._listener = listener
        if self.requested:
            listener()

    def check(self) -> None:
        """Raise KeyboardInterrupt if the stop was requested; for the points between two steps."""
        if self.requested:
            raise KeyboardInterrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self.urgent = True
            raise KeyboardInterrupt
        self.requested = True
        self._say("stopping; Ctrl-C again stops at once")
        self._listener()


@contextmanager
def stop_requests(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM for as long as this."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    request = StopRequest(say)
    request.install()
    try:
        yield request
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
