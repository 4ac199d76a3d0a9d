"""What a training's process uses of its machine, under the names of MLflow's system metrics.

MLflow's own monitor samples the process that talks to the server, which is not the one that trains.
"""

from __future__ import annotations

import sys
import time

import psutil

PREFIX = "system/"
"""First part of the metrics' names; MLflow shows them apart."""
_MEGABYTE = 1e6


class Usage:
    """Samples of this process, taken whenever they are asked for."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last = time.monotonic(), self._seconds()

    def since_last(self) -> dict[str, float]:
        """Processor use since the last call, and memory now.

        A process that keeps two cores busy uses 200 % of a processor. On a GPU, the most memory
        that PyTorch had allocated since the process began comes with it.
        """
        now, seconds = time.monotonic(), self._seconds()
        elapsed, worked = now - self._last[0], seconds - self._last[1]
        self._last = now, seconds
        found = {
            f"{PREFIX}process_cpu_percentage": 100 * worked / elapsed if elapsed > 0 else 0.0,
            f"{PREFIX}process_memory_megabytes": self._process.memory_info().rss / _MEGABYTE,
            f"{PREFIX}host_memory_percentage": float(psutil.virtual_memory().percent),
        }
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            most = torch.cuda.max_memory_allocated() / _MEGABYTE
            found[f"{PREFIX}gpu_memory_megabytes"] = most
        return found

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
