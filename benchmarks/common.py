"""What all benchmarks share: their options, the machine's measured rates, the table and the JSON.

A benchmark `benchmarks/NAME.py` looks like this::

    def parser():                               # so that a test can read a kept command with it
        return common.parser("What is measured.")

    arguments = parser().parse_args()
    machine = common.machine()                  # measured in the same run as the figures
    figures = {"step_seconds": measure(repeats=3 if arguments.quick else 20)}
    bars = {"step_seconds": common.at_most(0.1, figures["step_seconds"])}
    common.write("NAME", figures, bars, arguments.json, machine=machine)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import torch

    from mmsr.data import Dataset

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
QUICK_SECONDS = 45
"""Every benchmark ends within this time with `--quick`."""
GEMM_WIDTH = 2048
"""Side of the square matrices whose product gives the machine's rate."""
EMULATED_WIDTH = 256
"""The same for bfloat16 on a processor that emulates it: one product of the full size takes
half a minute there."""


class Bar(TypedDict):
    """A figure that must not pass its limit."""

    limit: float
    value: float
    met: bool


def at_most(limit: float, value: float) -> Bar:
    """Bar that is met where the value does not exceed the limit."""
    return Bar(limit=limit, value=value, met=bool(value <= limit))


def at_least(limit: float, value: float) -> Bar:
    """Bar that is met where the value reaches the limit."""
    return Bar(limit=limit, value=value, met=bool(value >= limit))


def parser(description: str) -> argparse.ArgumentParser:
    """Command line with the options that every benchmark has: `--quick` and `--json FILE`."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument(
        "--quick",
        action="store_true",
        help=f"measure on smaller slices, with fewer repeats; ends within {QUICK_SECONDS} s",
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write the result to this file")
    return result


def gemm_gflops(dtype: torch.dtype, seconds: float = 2.0, device: str = "cpu") -> float:
    """Rate of a square matrix product in GFLOP/s: the median over `seconds` of repeats.

    The median and not the best, so that a machine that is shared with others slows the rate and
    the figures that are divided by it alike.
    """
    import torch

    from mmsr.training import bf16_is_native

    emulated = dtype == torch.bfloat16 and not bf16_is_native(device)
    width = EMULATED_WIDTH if emulated else GEMM_WIDTH
    left = torch.randn(width, width, device=device).to(dtype)
    right = torch.randn(width, width, device=device).to(dtype)
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    for _ in range(2):
        left @ right
    wait()
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while not times or time.perf_counter() < stop:
        start = time.perf_counter()
        left @ right
        wait()
        times.append(time.perf_counter() - start)
    return 2 * width**3 / statistics.median(times) / 1e9


def machine(seconds: float = 2.0) -> dict[str, Any]:
    """Describe this machine, its matrix-product rates measured now (`seconds` each)."""
    import torch

    from mmsr.training import bf16_is_native

    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "gemm_fp32_gflops": round(gemm_gflops(torch.float32, seconds), 1),
        "gemm_bf16_gflops": round(gemm_gflops(torch.bfloat16, seconds), 1),
        "bf16_native": bf16_is_native("cpu"),
    }


def peak_rss_gb() -> float:
    """Largest resident memory of this process so far, in GB (1e9 bytes).

    On Linux it is the kernel's mark for this program alone: `ru_maxrss` of a started process
    begins at what its parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def write(
    name: str,
    figures: Mapping[str, float],
    bars: Mapping[str, Bar],
    json_path: Path | None,
    machine: Mapping[str, Any],
    **more: object,
) -> None:
    """Print figures and bars as a table; write the whole result to `json_path` where given.

    Parameters
    ----------
    name : the benchmark, that is its file name without `.py`.
    figures : what was measured.
    bars : limits on some of the figures, by the figure's name; see `at_most` and `at_least`.
    json_path : the file to write, or None.
    machine : what `machine()` gave in this run.
    more : what else the file is to tell.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "bar", "met", title=f"{name} on {machine['cpu']}")
    for key, value in figures.items():
        bar = bars.get(key)
        limit, met = (f"{bar['limit']:g}", "yes" if bar["met"] else "NO") if bar else ("", "")
        table.add_row(key, f"{value:.4g}", limit, met)
    for key, bar in bars.items():
        if key not in figures:
            met = "yes" if bar["met"] else "NO"
            table.add_row(key, f"{bar['value']:.4g}", f"{bar['limit']:g}", met)
    console = Console()
    console.print(table)
    console.print(
        f"matrix products: {machine['gemm_fp32_gflops']} GFLOP/s fp32, "
        f"{machine['gemm_bf16_gflops']} GFLOP/s bf16"
    )
    if json_path is None:
        return
    result = {
        "name": name,
        "command": command(),
        "commit": COMMIT,
        "machine": dict(machine),
        "figures": dict(figures),
        "bars": dict(bars),
        **more,
    }
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(result, indent=2) + "\n")


def command() -> str:
    """The command line of this run, from the repository's root, without `--json FILE`."""
    words = sys.argv[1:]
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before != "--json" and word != "--json" and not word.startswith("--json=")
    ]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *kept])


def commit() -> str:
    """Commit of the code that runs; `+` behind it says that files were changed since.

    Results of other benchmarks are no code: several may be written before they are committed.
    """
    code = ("mmsr", "benchmarks", ":(exclude)benchmarks/results")
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def import_if_missing(source: str, protocol: str = "ratio") -> Dataset:
    """Open a data set of `$MMSR_HOME`; import `toys` or `beauty` first where it is not there.

    It has the name of its tables, and that of the protocol if it is not `ratio`.

    Raises
    ------
    UserError : the data set is not prepared, and its tables are not in `../shared/data` either.
    """
    from mmsr import paths
    from mmsr.data import Dataset, ImportSettings, Sources, prepare
    from mmsr.errors import UserError

    name = source if protocol == "ratio" else f"{source}-{protocol}"
    if (paths.datasets() / name).is_dir():
        return Dataset.open(name)
    tables = DATA / source
    if not tables.is_dir():
        raise UserError(
            f"data set {name!r} is neither prepared under {paths.datasets()} nor found in "
            f"{tables}: import it first with `mmsr data import {name} …`"
        )
    features = {
        file.name.removesuffix("_features.parquet"): file
        for file in tables.glob("*_features.parquet")
    }
    sources = Sources(tables / "interactions.parquet", tables / "items.parquet", features)
    return prepare(name, sources, ImportSettings(protocol=protocol)).dataset


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


COMMIT = commit()
"""Taken when the run begins: a long one may outlast other commits."""
