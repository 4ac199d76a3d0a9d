"""How a training step's time and memory grow with items, history length, codes, links and width.

One size is varied at a time around `Point`'s defaults, on seeded synthetic data of two modalities:
128 histories of exactly that length, of uniformly drawn items. Every point is measured in a process
of its own, which does what an epoch of training does: steps with their weight average, the copy of
the best weights, and the ranking of one chunk of prefixes. The loss is the full softmax over all
items, computed in place on one matrix of scores; nothing is sampled.

Step time is given by the clock and as processor time of all threads. The latter is what is drawn:
other work on the machine lengthens it less, and points are not measured in turns.

Memory is what the process holds at most beyond what it holds after training the smallest of models;
the bar on one million items counts all that the process holds. Exponents are slopes of log cost on
log size: 1 is linear. A step has parts that do not grow with the size that is varied, so the slope
over all sizes is below that of the growing part; the one over the upper half is nearer to it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import common

from mmsr.config import Config
from mmsr.data import Prefixes
from mmsr.evaluation import evaluate
from mmsr.evaluation.ranking import CHUNK_PREFIXES
from mmsr.graph.codes import ModalityCodes
from mmsr.models.mmsr.model import MMSR
from mmsr.training.averaging import WeightAverage
from mmsr.training.step import new_optimizer, train_step

SEED = 2023
MODALITIES = ("image", "text")
FEATURE_WIDTH = 128
LIMIT_GB = 8.0
"""For one million items."""


@dataclass(frozen=True)
class Point:
    """Sizes of one measurement; the defaults are what is held fixed."""

    items: int = 10_000
    history: int = 20
    codes: int = 30
    links: int = 3
    width: int = 128


SMALLEST = Point(items=100, history=2, codes=2, links=1, width=8)
AXES: dict[str, tuple[int, ...]] = {
    "items": (1_000, 10_000, 100_000, 1_000_000),
    "history": (5, 10, 20, 35, 50),
    "codes": (10, 20, 30, 50, 100),
    "links": (1, 2, 3, 5, 8),
    "width": (32, 64, 128, 256),
}
QUICK_AXES = {name: (sizes[0], getattr(Point(), name), sizes[-1]) for name, sizes in AXES.items()}
TITLES = {
    "items": "items of the catalogue",
    "history": "items of a history",
    "codes": "codes per modality",
    "links": "links per item",
    "width": "width of the model",
}


@dataclass(frozen=True)
class Cost:
    """What one point costs."""

    seconds: float
    """Median time of a training step."""
    cpu_seconds: float
    """Median processor time of a step, all threads together."""
    step_gb: float
    """Most memory until the last step, beyond what the process held before."""
    memory_gb: float
    """The same with the ranking and the new best weights."""
    peak_gb: float
    """Most memory that the process held altogether."""


def make_codes(point: Point, rng: np.random.Generator) -> dict[str, ModalityCodes]:
    """Each item is linked to neighbouring codes from a random one on."""
    codes = {}
    for name in MODALITIES:
        links = rng.integers(point.codes, size=(point.items, 1)) + np.arange(point.links)
        links %= point.codes
        centres = rng.standard_normal((point.codes, FEATURE_WIDTH)).astype(np.float32)
        codes[name] = ModalityCodes(links, centres)
    return codes


def make_prefixes(point: Point, n: int, rng: np.random.Generator) -> Prefixes:
    """Histories of the same length and their targets, all items uniformly drawn."""
    length = point.history + 1
    items = rng.integers(point.items, size=n * length, dtype=np.int32)
    starts = np.arange(n) * length
    return Prefixes(items, starts, starts + point.history, np.arange(n, dtype=np.int32))


def measure(point: Point, steps: int, seconds: float) -> Cost:
    """Cost of a point, see `train`; to be called in a fresh process."""
    train(SMALLEST, 1, 0.0)  # loads what is loaded at the first use
    before = common.peak_rss_gb()
    times, cpu_times, step_gb = train(point, steps, seconds)
    peak = common.peak_rss_gb()
    return Cost(
        seconds=statistics.median(times),
        cpu_seconds=statistics.median(cpu_times),
        step_gb=step_gb - before,
        memory_gb=peak - before,
        peak_gb=peak,
    )


def train(point: Point, steps: int, seconds: float) -> tuple[list[float], list[float], float]:
    """Do what an epoch does: steps, ranking, and a copy of the best weights.

    Steps go on for `seconds`, and are `steps` at least, beside a first one that warms up.

    Returns
    -------
    Time and processor time of every step but the first, and the peak of memory before ranking in
    GB.
    """
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    config = Config(dataset="synthetic").replace(
        {
            "graph.n_codes": point.codes,
            "graph.links_per_item": point.links,
            "graph.max_history": point.history,
            "model.width": point.width,
        }
    )
    model = MMSR(config, point.items, make_codes(point, rng)).train()
    optimizer = new_optimizer(config, model)
    average = WeightAverage(model, config.training.averaging)
    best = _copied(average.model)
    prefixes = make_prefixes(point, CHUNK_PREFIXES, rng)
    batches = np.arange(len(prefixes)).reshape(-1, config.training.batch_size)
    times: list[float] = []
    cpu_times: list[float] = []
    while len(times) <= steps or sum(times) < seconds:
        rows = batches[len(times) % len(batches)]
        started, cpu_started = time.perf_counter(), time.process_time()
        histories, targets = map(torch.from_numpy, prefixes.batch(rows, point.history))
        train_step(model, optimizer, histories, targets, config)
        average.update(model)
        times.append(time.perf_counter() - started)
        cpu_times.append(time.process_time() - cpu_started)
    step_gb = common.peak_rss_gb()
    evaluate(average.model, prefixes, max_history=point.history)
    best = _copied(average.model)  # while the former ones are still there, as in training
    del best
    return times[1:], cpu_times[1:], step_gb


def _copied(model: MMSR) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost on log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def upper_half(sizes: Sequence[int]) -> int:
    """Where the upper half of the sizes begins; two sizes at least are in it."""
    return min(len(sizes) // 2, len(sizes) - 2)


def figures_of(axes: Mapping[str, Sequence[int]], costs: Mapping[Point, Cost]) -> dict[str, float]:
    """Costs by size, and exponents by axis."""
    figures: dict[str, float] = {}
    for axis, sizes in axes.items():
        found = [costs[replace(Point(), **{axis: size})] for size in sizes]
        upper = upper_half(sizes)
        for cost in ("seconds", "cpu_seconds", "memory_gb"):
            values = [getattr(f, cost) for f in found]
            name = cost.removesuffix("_gb")
            figures[f"exponent_{name}_{axis}"] = exponent(sizes, values)
            figures[f"exponent_{name}_{axis}_upper_half"] = exponent(sizes[upper:], values[upper:])
        for size, cost in zip(sizes, found, strict=True):
            figures |= {f"{name}_{axis}_{size}": value for name, value in asdict(cost).items()}
    return figures


def draw(axes: Mapping[str, Sequence[int]], figures: Mapping[str, float], file: Path) -> None:
    """Plot time and memory against every size, log-log, with the slope of the upper half."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = Figure(figsize=(3.2 * len(axes), 6), layout="constrained")
    rows = (("cpu_seconds", 1e3, "processor time of a step [ms]"), ("memory", 1e3, "memory [MB]"))
    panels = figure.subplots(len(rows), len(axes), sharex="col", sharey="row")
    for row, (cost, scale, label) in enumerate(rows):
        key = {"memory": "memory_gb"}.get(cost, cost)
        for column, (axis, sizes) in enumerate(axes.items()):
            panel = panels[row][column]
            values = np.array([scale * figures[f"{key}_{axis}_{size}"] for size in sizes])
            panel.loglog(sizes, values, "o-", color="tab:blue", label="measured")
            slope = figures[f"exponent_{cost}_{axis}_upper_half"]
            ends = np.array(sizes[upper_half(sizes) :], dtype=float)[[0, -1]]
            fitted = values[-1] * (ends / ends[1]) ** slope
            panel.loglog(ends, fitted, "--", color="tab:red", label=f"exponent {slope:.2f}")
            panel.legend(loc="upper left", fontsize="small", frameon=False)
            panel.grid(alpha=0.3)
            panel.set_xticks(sizes)
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(FuncFormatter(_short))
            if row == len(rows) - 1:
                panel.set_xlabel(TITLES[axis])
            if column == 0:
                panel.set_ylabel(label)
    fixed = ", ".join(f"{name} {_short(value)}" for name, value in asdict(Point()).items())
    figure.suptitle(f"A training step of 128 prefixes; held fixed but for one: {fixed}")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _short(value: float, _position: int | None = None) -> str:
    """Powers of ten from 1,000 on as such, other numbers in full."""
    power = round(np.log10(value))
    return f"$10^{power}$" if power >= 3 and value == 10**power else f"{value:g}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves (PNG)")
    return result


def main() -> None:
    arguments = parser().parse_args()
    if arguments.plot is None and arguments.json is not None:
        arguments.plot = arguments.json.with_suffix(".png")
    axes, effort = (QUICK_AXES, (1, 0.3)) if arguments.quick else (AXES, (5, 5.0))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmsr.evaluation", "mmsr.training.step"])
    points = {replace(Point(), **{axis: size}) for axis, sizes in axes.items() for size in sizes}
    costs: dict[Point, Cost] = {}
    for point in sorted(points, key=lambda p: tuple(asdict(p).values())):
        with context.Pool(1) as pool:
            costs[point] = pool.apply(measure, (point, *effort))
        print(f"{point}: {costs[point].seconds:.3f} s, {costs[point].peak_gb:.2f} GB", flush=True)
    figures = figures_of(axes, costs)
    if arguments.plot is not None:
        draw(axes, figures, arguments.plot)
    bars = {"peak_gb_items_1000000": common.at_most(LIMIT_GB, figures["peak_gb_items_1000000"])}
    machine = common.machine(seconds=0.5 if arguments.quick else 2.0)
    common.write("scaling", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()
