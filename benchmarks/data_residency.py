"""What one data set costs in memory when several trials of a node use it at once.

Real trials of a real study: N worker processes of Ray train on one data set at the same time, and
amid their first epoch they wait for each other and look at themselves:

- shared: the proportional set size (PSS) of all mappings of files of the data set, of the places
  of its prefixes and of its modality codes. A page that eight processes map counts an eighth in
  each. Features are no part of a trial: their codes are computed before, so theirs is 0.
- private: what a process holds of the data set on its own: arrays that were allocated in
  `mmsr.data` and `mmsr.graph` and are still alive (tracemalloc; Arrow's own pool), and model
  buffers (the items' links to codes) that do not lie on a mapped file.
- order: the random order in which a trial sees its examples, 4 bytes for each. It is the trial's
  own, as its weights are, so `ratio` leaves it out; `ratio_with_order` does not.

Weights, optimizer and libraries are no part of it; `process_mb_…` shows them beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import common

TOGETHER = 8
_STEPS = 3
_WAIT_SECONDS = 900
_PLACE, _TRIALS = "MMSR_RESIDENCY_PLACE", "MMSR_RESIDENCY_TRIALS"
_OURS = ("*/mmsr/data/*", "*/mmsr/graph/*")
_ORDER = ("*/mmsr/training/batching.py",)


def train(
    config: Any, dataset: Any, *, device: str = "auto", resume: Path | None = None
) -> Iterator[Any]:
    """Begin an epoch as every trial does; amid it, wait for the others and take stock."""
    import numpy as np

    from mmsr.graph.codes import modality_codes
    from mmsr.training.batching import bucketed_batches
    from mmsr.training.loop import Run

    modality_codes(dataset, config.graph)  # what computing them takes has passed
    tracemalloc.start(3)
    run = Run(config, dataset, "train", device)
    lengths = run.examples.lengths(config.graph.max_history)
    batches = bucketed_batches(lengths, config.training.batch_size, np.random.default_rng(0))
    del lengths
    run.model.train()
    for rows in batches[:_STEPS]:
        run.step(rows)
    touched = run.examples.target_items().sum() + run.valid.target_items().sum()  # as an epoch does
    assert touched > 0
    place, together = Path(os.environ[_PLACE]), int(os.environ[_TRIALS])
    _wait(place, "begun", together)
    stock = _stock(place.parent, run)
    _wait(place, "looked", together)
    (place / f"{os.getpid()}.json").write_text(json.dumps(stock))
    yield _Epoch()


class _Epoch:
    """What a trial reports; it has not ranked anything."""

    epoch, best_epoch, finished = 1, 1, True
    metrics: ClassVar = {"valid/mrr@20": 0.0}
    best_metrics: ClassVar = metrics

    def save_checkpoint(self, folder: Path) -> None:
        """Nothing is resumed from it."""
        folder.mkdir(parents=True)


def _wait(place: Path, step: str, together: int) -> None:
    """Wait until so many processes have come as far."""
    (place / f"{os.getpid()}.{step}").touch()
    deadline = time.monotonic() + _WAIT_SECONDS
    while len(list(place.glob(f"*.{step}"))) < together:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the other trials have not {step}")
        time.sleep(0.1)


def _stock(home: Path, run: Any) -> dict[str, float]:
    import pyarrow as pa

    mapped = {"features": 0.0, "histories": 0.0, "places": 0.0, "codes": 0.0}
    anonymous, process = [], 0.0
    for name, begin, end, pss in _mappings():
        process += pss
        if name.startswith(str(home)):
            if "/cache/codes/" in name:
                mapped["codes"] += pss
            elif "/cache/prefixes/" in name:
                mapped["places"] += pss
            else:
                mapped["features" if "/features/" in name else "histories"] += pss
        elif not name.startswith("/"):
            anonymous.append((begin, end))
    allocated = tracemalloc.take_snapshot()
    private = _alive(allocated, _OURS) + pa.total_allocated_bytes() + _buffers(run, anonymous)
    return {
        **mapped,
        "private": private,
        "order": _alive(allocated, _ORDER),
        "process": process,
    }


def _mappings() -> Iterator[tuple[str, int, int, float]]:
    """Name, first and last address and PSS in bytes of each mapping of this process."""
    name, begin, end = "", 0, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split(maxsplit=5)
        if "-" in words[0] and not words[0].endswith(":"):
            begin, end = (int(word, 16) for word in words[0].split("-"))
            name = words[5] if len(words) > 5 else ""
        elif words[0] == "Pss:":
            yield name, begin, end, int(words[1]) * 1024


def _alive(allocated: tracemalloc.Snapshot, patterns: tuple[str, ...]) -> float:
    """Bytes that code of these files has allocated and that are still alive."""
    kept = [tracemalloc.Filter(True, pattern, all_frames=True) for pattern in patterns]
    return float(sum(one.size for one in allocated.filter_traces(kept).statistics("filename")))


def _buffers(run: Any, anonymous: list[tuple[int, int]]) -> float:
    """Bytes of the model's links to codes that do not lie on a mapped file."""
    import torch

    found = {
        tensor.data_ptr(): tensor.nbytes
        for model in (run.model, run.ranked)
        for tensor in model.buffers()
        if tensor.dtype == torch.int64
        and any(begin <= tensor.data_ptr() < end for begin, end in anonymous)
    }
    return float(sum(found.values()))


def measure(dataset: str, trials: int, home: Path) -> dict[str, float]:
    """Run so many trials at once; returns the sum over their processes, in MB (1e6 bytes)."""
    from ray.cluster_utils import Cluster

    from mmsr.study import Int, Study
    from mmsr.study.main import execute
    from mmsr.study.planning.declaration import Options

    with tempfile.TemporaryDirectory(dir=home, prefix="residency-") as folder:
        os.environ[_PLACE], os.environ[_TRIALS] = folder, str(trials)
        node = {"num_cpus": trials, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        study = Study(
            dataset=dataset,
            name=Path(folder).name,
            trials=trials,
            epochs=1,
            space={"seed": Int(0, 99)},
            base={
                "graph.n_codes": 10,
                "graph.links_per_item": 3,
                "model.aggregator.name": "gcn",
                "model.width": 8,
                "training.batch_size": 1024,
                "training.averaging": 0.9,
            },
            enqueue=[{"seed": seed} for seed in range(trials)],
            pruner=None,
            trainer="data_residency:train",
        )
        try:
            code = execute(study, Options(address=cluster.address))
        finally:
            cluster.shutdown()
        found = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    if code or len(found) != trials:
        raise SystemExit(f"{len(found)} of {trials} trials ran")
    return {key: sum(one[key] for one in found) / 1e6 for key in found[0]}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.partition("\n")[0])
    result.add_argument("--dataset", default="toys")
    result.add_argument("--trials", type=int, default=TOGETHER, help="that run at once")
    return result


def main() -> None:
    arguments = parser().parse_args()
    machine = common.machine(0.5)
    source = common.import_if_missing(arguments.dataset)
    together = 2 if arguments.quick else arguments.trials
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, here)
    with tempfile.TemporaryDirectory(prefix="mmsr-residency-") as scratch:
        home = Path(scratch)
        os.environ["MMSR_HOME"] = str(home)
        shutil.copytree(source.path, home / "datasets" / arguments.dataset)
        measure(arguments.dataset, 1, home)  # makes what all later runs find: codes, prefixes
        alone = measure(arguments.dataset, 1, home)
        all_of_them = measure(arguments.dataset, together, home)
    figures = {f"{key}_mb_1": value for key, value in alone.items()}
    figures |= {f"{key}_mb_{together}": value for key, value in all_of_them.items()}
    one, many = _resident(alone), _resident(all_of_them)
    figures |= {"resident_mb_1": one, f"resident_mb_{together}": many}
    figures["ratio"] = many / one
    figures["ratio_with_order"] = (many + all_of_them["order"]) / (one + alone["order"])
    bars = {"ratio": common.at_most(1.3, figures["ratio"])}
    common.write("data_residency", figures, bars, arguments.json, machine=machine)


def _resident(parts: dict[str, float]) -> float:
    return sum(value for key, value in parts.items() if key not in ("order", "process"))


if __name__ == "__main__":
    main()
