"""Ctrl-C and SIGTERM, handled at points where nothing is left half-done.

An exception raised by a signal handler can strike anywhere, also inside a library that swallows it
or loses a lock. So the first signal only requests the end, and the second one raises
KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mmsr.provenance import is_interactive

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the user has asked the study to stop.

    Parameters
    ----------
    say : called with a message for the user when the first signal arrives.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._listener: Callable[[], None] = lambda: None
        self.requested = False
        self.urgent = False
        """Whether the stop was requested twice: end at once."""

    def install(self) -> None:
        """Install the signal handlers; call it again after a library has replaced them."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._take)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the stop is requested, or at once if it already was."""
        self._listener = listener
        if self.requested:
            listener()

    def check(self) -> None:
        """Raise KeyboardInterrupt if the stop was requested; to be called between two steps."""
        if self.requested:
            raise KeyboardInterrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self.urgent = True
            raise KeyboardInterrupt
        self.requested = True
        again = "the stop button again" if is_interactive() else "Ctrl-C again"
        self._say(f"stopping; {again} stops at once")
        self._listener()


@contextmanager
def stop_requests(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """Handle Ctrl-C and SIGTERM inside this context.

    Parameters
    ----------
    say : as in `StopRequest`.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    request = StopRequest(say)
    request.install()
    try:
        yield request
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
