"""Seconds of a training epoch on Beauty: SASRec and GRU4Rec here, in RecBole and in RecTools.

Both sides of a comparison train the same network (width, layers, heads, inner width), with the
same longest history, loss, number type and number of threads, on the same interactions: the
training part of `leave-one-out`. Each library runs in an environment of its own, which is made
first where it is missing. All else is what the library does by itself. RecBole trains each prefix
as an example of its own, 2,048 at a time, and RecTools all positions of 128 histories, as we do;
both pad everything to the longest history. RecTools leaves out what precedes a user's latest 50
targets, which we train, too: the numbers of targets are checked, and stand in the result.

Rounds take turns: an epoch of ours, then theirs, in every other round the other way round, so that
what else the machine does slows both alike. A first round warms up, and does not count. `--share`
of their epoch is timed and scaled up: their batches are padded alike, so all cost the same. A
`speedup` is the median over rounds of their seconds ÷ ours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import numpy as np
import pandas as pd
import torch
from baseline_runs import OTHERS, VERSIONS, Other, environment

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.training import EpochResult, train

SEED = 2023
HISTORY = 50
NEGATIVES = 256


@dataclass(frozen=True)
class Pair:
    """One comparison."""

    library: str
    model: str
    """Its name here."""
    theirs: Mapping[str, object]
    """Settings of the library, as far as they are not its defaults."""
    bar: float
    """Times as fast as theirs that ours has to be."""
    ours: Mapping[str, object] = field(default_factory=dict)
    """Settings of ours beside `SHARED`."""


SHARED: Mapping[str, object] = {
    "graph.max_history": HISTORY,
    "model.width": 64,
    "training.batch_size": 128,
    "training.learning_rate": 1e-3,
}
_SASREC = {"model.layers": 2, "model.heads": 1}
_RECTOOLS = {"n_factors": 64, "n_blocks": 2, "n_heads": 1}
PAIRS: Mapping[str, Pair] = {
    "recbole_sasrec": Pair(
        "recbole",
        "sasrec",
        {
            "hidden_size": 64,
            "inner_size": 64,
            "n_layers": 2,
            "n_heads": 1,
            "hidden_act": "relu",
            "loss_type": "CE",
        },
        8,
        _SASREC,
    ),
    "recbole_gru4rec": Pair(
        "recbole",
        "gru4rec",
        {"embedding_size": 64, "hidden_size": 64, "num_layers": 1, "loss_type": "CE"},
        8,
        {"model.layers": 1},
    ),
    "rectools_sasrec": Pair("rectools", "sasrec", {**_RECTOOLS, "loss": "softmax"}, 1, _SASREC),
    "rectools_sasrec_sampled": Pair(
        "rectools",
        "sasrec",
        {**_RECTOOLS, "loss": "sampled_softmax", "n_negatives": NEGATIVES},
        1,
        {
            **_SASREC,
            "training.loss.name": "sampled_softmax",
            "training.loss.negatives": NEGATIVES,
            "training.loss.shared": False,
        },
    ),
}
QUICK = ("recbole_gru4rec", "rectools_sasrec_sampled")
"""The pairs that `--quick` measures."""


def interactions(dataset: Dataset) -> pd.DataFrame:
    """The training part of each user who has a training target, in order: user, item, position."""
    examples = dataset.train()
    new = np.flatnonzero(np.diff(examples.users, prepend=-1))
    lasts = examples.targets[np.append(new[1:], len(examples)) - 1]
    lengths = lasts - examples.starts[new] + 1
    position = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return pd.DataFrame(
        {
            "user_id:token": np.repeat(examples.users[new], lengths),
            "item_id:token": examples.items[np.repeat(examples.starts[new], lengths) + position],
            "timestamp:float": position,
        }
    )


def targets_of(library: str, table: pd.DataFrame) -> int:
    """How many targets the library is expected to train on."""
    targets = table.groupby("user_id:token").size() - 1
    return int((targets.clip(upper=HISTORY) if library == "rectools" else targets).sum())


@dataclass(frozen=True)
class Turns:
    """Seconds of an epoch in each round, of both sides."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def take(self, sides: Mapping[str, Callable[[], float]], ours_first: bool) -> None:
        """Measure one round; `sides` has a way to train an epoch for `ours` and `theirs`."""
        for side in ("ours", "theirs") if ours_first else ("theirs", "ours"):
            getattr(self, side).append(sides[side]())

    def figures(self, name: str) -> dict[str, float]:
        """Medians over rounds, and the spread of the ratio."""
        ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        return {
            f"speedup_{name}": statistics.median(ratios),
            f"speedup_{name}_least": min(ratios),
            f"speedup_{name}_most": max(ratios),
            f"seconds_{name}_ours": statistics.median(self.ours),
            f"seconds_{name}_theirs": statistics.median(self.theirs),
        }


def our_epochs(pair: Pair, dataset: Dataset, epochs: int, threads: int) -> Iterator[EpochResult]:
    """Our training, epoch by epoch."""
    config = Config(dataset=dataset.name, seed=SEED).replace(
        {
            "model.name": pair.model,
            **SHARED,
            **pair.ours,
            "training.threads": threads,
            "training.epochs": epochs,
            "training.patience": epochs,
        }
    )
    return train(config, dataset, device="cpu")


def check(name: str, about: Mapping[str, Any], targets: int, threads: int) -> None:
    """End where the other side is not what the figures are to be about."""
    expected = {
        "version": VERSIONS[PAIRS[name].library],
        "torch": torch.__version__,
        "targets": targets,
        "threads": threads,
    }
    found = {key: about[key] for key in expected}
    if found != expected:
        sys.exit(f"{name}: expected {expected}, found {found}")


def measure(
    name: str, dataset: Dataset, other: Other, rounds: int, warm_up: int, threads: int
) -> Iterator[Turns]:
    """Take one round at a time; yields all that count so far."""
    epochs = our_epochs(PAIRS[name], dataset, warm_up + rounds, threads)
    sides = {
        "ours": lambda: next(epochs).metrics["time/train_seconds"],
        "theirs": other.epoch,
    }
    turns = Turns()
    for number in range(warm_up + rounds):
        (turns if number >= warm_up else Turns()).take(sides, ours_first=number % 2 == 0)
        yield turns


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--threads", type=int, default=1, help="CPU threads of each side")
    result.add_argument("--rounds", type=int, default=5, help="epochs of each side that count")
    result.add_argument(
        "--share", type=float, default=0.08, help="share of their epoch that is timed; 1 is all"
    )
    result.add_argument(
        "--environments",
        type=Path,
        default=common.ROOT / "build" / "baselines",
        metavar="FOLDER",
        help="where the libraries are installed, and found again",
    )
    return result


def parsed() -> argparse.Namespace:
    """The options given; ends with what is wrong with them."""
    reader = parser()
    given = reader.parse_args()
    for name, right, allowed in (
        ("threads", given.threads >= 1, "a whole number from 1"),
        ("rounds", given.rounds >= 1, "a whole number from 1"),
        ("share", 0 < given.share <= 1, "a number above 0, at most 1"),
    ):
        if not right:
            reader.error(f"--{name} {getattr(given, name)}: give {allowed}")
    if given.quick:
        given.rounds, given.share = 1, 0.02
    return given


def main() -> None:
    given = parsed()
    torch.set_num_threads(given.threads)
    names, warm_up = (QUICK, 0) if given.quick else (tuple(PAIRS), 1)
    pythons = {
        library: environment(library, given.environments.resolve())
        for library in dict.fromkeys(PAIRS[name].library for name in names)
    }
    dataset = common.import_if_missing("beauty", "leave-one-out")
    machine, load = common.machine(seconds=0.5 if given.quick else 2.0), os.getloadavg()
    figures: dict[str, float] = {}
    details: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        table, file = interactions(dataset), Path(made) / "beauty" / "beauty.inter"
        file.parent.mkdir()
        table.to_csv(file, index=False)
        running: dict[str, Iterator[Turns]] = {}
        for name in names:
            pair, folder = PAIRS[name], Path(made) / name
            folder.mkdir()
            told = {
                "interactions": str(file),
                "model": pair.model,
                "settings": pair.theirs,
                "max_history": HISTORY,
                "threads": given.threads,
                "share": given.share,
                "seed": SEED,
            }
            script = OTHERS / f"train_{pair.library}.py"
            other = stack.enter_context(Other(pythons[pair.library], script, told, folder))
            check(name, other.about, targets_of(pair.library, table), given.threads)
            running[name] = measure(name, dataset, other, given.rounds, warm_up, given.threads)
            details[name] = {
                "ours": {**SHARED, **pair.ours, "targets": len(dataset.train())},
                "theirs": {**pair.theirs, **other.about},
            }
        turns: dict[str, Turns] = {}
        for _ in range(warm_up + given.rounds):
            turns |= {name: next(rounds) for name, rounds in running.items()}
    for name in names:
        figures |= turns[name].figures(name)
    bars = {
        f"speedup_{name}": common.at_least(PAIRS[name].bar, figures[f"speedup_{name}"])
        for name in names
    }
    common.write(
        "baselines",
        figures,
        bars,
        given.json,
        machine,
        dataset="beauty",
        protocol=dataset.protocol,
        dataset_hash=dataset.content_hash,
        seeds=[SEED],
        share=given.share,
        load_average={"before": load, "after": os.getloadavg()},
        pairs=details,
        seconds={name: asdict(turns[name]) for name in names},
    )


if __name__ == "__main__":
    main()
