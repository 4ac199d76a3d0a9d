"""What a cluster reads and sorts is what this machine would, errors included."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mmsr.cli import app
from mmsr.data import ImportSettings, Sources, prepare
from mmsr.data.importers.foreign.arrays import Arrays
from mmsr.data.importers.foreign.given import table_of
from mmsr.errors import UserError
from mmsr.study.workers.cluster import ray_cluster
from mmsr.study.workers.distributed import distributed


class InProcess:
    """What is used of Ray Data's data sets, on blocks in this process."""

    def __init__(self, blocks: list[pa.Table]) -> None:
        self.blocks = blocks

    def map_batches(self, function: Any, **_: Any) -> InProcess:
        with chdir("/"):  # a node works in another folder
            found = [function(block) for block in self.blocks]
            return InProcess([b for r in found for b in (r if inspect.isgenerator(r) else [r])])

    def materialize(self) -> InProcess:
        return self

    def select_columns(self, names: list[str]) -> InProcess:
        return InProcess([block.select(names) for block in self.blocks])

    def sort(self, names: list[str]) -> InProcess:
        keys = [(name, "ascending") for name in names]
        return InProcess([pa.concat_tables(self.blocks).sort_by(keys)])

    def iter_batches(self, **_: Any) -> Iterator[pa.Table]:
        return iter(self.blocks)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Data works in this process."""
    ray = pytest.importorskip("ray")

    def from_items(items: list[dict[str, Any]], override_num_blocks: int) -> InProcess:
        assert override_num_blocks == len(items)
        return InProcess([pa.Table.from_pylist([item]) for item in items])

    monkeypatch.setattr("ray.data.from_items", from_items)
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)


def written(folder: Path, ending: str, n: int = 900) -> str:
    """Interactions in three files; gives a pattern for them. Many are at the same moment."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in rng.integers(40, size=n)],
            "item_id": rng.integers(25, size=n),
            "timestamp": rng.integers(1_000, 1_090, size=n),
        }
    )
    for number, places in enumerate(np.array_split(np.arange(n), 3)):
        part, path = frame.iloc[places], folder / f"part-{number}.{ending}"
        if ending == "parquet":
            part.to_parquet(path)
        elif ending == "jsonl":
            part.to_json(path, orient="records", lines=True)
        else:
            part.to_csv(path, index=False)
    return str(folder / f"*.{ending}")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("protocol", ["ratio", "temporal"])
def test_the_same_data_set(
    ending: str, protocol: str, in_process: None, home: Path, tmp_path: Path
) -> None:
    table = table_of(written(tmp_path, ending))
    settings = ImportSettings(protocol=protocol)
    here = prepare("here", Sources(table), settings)
    there = prepare("there", Sources(distributed(table)), settings)
    assert there.dataset.content_hash == here.dataset.content_hash
    assert there.rows == here.rows
    assert there.dataset.manifest.counts == here.dataset.manifest.counts
    assert not prepare("here", Sources(distributed(table)), settings).fresh
    assert not (home / "imports").exists()


def test_one_file(in_process: None, home: Path, tmp_path: Path) -> None:
    written(tmp_path, "csv", 2_700)
    path = tmp_path / "part-0.csv"
    here, there = (
        prepare(name, Sources(table)).dataset
        for name, table in (("here", path), ("there", distributed(path)))
    )
    assert there.content_hash == here.content_hash
    assert not prepare("here", Sources(distributed(path))).fresh


def test_relative_paths(
    in_process: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "csv", 2_700)
    (tmp_path / "rows" / "year=2020").mkdir(parents=True)
    (tmp_path / "part-0.csv").rename(tmp_path / "rows" / "year=2020" / "part-0.csv")
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(["part-1.csv", "*.csv", "rows"]):
        made = prepare(f"d{number}", Sources(distributed(table_of(text))))
        assert made.fresh
        assert made.rows[0].file == text


def test_a_file_that_a_node_cannot_see(
    in_process: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = InProcess.map_batches

    def elsewhere(data: InProcess, function: Any, **options: Any) -> InProcess:
        (tmp_path / "part-1.csv").unlink(missing_ok=True)
        return run(data, function, **options)

    monkeypatch.setattr(InProcess, "map_batches", elsewhere)
    said = r"the node \S+ cannot see \S+part-1\.csv: all nodes must see the files under the same"
    with pytest.raises(UserError, match=said):
        prepare("d", Sources(distributed(table_of(written(tmp_path, "csv")))))


def broken(error: Exception, name: str, time: int) -> Any:
    """Reads all columns but one, in which it fails after the first block of that time."""
    read, times = InProcess.iter_batches, []

    def iter_batches(data: InProcess, **options: Any) -> Iterator[pa.Table]:
        times.extend([name] * (data.blocks[0].column_names == [name]))
        for block in read(data, **options):
            yield block
            if block.column_names == [name] and len(times) == time:
                raise error

    return iter_batches


@pytest.mark.parametrize(
    ("name", "time"),
    [("timestamp", 1), ("user_id", 1), ("user_id", 2), ("item_id", 2)],  # by DuckDB the second time
)
@pytest.mark.parametrize("reason", ["a node died", "no progress"])
def test_a_node_that_dies(
    name: str,
    time: int,
    reason: str,
    in_process: None,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import RaySystemError

    kind = ExecutionTimeoutError if reason == "no progress" else RaySystemError
    monkeypatch.setattr(InProcess, "iter_batches", broken(kind(reason), name, time))
    with pytest.raises(UserError, match=f"the cluster cannot read or sort it: .*{reason}"):
        prepare("d", Sources(distributed(table_of(written(tmp_path, "csv")))))


@pytest.mark.parametrize("what", ["order", "ids"])
def test_what_a_cluster_must_not_do(
    what: str, in_process: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = InProcess.iter_batches

    def iter_batches(data: InProcess, **options: Any) -> Iterator[pa.Table]:
        blocks = list(read(data, **options))
        names = blocks[0].column_names
        if what == "order" and "row" in names and "file" in names:
            blocks = blocks[::-1]
        if what == "ids" and "user" in names:
            blocks = [block.set_column(0, "user", pa.nulls(len(block))) for block in blocks]
        return iter(blocks)

    monkeypatch.setattr(InProcess, "iter_batches", iter_batches)
    with pytest.raises(RuntimeError, match="the cluster gave"):
        prepare("d", Sources(distributed(table_of(written(tmp_path, "csv")))))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",1044\n", ",\n", r"part-1\.csv: line \d+ has no timestamp: every row needs one"),
        (",1044\n", ",soon\n", r"part-1\.csv: line \d+ has timestamp 'soon'"),
        ("u7,", ",", r"part-1\.csv: line \d+ has no user_id"),
        ("u7,", "u\t7,", r"\*\.csv: the user_id 'u\\t7' has a line break"),
        (",1044\n", "\n", r"part-1\.csv is not readable as csv"),
        ("item_id", "items", r"has no column 'item_id'|has no column item_id"),
    ],
)
def test_the_same_errors(
    old: str, new: str, said: str, in_process: None, home: Path, tmp_path: Path
) -> None:
    pattern = written(tmp_path, "csv")
    path = tmp_path / "part-1.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    refused = []
    for use in (lambda table: table, distributed):
        with pytest.raises(UserError, match=said) as caught:
            prepare("d", Sources(use(table_of(pattern))))
        refused.append(str(caught.value))
    assert refused[0] == refused[1]


def test_nothing_to_sort(in_process: None, home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\n")
    with pytest.raises(UserError, match=r"a\.csv is empty"):
        prepare("d", Sources(distributed(tmp_path / "a.csv")))


def test_what_is_read_on_this_machine_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.npz: a cluster reads CSV, TSV, JSONL and Parquet"):
        distributed(Arrays(tmp_path / "a.npz"))


def test_the_command(
    in_process: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[str] = []

    @contextmanager
    def join(address: str) -> Iterator[None]:
        joined.append(address)
        yield
        joined.append("left")

    monkeypatch.setattr("mmsr.study.workers.cluster.ray_cluster", join)
    monkeypatch.setattr("mmsr.study.workers.addresses.check_address", joined.append)
    monkeypatch.setattr("mmsr.study.workers.cluster.is_free", lambda _: False)
    words = ["data", "import", "d", "--interactions", written(tmp_path, "csv"), "--address"]
    done = CliRunner().invoke(app.app, [*words, "10.0.0.7:6379"])
    assert done.exit_code == 0, done.output
    assert joined == ["10.0.0.7:6379", "10.0.0.7:6379", "left"]
    assert "*.csv: 900 rows read" in done.output
    assert "no node of the cluster has a free CPU" in done.output


@pytest.mark.parametrize(
    ("interactions", "address", "said"),
    [
        ("rows.csv", "127.0.0.1:1", "nothing answers there"),
        ("rows.csv", "nowhere", "give auto, HOST:PORT or ray://HOST:PORT"),
        ("s3://bucket/rows.csv", "auto", "the interactions are in an object store"),
        ("rows.inter", "auto", "a cluster reads CSV, TSV, JSONL and Parquet"),
    ],
)
def test_the_command_refuses(
    interactions: str, address: str, said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data", "import", "d", "--interactions", interactions, "--address", address]
    done = CliRunner().invoke(app.app, words)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)


@pytest.mark.slow
def test_on_two_nodes(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", os.getcwd()))
    table = table_of(written(tmp_path, "csv"))
    here = prepare("here", Sources(table))
    memory = {"num_cpus": 1, "object_store_memory": 80_000_000}
    nodes = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **memory})
    try:
        nodes.add_node(**memory)
        with ray_cluster(nodes.address):
            there = prepare("there", Sources(distributed(table)))
            bad = tmp_path / "part-1.csv"
            bad.write_text(bad.read_text() + "u1,7\n")
            with pytest.raises(UserError, match=r"part-1\.csv is not readable as csv .*; line 302"):
                prepare("bad", Sources(distributed(table)))
    finally:
        nodes.shutdown()
    assert there.dataset.content_hash == here.dataset.content_hash
    assert there.rows == here.rows


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "s3://bucket/rows"], "the interactions are in an object store"),
        (["--interactions", "rows.csv", "--items", "s3://bucket/items.csv"], "HOST:PORT"),
    ],
)
def test_nothing_is_fetched_before_the_cluster_is_checked(
    words: list[str], said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsr.data.importers.foreign.given.fetch", None)
    words = ["data", "import", "d", *words, "--address", "nowhere"]
    done = CliRunner().invoke(app.app, words)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
