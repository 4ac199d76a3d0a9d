"""Keeps a server until its parent ends: `python -m mmsr.ui.keeper COMMAND…`.

It leads a process group of its own, and nothing of the group outlives it: it ends all of it once
the command has ended, and once its standard input is closed, which happens however the parent ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the command of the arguments, then end the process group."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # the command gets it, too, and ends in order
    threading.Thread(target=_end_with_parent, daemon=True).start()
    subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, check=False)
    _end()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    _end()


def _end() -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
