"""Whether RecBole and RecTools read exports as they are meant: sizes, examples and vectors.

A demo shop is imported with each protocol, in a home of its own, and exported with its test part.
RecBole and RecTools read the exports in environments of their own, which are made first where they
are missing. Users, items, and of each part the number of targets and the SHA-256 of all examples
(user, latest items, target) are compared with those of the data set; of RecBole, also the vectors.
A figure is the number of values that differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import numpy as np
from baseline_runs import OTHERS, VERSIONS, add_environments, environment

from mmsr.data import (
    PROTOCOLS,
    Dataset,
    DemoShop,
    ImportSettings,
    Prefixes,
    prepare,
    write_tables,
)
from mmsr.data.exporters.export import export
from mmsr.data.exporters.recbole import HISTORY
from mmsr.data.held_out import open_test

LIBRARIES = ("recbole", "rectools")


def expected(dataset: Dataset) -> dict[str, Any]:
    """What a library is to find in an export with test."""
    test = open_test(dataset, who="benchmarks/exports.py", why="the examples that others find")
    parts = {"train": dataset.train(), "valid": dataset.valid(), "test": test}
    return {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "parts": {part: described(dataset, examples) for part, examples in parts.items()},
        "vectors": {modality: vectors_of(dataset, modality) for modality in dataset.modalities},
    }


def described(dataset: Dataset, examples: Prefixes) -> dict[str, Any]:
    """Number and hash of the examples of a part."""
    users, items = dataset.user_ids[:], dataset.item_ids[:]
    histories, targets = examples.batch(np.arange(len(examples)), HISTORY)
    digest = hashlib.sha256()
    for user, history, target in zip(examples.users, histories, targets, strict=True):
        seen = [items[item] for item in history if item >= 0]
        digest.update(json.dumps([users[user], seen, items[target]]).encode())
    return {"targets": len(examples), "sha256": digest.hexdigest()}


def vectors_of(dataset: Dataset, modality: str) -> str:
    """Hash of the vectors of all items by id, zeros where an item has none."""
    table = dataset.features(modality)
    whole = np.zeros((dataset.n_items, table.vectors.shape[1]), dtype=np.float32)
    whole[table.items] = table.vectors
    return hashlib.sha256(whole.tobytes()).hexdigest()


def read(library: str, python: Path, folder: Path, dataset: Dataset) -> dict[str, Any]:
    """What a library finds in an export."""
    given = {
        "folder": str(folder),
        "name": dataset.name,
        "vectors": list(dataset.modalities),
        "history": HISTORY,
    }
    done = subprocess.run(
        [python, "-E", "-W", "ignore", OTHERS / f"read_{library}.py", json.dumps(given)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def differences(ours: object, theirs: object) -> int:
    """How many values of two trees differ; what is in one of them alone counts, too."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return sum(differences(ours.get(key), theirs.get(key)) for key in ours.keys() | theirs)
    return int(ours != theirs)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    add_environments(result)
    return result


def main() -> None:
    given = parser().parse_args()
    pythons = {library: environment(library, given.environments.resolve()) for library in LIBRARIES}
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {}
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        os.environ["MMSR_HOME"] = f"{made}/home"
        tables = Path(made) / "tables"
        tables.mkdir()
        shop = DemoShop(users=150, items=200) if given.quick else DemoShop()
        sources = write_tables(shop, tables)
        for protocol in PROTOCOLS:
            settings = ImportSettings(protocol=protocol, core=2)
            dataset = prepare(protocol, sources, settings).dataset
            ours = expected(dataset)
            details[protocol] = {"ours": ours}
            for library in LIBRARIES:
                folder = Path(made) / f"{protocol}-{library}"
                export(dataset, library, str(folder), with_test=True)
                theirs = read(library, pythons[library], folder, dataset)
                wanted = {"version": VERSIONS[library], **ours}
                if library == "rectools":  # its data sets have no place for vectors of some items
                    del wanted["vectors"]
                figures[f"differences_{library}_{protocol}"] = differences(wanted, theirs)
                details[protocol][library] = theirs
    bars = {name: common.at_most(0, value) for name, value in figures.items()}
    common.write("exports", figures, bars, given.json, machine, found=details)


if __name__ == "__main__":
    main()
