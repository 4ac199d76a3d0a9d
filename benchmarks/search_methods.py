"""What TPE finds against random search at the same budget: best validation MRR@20 of a study.

On the demo shop with several seeds of the proposals, and on Toys once, with short trials of a
narrow model. Neither method is given known settings, and no trial is stopped early, so that both
train the same number of epochs. Two trials run at once where there are two cores, and which of them
ends first decides what TPE knows: a rerun need not give the same trials.

Each is an ordinary study under `$MMSR_HOME`: the same command resumes it, or reads its results.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import runpy
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common

from mmsr.study import Choice, Float, Int, Random, Study, Tpe
from mmsr.study.main import execute
from mmsr.study.planning.declaration import Options
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

METHODS = {"tpe": Tpe(startup_trials=4), "random": Random()}
TOYS = Study(
    dataset="toys",
    trials=12,
    epochs=2,
    space={
        "graph.links_per_item": Int(1, 2),
        "model.fusion": Choice("adaptive", "early"),
        "model.scoring": Choice("item", "item_and_codes"),
        "model.input_dropout": Float(0.0, 0.5, step=0.1),
        "model.dropout": Float(0.0, 0.6, step=0.1),
        "training.learning_rate": Float(5e-4, 2e-2, log=True),
        "training.batch_size": Choice(256, 512, 1024),
        "training.label_smoothing": Choice(0.0, 0.1),
    },
    base={
        "graph.n_codes": 10,
        "graph.max_history": 20,
        "model.width": 16,
        "training.averaging": 0.99,
    },
)
SEEDS = {"demo": tuple(range(5)), "toys": (0,)}


def demo() -> Study:
    """The study of the demo shop, whose data are generated where they are missing."""
    module = runpy.run_path(str(common.ROOT / "studies" / "demo.py"))
    module["generate"]()
    return dataclasses.replace(module["study"], trials=12, epochs=3)


def toys() -> Study:
    """The study of Toys, whose data are imported where they are missing."""
    common.import_if_missing("toys")
    return TOYS


def run(study: Study, method: str, seed: int) -> list[float]:
    """Best validation MRR@20 after each trial of a study, which is run or resumed first."""
    name = f"search-{study.dataset}-{method}-{seed}"
    equal = dataclasses.replace(
        study, name=name, seed=seed, enqueue=(), sampler=METHODS[method], pruner=None
    )
    if (code := execute(equal, Options())) != 0:
        sys.exit(f"study {name} ended with code {code}: the same command resumes it")
    values = [row.value or 0.0 for row in rows(look_up(name).study)]
    return list(accumulate(values, max))


def figures_of(curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> dict[str, float]:
    """Figures by data set and method; of best values after each trial, a curve a seed."""
    figures: dict[str, float] = {}
    for data, by_method in curves.items():
        for method, found in by_method.items():
            last = [curve[-1] for curve in found]
            half = [curve[len(curve) // 2 - 1] for curve in found]
            figures[f"{data}_{method}_best_mean"] = statistics.mean(last)
            figures[f"{data}_{method}_best_mean_halfway"] = statistics.mean(half)
            if len(last) > 1:
                figures[f"{data}_{method}_best_std"] = statistics.stdev(last)
                figures |= {f"{data}_{method}_best_{seed}": v for seed, v in enumerate(last)}
        pairs = list(zip(by_method["tpe"], by_method["random"], strict=True))
        gains = [tpe[-1] - random[-1] for tpe, random in pairs]
        figures[f"{data}_trials"] = float(len(pairs[0][0]))
        figures[f"{data}_gain_mean"] = statistics.mean(gains)
        figures[f"{data}_gain_relative"] = (
            statistics.mean(gains) / figures[f"{data}_random_best_mean"]
        )
        if len(gains) > 1:
            figures[f"{data}_seeds_won"] = float(sum(gain > 0 for gain in gains))
            figures[f"{data}_seeds_lost"] = float(sum(gain < 0 for gain in gains))
    return figures


@contextmanager
def passing_home() -> Iterator[None]:
    """An `$MMSR_HOME` that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMSR_HOME"] = folder
        yield


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--only", choices=SEEDS, help="one of the data sets")
    result.add_argument("--seeds", type=int, default=5, help="seeds on the demo shop")
    return result


def main() -> None:
    arguments = parser().parse_args()
    wanted = ("demo",) if arguments.quick else SEEDS if arguments.only is None else [arguments.only]
    machine = common.machine(seconds=0.5)
    curves: dict[str, dict[str, list[list[float]]]] = {}
    with passing_home() if arguments.quick else nullcontext():
        for data in wanted:
            study, seeds = {"demo": demo, "toys": toys}[data](), SEEDS[data][: arguments.seeds]
            if arguments.quick:
                study, seeds = dataclasses.replace(study, trials=4, epochs=1), seeds[:1]
            found: dict[str, list[list[float]]] = {method: [] for method in METHODS}
            for seed in seeds:  # both methods of a seed side by side in time
                for method in METHODS:
                    found[method].append(run(study, method, seed))
            curves[data] = found
    figures = figures_of(curves)
    bars = {
        f"{data}_tpe_best_mean": common.at_least(
            figures[f"{data}_random_best_mean"], figures[f"{data}_tpe_best_mean"]
        )
        for data in curves
    }
    common.write("search_methods", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()
