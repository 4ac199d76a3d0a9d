"""How an import's time and memory grow with the number of interactions.

Interactions are generated: users have ten on average, items have a hundred and a popularity of
Zipf's law, and the rows are in no order. The import removes repeated rows, takes the 5-core, sorts
by time, splits by `ratio`, hashes and writes. Beside it, plain pandas and plain DuckDB remove
repeated rows, take the 5-core and split, and write the result as Parquet; both know nothing of bad
input. All must keep the same interactions.

Each import runs in a process of its own. Its memory is the most that the process holds, mapped
files included. The exponent is the slope of log time on log size: 1 is linear.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

sys.path.insert(0, str(Path(__file__).parent))

import common

SEED = 2023
SIZES = (1_000_000, 10_000_000, 100_000_000)
QUICK_SIZES = (30_000, 100_000, 300_000)
SMALLEST = 2_000
PER_USER, PER_ITEM = 10, 100
CORE, SHARE = 5, 0.2
LIMIT_GB, LIMIT_EXPONENT = 4.0, 1.1
PANDAS_BYTES = 400
"""Memory that pandas takes for an interaction; it is left out where there is less."""
CHUNK = 1_000_000


@dataclass(frozen=True)
class Kept:
    """What an import keeps."""

    users: int
    items: int
    interactions: int
    valid: int
    test: int


@dataclass(frozen=True)
class Cost:
    """What an import costs."""

    seconds: float
    peak_gb: float
    kept: Kept


def generate(path: Path, n: int) -> None:
    """Write a table of `n` interactions as Parquet."""
    rng = np.random.default_rng(SEED)
    schema = pa.schema(
        [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())]
    )
    n_users, n_items = n // PER_USER, n // PER_ITEM
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            ranks = np.minimum(n_items ** rng.random(size), n_items).astype(np.int64) - 1
            columns = [
                _named("U", rng.integers(n_users, size=size)),
                _named("I", (ranks * 7_919) % n_items),
                pa.array(rng.integers(1_300_000_000, 1_700_000_000, size=size)),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def _named(letter: str, numbers: np.ndarray) -> pa.Array:
    texts = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 12, "0")
    return pc.binary_join_element_wise(letter, texts, "")


def by_mmsr(path: Path, folder: Path) -> Kept:
    """Import the table as a user would."""
    os.environ["MMSR_HOME"] = str(folder)
    from mmsr.data import ImportSettings, Sources, prepare

    made = prepare("generated", Sources(path), ImportSettings(core=CORE)).dataset.manifest
    lengths = np.array(list(made.history_lengths))
    users = np.array(list(made.history_lengths.values()))
    n_test = (SHARE * lengths).astype(int)
    n_valid = (SHARE * (lengths - n_test)).astype(int)
    counts = made.counts
    return Kept(
        counts.users,
        counts.items,
        counts.interactions,
        int((users * n_valid).sum()),
        int((users * n_test).sum()),
    )


def by_pandas(path: Path, folder: Path) -> Kept:
    """The same, all in memory."""
    import pandas as pd

    kept = pd.read_parquet(path).drop_duplicates()
    while True:
        counts = [kept[name].map(kept[name].value_counts()) for name in ("user_id", "item_id")]
        enough = (counts[0] >= CORE) & (counts[1] >= CORE)
        if enough.all():
            break
        kept = kept[enough]
    kept = kept.sort_values(["user_id", "timestamp"], kind="stable")
    by_user = kept.groupby("user_id")
    length, from_last = by_user["item_id"].transform("size"), by_user.cumcount(ascending=False)
    n_test = (SHARE * length).astype(int)
    n_valid = (SHARE * (length - n_test)).astype(int)
    kept["part"] = np.select(
        [from_last < n_test, from_last < n_test + n_valid], ["test", "valid"], "train"
    )
    kept.to_parquet(folder / "kept.parquet")
    parts = kept["part"].value_counts()
    return Kept(
        kept["user_id"].nunique(),
        kept["item_id"].nunique(),
        len(kept),
        int(parts.get("valid", 0)),
        int(parts.get("test", 0)),
    )


def by_duckdb(path: Path, folder: Path) -> Kept:
    """The same in SQL, with DuckDB's own limits."""
    import duckdb

    with duckdb.connect(str(folder / "kept.duckdb")) as database:
        database.execute("SET enable_progress_bar = false")
        database.execute(
            f"CREATE TABLE kept AS SELECT DISTINCT user_id, item_id, timestamp FROM '{path}'"
        )
        removed = 1
        while removed:
            before = _one(database, "SELECT count(*) FROM kept")
            for name in ("user_id", "item_id"):
                database.execute(
                    f"DELETE FROM kept WHERE {name} IN (SELECT {name} FROM kept "
                    f"GROUP BY {name} HAVING count(*) < {CORE})"
                )
            removed = before - _one(database, "SELECT count(*) FROM kept")
        split = f"""
            SELECT *, CASE WHEN from_last <= n_test THEN 'test'
                WHEN from_last <= n_test + floor({SHARE} * (length - n_test)) THEN 'valid'
                ELSE 'train' END AS part
            FROM (SELECT *, floor({SHARE} * length) AS n_test FROM (
                SELECT *, count(*) OVER (PARTITION BY user_id) AS length,
                    row_number() OVER (PARTITION BY user_id ORDER BY timestamp DESC) AS from_last
                FROM kept))
            ORDER BY user_id, timestamp"""
        target = folder / "kept.parquet"
        database.execute(f"COPY ({split}) TO '{target}' (FORMAT parquet)")
        users, items, *parts = (
            _one(database, query)
            for query in (
                "SELECT count(DISTINCT user_id) FROM kept",
                "SELECT count(DISTINCT item_id) FROM kept",
                "SELECT count(*) FROM kept",
                f"SELECT count(*) FROM '{target}' WHERE part = 'valid'",
                f"SELECT count(*) FROM '{target}' WHERE part = 'test'",
            )
        )
        return Kept(users, items, parts[0], parts[1], parts[2])


WAYS: dict[str, Callable[[Path, Path], Kept]] = {
    "mmsr": by_mmsr,
    "pandas": by_pandas,
    "duckdb": by_duckdb,
}


def _one(database: object, query: str) -> int:
    return int(database.sql(query).fetchall()[0][0])  # type: ignore[attr-defined]  # duckdb's own


def measure(way: str, path: Path) -> Cost:
    """Cost of one import; to be called in a fresh process."""
    with TemporaryDirectory(dir=path.parent) as folder:  # loads what is loaded at the first use
        small = Path(folder) / "small.parquet"
        generate(small, SMALLEST)
        WAYS[way](small, Path(folder))
    with TemporaryDirectory(dir=path.parent) as folder:
        start = time.perf_counter()
        kept = WAYS[way](path, Path(folder))
        return Cost(time.perf_counter() - start, common.peak_rss_gb(), kept)


def fits(way: str, n: int) -> bool:
    """Whether a way has enough memory for `n` interactions."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return way != "pandas" or n * PANDAS_BYTES < free


def costs_of(n: int) -> dict[str, Cost]:
    """Cost of each way that fits, on the same `n` interactions."""
    context = multiprocessing.get_context("spawn")
    costs: dict[str, Cost] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "interactions.parquet"
        with context.Pool(1) as pool:
            pool.apply(generate, (path, n))
        for way in (way for way in WAYS if fits(way, n)):
            with context.Pool(1) as pool:
                costs[way] = pool.apply(measure, (way, path))
            print(
                f"{way} {n:,}: {costs[way].seconds:.1f} s, {costs[way].peak_gb:.2f} GB", flush=True
            )
    if len({cost.kept for cost in costs.values()}) > 1:
        raise SystemExit(f"they keep different interactions: {costs}")
    return costs


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser(__doc__.splitlines()[0])


def main() -> None:
    arguments = parser().parse_args()
    sizes = QUICK_SIZES if arguments.quick else SIZES
    costs = {n: costs_of(n) for n in sizes}
    seconds = [costs[n]["mmsr"].seconds for n in sizes]
    figures = {
        "peak_rss_gb": costs[sizes[-1]]["mmsr"].peak_gb,
        "interactions_per_second": sizes[-1] / seconds[-1],
        "growth_exponent": float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]),
    }
    for n in sizes:
        for way, cost in costs[n].items():
            figures |= {f"seconds_{way}_{n}": cost.seconds, f"peak_rss_gb_{way}_{n}": cost.peak_gb}
    bars = {
        "peak_rss_gb": common.at_most(LIMIT_GB, figures["peak_rss_gb"]),
        "growth_exponent": common.at_most(LIMIT_EXPONENT, figures["growth_exponent"]),
    }
    machine = common.machine(seconds=0.5 if arguments.quick else 2.0)
    common.write("prepare", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()
