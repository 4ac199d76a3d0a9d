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
`speedup` is the median over rounds of their seconds ÷ ours, a `cpu_speedup` that of processor time,
which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import pandas as pd
import torch
from baseline_runs import OTHERS, VERSIONS, Other, Seconds, add_environments, environment

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.training import Progress, train

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
        {"model.layers": 1, "model.bias": False},
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
    users, items = dataset.interactions("train")
    table = pd.DataFrame({"user_id:token": users, "item_id:token": items})
    by_user = table.groupby("user_id:token")["item_id:token"]
    table["timestamp:float"] = by_user.cumcount()
    return table[by_user.transform("size") > 1].reset_index(drop=True)


def targets_of(library: str, table: pd.DataFrame) -> int:
    """How many targets the library is expected to train on."""
    targets = table.groupby("user_id:token").size() - 1
    return int((targets.clip(upper=HISTORY) if library == "rectools" else targets).sum())


@dataclass(frozen=True)
class Turns:
    """What an epoch took in each round, on both sides."""

    ours: list[Seconds] = field(default_factory=list)
    theirs: list[Seconds] = field(default_factory=list)

    def take(self, sides: Mapping[str, Callable[[], Seconds]], ours_first: bool) -> None:
        """Measure one round; `sides` has a way to train an epoch for `ours` and `theirs`."""
        for side in ("ours", "theirs") if ours_first else ("theirs", "ours"):
            getattr(self, side).append(sides[side]())

    def figures(self, name: str) -> dict[str, float]:
        """Medians over rounds, and the spread of the ratio."""
        pairs = list(zip(self.ours, self.theirs, strict=True))
        ratios = [theirs.wall / ours.wall for ours, theirs in pairs]
        return {
            f"speedup_{name}": statistics.median(ratios),
            f"speedup_{name}_least": min(ratios),
            f"speedup_{name}_most": max(ratios),
            f"cpu_speedup_{name}": statistics.median(t.cpu / o.cpu for o, t in pairs),
            f"seconds_{name}_ours": statistics.median(ours.wall for ours in self.ours),
            f"seconds_{name}_theirs": statistics.median(theirs.wall for theirs in self.theirs),
        }


class Ours:
    """Our training, epoch by epoch; validation follows each, and is not timed."""

    def __init__(self, pair: Pair, dataset: Dataset, epochs: int, threads: int) -> None:
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
        self._results = train(config, dataset, device="cpu", progress=self._note)
        self._trained = 0.0

    def epoch(self) -> Seconds:
        """Train, and return what an epoch took."""
        started = time.process_time()
        result = next(self._results)
        return Seconds(result.metrics["time/train_seconds"], self._trained - started)

    def _note(self, progress: Progress) -> None:
        if progress.stage == "train":  # the last such call is at the last batch
            self._trained = time.process_time()


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


def told(name: str, file: Path, threads: int, share: float) -> dict[str, object]:
    """What the script of the other side is told."""
    return {
        "interactions": str(file),
        "model": PAIRS[name].model,
        "settings": PAIRS[name].theirs,
        "max_history": HISTORY,
        "threads": threads,
        "share": share,
        "seed": SEED,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--threads", type=int, default=1, help="CPU threads of each side")
    result.add_argument("--rounds", type=int, default=5, help="epochs of each side that count")
    result.add_argument(
        "--share", type=float, default=0.05, help="share of their epoch that is timed; 1 is all"
    )
    add_environments(result)
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
        others: dict[str, Other] = {}
        for name in names:
            library, folder = PAIRS[name].library, Path(made) / name
            folder.mkdir()
            given_to_it = told(name, file, given.threads, given.share)
            script = OTHERS / f"train_{library}.py"
            others[name] = stack.enter_context(Other(pythons[library], script, given_to_it, folder))
        epochs = warm_up + given.rounds
        ours = {name: Ours(PAIRS[name], dataset, epochs, given.threads) for name in names}
        for name, other in others.items():
            check(name, other.about, targets_of(PAIRS[name].library, table), given.threads)
            details[name] = {
                "ours": {**SHARED, **PAIRS[name].ours, "targets": len(dataset.train())},
                "theirs": {**PAIRS[name].theirs, **other.about},
            }
        turns = {name: Turns() for name in names}
        for number in range(epochs):
            if number == warm_up:
                turns = {name: Turns() for name in names}
            for name in names:
                sides = {"ours": ours[name].epoch, "theirs": others[name].epoch}
                turns[name].take(sides, ours_first=number % 2 == 0)
                took = ", ".join(f"{k} {v[-1].wall:.1f} s" for k, v in vars(turns[name]).items())
                print(f"round {number + 1} of {epochs}, {name}: {took} an epoch", flush=True)
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
        seconds={
            name: {k: [s._asdict() for s in v] for k, v in vars(turns[name]).items()}
            for name in names
        },
    )


if __name__ == "__main__":
    main()
