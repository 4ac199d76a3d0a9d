"""How long it takes to recommend for all users of Toys, beside `evaluate` of the same model.

Both rank all items for one history of each user, on one thread, pyarrow's included, and in turns
that change their order: what else the machine does slows both alike. A first turn is not counted.
`evaluate` reads the history without its last item, its target. Recommendations are read, ranked and
written as `mmsr recommend` does it: for all users of the data set, and for users and histories of a
CSV file. The command itself is timed as a whole process, with the start of Python and the loading
of the model.

The model has the default settings and the weights that training starts from: neither side's rate
depends on what it has learned.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common
import numpy as np
import pyarrow as pa
import torch

from mmsr.config import Config
from mmsr.data import Dataset, Prefixes
from mmsr.data.progress import Silent
from mmsr.evaluation import evaluate
from mmsr.serving.catalogue import Users
from mmsr.serving.options import Options
from mmsr.serving.recommender import Recommender
from mmsr.serving.sources import load
from mmsr.serving.users_file import HISTORY, USER, UsersFile, all_users
from mmsr.serving.writing import Counts, write_recommendations
from mmsr.training.checkpoint import CheckpointState, write_checkpoint
from mmsr.training.step import new_model

REPEATS, COMMANDS = 5, 2
QUICK_USERS = 2000
MOST = 1.2
"""Seconds of recommending for a file of users, those of `evaluate` being 1."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def write_model(dataset: Dataset, folder: Path) -> None:
    """Write the checkpoint of a model with the default settings and the weights as drawn."""
    config = Config(dataset=dataset.name)
    model = new_model(config, dataset)
    score = {config.training.select_by: 0.0}
    state = CheckpointState(
        epoch=1,
        metrics=score,
        best_epoch=1,
        best_metrics=score,
        finished=True,
        part="train",
        config=config.to_dict(),
        dataset_hash=dataset.content_hash,
    )
    write_checkpoint(folder, state, model, torch.optim.Adam(model.parameters()), model.state_dict())


def last_prefixes(dataset: Dataset, n_users: int) -> Prefixes:
    """Of each of the first users, the history up to the last item in development data."""
    prefixes = dataset.development()
    users, from_end = np.unique(prefixes.users[::-1], return_index=True)
    return prefixes.select(np.sort(len(prefixes) - 1 - from_end[users < n_users]))


def write_users(recommender: Recommender, path: Path) -> None:
    """Write the recommender's users and their histories as CSV."""
    users = recommender.known_users()
    ids, histories = users.user_ids.to_pylist(), users.histories
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow([USER, HISTORY])
        for id_, start, end in zip(ids, histories.starts, histories.ends, strict=True):
            items = recommender.catalogue.ids_of(histories.items[start:end]).to_pylist()
            lines.writerow([id_, " ".join(items)])


def for_all(recommender: Recommender, output: Path) -> Counts:
    """What `mmsr recommend --all-users` does once the model is loaded."""
    options = Options()
    blocks = partial(all_users, recommender, options)
    return write_recommendations(recommender, blocks, output, options, USER, Silent())


def for_file(recommender: Recommender, path: Path, output: Path) -> Counts:
    """What `mmsr recommend --users FILE` does once the model is loaded."""
    options = Options()
    with UsersFile.opened(path) as file:
        blocks = partial(file.blocks, recommender, options)
        return write_recommendations(recommender, blocks, output, options, file.key, Silent())


def run_command(model: Path, users: Path, output: Path) -> None:
    """Run `mmsr recommend --users FILE` in a process of its own, its arithmetic on one thread."""
    words = [str(model), "--users", str(users), "-o", str(output), "--force", "--device", "cpu"]
    subprocess.run(
        [sys.executable, "-m", "mmsr.cli.app", "recommend", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=common.ROOT,
        check=True,
        capture_output=True,
    )


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    dataset: Dataset, folder: Path, n_users: int, repeats: int, commands: int
) -> dict[str, float]:
    """Figures of the first users of a data set.

    Parameters
    ----------
    dataset : the data set.
    folder : an empty folder for the model and what is written.
    n_users : how many of its users.
    repeats : counted turns of `evaluate` and both ways to recommend.
    commands : runs of the whole command.
    """
    model, table, output = folder / "model", folder / "users.csv", folder / "top.parquet"
    write_model(dataset, model)
    recommender = load(model, device="cpu")
    known = recommender.known_users()
    recommender.users = Users(known.user_ids[:n_users], known.histories.select(slice(n_users)))
    write_users(recommender, table)
    prefixes, config = last_prefixes(dataset, n_users), recommender.config
    counts = for_all(recommender, output)
    if counts.ranked != len(prefixes):
        sys.exit(f"{counts.ranked} histories to recommend for, and {len(prefixes)} to evaluate")
    calls: dict[str, Callable[[], object]] = {
        "evaluate": partial(
            evaluate,
            recommender.model,
            prefixes,
            max_history=config.graph.max_history,
            seen=config.training.seen,
        ),
        "users": partial(for_file, recommender, table, output),
        "all_users": partial(for_all, recommender, output),
    }
    turns = []
    for turn in range(repeats + 1):
        order = list(calls) if turn % 2 else list(reversed(calls))
        turns.append({name: seconds_of(calls[name]) for name in order})
    turns = turns[1:]
    whole = [seconds_of(partial(run_command, model, table, output)) for _ in range(commands)]
    seconds = {name: statistics.median(turn[name] for turn in turns) for name in calls}

    def ratio(name: str) -> float:
        return statistics.median(turn[name] / turn["evaluate"] for turn in turns)

    return {
        "histories": counts.ranked,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "command_seconds": statistics.median(whole),
        "ratio": ratio("users"),
        "ratio_all_users": ratio("all_users"),
        "histories_per_second": counts.ranked / seconds["users"],
        "rows_per_second": counts.rows / seconds["users"],
    }


def main() -> None:
    """Measure, print, and write the result."""
    arguments = parser().parse_args()
    quick = arguments.quick
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    machine = common.machine(seconds=0.5 if quick else 2.0)
    dataset = common.import_if_missing("toys")
    n_users = min(QUICK_USERS, dataset.n_users) if quick else dataset.n_users
    repeats, commands = (2, 1) if quick else (REPEATS, COMMANDS)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(dataset, Path(folder), n_users, repeats, commands)
    bars = {"ratio": common.at_most(MOST, figures["ratio"])}
    common.write("recommend", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()
