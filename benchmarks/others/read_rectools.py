"""Read an export in RecTools' own environment, and print as JSON what RecTools makes of it."""

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset


def main() -> None:
    given = json.loads(sys.argv[1])
    table = pd.read_parquet(Path(given["folder"]) / "interactions.parquet")
    dataset = Dataset.construct(table.drop(columns="split"))
    rows = dataset.get_raw_interactions()
    rows["split"] = table["split"]
    rows = rows.sort_values([Columns.User, Columns.Datetime], kind="stable")
    digests = {part: hashlib.sha256() for part in ("train", "valid", "test")}
    targets = dict.fromkeys(digests, 0)
    for user, history in rows.groupby(Columns.User, sort=False):
        items, splits = history[Columns.Item].tolist(), history["split"].tolist()
        for place in range(1, len(items)):
            seen = items[max(place - given["history"], 0) : place]
            digests[splits[place]].update(json.dumps([user, seen, items[place]]).encode())
            targets[splits[place]] += 1
    found = {
        "version": version("RecTools"),
        "users": dataset.user_id_map.size,
        "items": dataset.item_id_map.size,
        "parts": {
            part: {"targets": targets[part], "sha256": digests[part].hexdigest()}
            for part in digests
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
