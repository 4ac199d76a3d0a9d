"""Whatever a file holds, an import makes data of it or says in one line why not."""

from __future__ import annotations

import gzip
import io
import json
import string
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.cli.views.data import description, overview
from mmsr.console import Console
from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.importers.bounded.scratch import Limits, Scratch
from mmsr.data.importers.features import read_features
from mmsr.data.importers.interactions import read_interactions
from mmsr.data.importers.items import read_metadata
from mmsr.data.importers.readers.tables import read_table
from mmsr.errors import UserError

FUZZ = settings(settings.get_profile("mmsr-fuzz"), max_examples=150)
FORMATS = ("csv", "tsv", "jsonl", "csv.gz", "jsonl.gz", "parquet")
KNOWN = pa.array([f"i{item}" for item in range(4)], pa.large_string())
COLUMNS = {
    "interactions": ("user_id", "item_id", "timestamp"),
    "interactions in parts": ("user_id", "item_id", "timestamp"),
    "items": ("item_id", "title", "categories"),
    "features": ("item_id", "vector"),
}


def read_in_parts(path: Path) -> object:
    """Read interactions as if none fitted in memory."""
    limits = Limits(block_bytes=64, batch_rows=5, memory_bytes=0, duckdb_memory="64MB")
    with TemporaryDirectory() as space:
        scratch = Scratch(Path(space), limits)
        return read_interactions(path, 1, {}, moments=True, scratch=scratch)


READERS: dict[str, Callable[[Path], object]] = {
    "interactions": lambda path: read_interactions(path, 1, {}, moments=True),
    "interactions in parts": read_in_parts,
    "items": lambda path: read_metadata(path, KNOWN, ImportSettings()),
    "features": lambda path: read_features(path, "image", KNOWN, {}),
}
TOKENS = (
    *('"', '""', ",", "\t", "\n", "\r", "\r\n", "\0", "\ufeff", "'", "[", "]", "{", "}", ":", " "),
    *("null", "true", "nan", "inf", "-0", "1e308", "1e400", "0x10", "1_0", "9" * 25, "1.5", "0,27"),
    *("2014-07-23", "2014-07-23T10:00:00.123456789+02:00", "now", "07/08/2014", "9999-12-31"),
    *(
        "user_id",
        "item_id",
        "timestamp",
        "vector",
        "i1",
        "\u00e9",
        "e\u0301",
        "\U0001f600",
        "\\ud800",
    ),
    *(str(2**53), str(2**63), str(2**64), "1.0", "001", "[" * 600, '{"a":' * 600),
)
"""Pieces of text that some reader takes for more than text."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def holds(use: Callable[[], object]) -> None:
    """Check that something works, or says in one line why it cannot."""
    said = "nothing"
    try:
        use()
    except UserError as error:
        said = str(error)
    assert len(said.splitlines()) == 1, repr(said)


def read(folder: Path, role: str, ending: str, content: bytes) -> None:
    path = folder / f"t.{ending}"
    path.write_bytes(content)
    holds(lambda: READERS[role](path))


def valid(role: str, ending: str) -> bytes:
    """A table that can be imported, in a format."""
    rows = {
        "user_id": [f"u{row // 4}" for row in range(12)],
        "item_id": [f"i{row % 4}" for row in range(12)],
        "timestamp": [1_400_000_000 + 7 * row for row in range(12)],
        "title": ["red", 'a "big" one', '5" nail', ""] * 3,
        "categories": ["a", "b > c", None, "d"] * 3,
        "vector": [[row % 4 + 0.5, -1.5] for row in range(12)],
    }
    return in_format(ending, {name: rows[name] for name in COLUMNS[role]})


def in_format(ending: str, columns: dict[str, list[Any]]) -> bytes:
    rows = list(zip(*columns.values(), strict=True))
    if ending == "parquet":
        file = io.BytesIO()
        pa.parquet.write_table(pa.table(columns), file)
        return file.getvalue()
    if "jsonl" in ending:
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
    else:
        quote, comma = ("", "\t") if "tsv" in ending else ('"', ",")
        double = quote * 2 or '"'
        cells = [[str(cell).replace('"', double) for cell in row] for row in (columns, *rows)]
        lines = [comma.join(f"{quote}{cell}{quote}" for cell in row) for row in cells]
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return gzip.compress(text, 1, mtime=0) if ending.endswith("gz") else text


VALID = {(role, ending): valid(role, ending) for role in READERS for ending in FORMATS}


@pytest.mark.parametrize(("role", "ending"), VALID)
def test_the_tables_that_are_changed_are_valid(role: str, ending: str, folder: Path) -> None:
    path = folder / f"t.{ending}"
    path.write_bytes(VALID[role, ending])
    READERS[role](path)


pieces = st.sampled_from(TOKENS).map(lambda token: token.encode("utf-8", "surrogatepass"))
content = st.binary(max_size=60) | st.lists(pieces, max_size=12).map(b"".join)
changes = st.lists(
    st.tuples(
        st.integers(0, 1000),
        st.integers(0, 30),
        pieces | st.binary(max_size=4) | st.just(b""),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
"""Places by thousandths, bytes that are taken away, what comes there, and whether they move."""


def changed(data: bytes, how: list[tuple[int, int, bytes, bool]]) -> bytes:
    for thousandths, length, piece, moves in how:
        place = len(data) * thousandths // 1000
        taken = data[place : place + length]
        data = data[:place] + piece + (taken if moves else b"") + data[place + length :]
    return data


@pytest.mark.parametrize("ending", FORMATS)
@given(role=st.sampled_from(sorted(READERS)), content=content)
@FUZZ
def test_bytes_of_any_kind(ending: str, role: str, content: bytes, folder: Path) -> None:
    header = ("," if "csv" in ending else "\t").join(COLUMNS[role]).encode()
    for data in (content, header + b"\n" + content):
        whole = gzip.compress(data, 1, mtime=0) if ending.endswith("gz") else data
        read(folder, role, ending, whole)


@pytest.mark.parametrize("ending", FORMATS)
@given(role=st.sampled_from(sorted(READERS)), how=changes, inside=st.booleans())
@FUZZ
def test_valid_files_with_changes(
    ending: str, role: str, how: list[tuple[int, int, bytes, bool]], inside: bool, folder: Path
) -> None:
    data = VALID[role, ending]
    if inside and ending.endswith("gz"):
        data = gzip.compress(changed(gzip.decompress(data), how), 1, mtime=0)
    else:
        data = changed(data, how)
    read(folder, role, ending, data)


def same_column(pair: tuple[tuple[int, int, str], int]) -> list[tuple[int, int, str]]:
    """Two quotes that open and close a field over several rows."""
    (row, column, _), other = pair
    return [(min(row, other), column, "start"), (max(row, other), column, "end")]


places = st.tuples(st.integers(0, 7), st.integers(0, 3), st.sampled_from(["start", "end"]))


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
@given(
    cells=st.lists(
        st.lists(st.sampled_from(["a", "24", "b c", "", '5"', "x, y"]), min_size=4, max_size=4),
        min_size=7,
        max_size=7,
    ),
    quotes=st.lists(places, max_size=2) | st.tuples(places, st.integers(0, 7)).map(same_column),
)
@FUZZ
def test_lone_quotes_swallow_no_rows(
    ending: str, cells: list[list[str]], quotes: list[tuple[int, int, str]], folder: Path
) -> None:
    comma = "," if "csv" in ending else "\t"
    names = ["user_id", "size", "colour", "timestamp"]
    rows = [names, *([f"u{n}", *row[1:]] for n, row in enumerate(cells))]
    lines = [
        [cell if comma == "\t" or ", " not in cell else f'"{cell}"' for cell in row] for row in rows
    ]
    for row, column, side in quotes:
        cell = lines[row][column]
        lines[row][column] = f'"{cell}' if side == "start" else f'{cell}"'
    text = "\n".join(map(comma.join, lines)).encode()
    path = folder / f"quotes.{ending}"
    path.write_bytes(gzip.compress(text, 1, mtime=0) if ending.endswith("gz") else text)
    try:
        table = read_table(path, names)
    except UserError:
        return
    for name, column in zip(names, zip(*rows[1:], strict=True), strict=True):
        found = [cell.replace('"', "") for cell in table.column(name).to_pylist()]
        assert found == [cell.replace('"', "") for cell in column]


texts = st.sampled_from(TOKENS) | st.text(max_size=6) | st.text(string.digits + ".,-", max_size=8)
numbers = (
    st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from([0, 2**53, 1_400_000_000])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize("ending", [ending for ending in FORMATS if ending != "parquet"])
@given(role=st.sampled_from(sorted(READERS)), data=st.data())
@FUZZ
def test_cells_of_any_kind(ending: str, role: str, data: st.DataObject, folder: Path) -> None:
    cells = data.draw(st.sampled_from([texts, numbers, values]))
    n_rows = data.draw(st.integers(1, 3))
    columns = {
        name: data.draw(st.lists(cells, min_size=n_rows, max_size=n_rows)) for name in COLUMNS[role]
    }
    if not role.startswith("interactions"):
        columns["item_id"] = KNOWN[:n_rows].to_pylist()
    read(folder, role, ending, in_format(ending, columns))


UNIT = st.sampled_from(["s", "ms", "us", "ns"])
PLAIN = st.one_of(
    st.sampled_from(
        [
            *(pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64()),
            *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary(2)),
            *(pa.bool_(), pa.null(), pa.date32(), pa.date64(), pa.time64("us"), pa.uuid()),
            *(pa.decimal128(38, 0), pa.decimal128(20, 5), pa.decimal128(9, -2)),
        ]
    ),
    UNIT.map(pa.timestamp),
    UNIT.map(lambda unit: pa.timestamp(unit, "Europe/Berlin")),
)
TYPES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        *(inner.map(kind) for kind in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)),
        inner.map(lambda kind: pa.list_(kind, 2)),
        inner.map(lambda kind: pa.struct([("a", kind)])),
        st.sampled_from([pa.dictionary(pa.int8(), pa.string())]),
    ),
    max_leaves=3,
)


@given(role=st.sampled_from(sorted(READERS)), data=st.data())
@FUZZ
def test_parquet_of_any_type(role: str, data: st.DataObject, folder: Path) -> None:
    n_rows = data.draw(st.integers(0, 3))
    columns = {}
    for name in COLUMNS[role]:
        column = data.draw(st.lists(values, min_size=n_rows, max_size=n_rows))
        try:
            columns[name] = pa.array(column, data.draw(TYPES), from_pandas=data.draw(st.booleans()))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns[name] = KNOWN[:n_rows]
    if not role.startswith("interactions") and data.draw(st.booleans()):
        columns["item_id"] = KNOWN[:n_rows]
    file = io.BytesIO()
    try:
        pa.parquet.write_table(pa.table(columns), file)
    except (pa.ArrowException, OSError):  # pyarrow cannot write it
        return
    read(folder, role, "parquet", file.getvalue())


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    """A data set with two modalities and metadata, whose manifest is changed."""
    sources = Sources(
        *(
            folder / f"{role}.{ending}"
            for role, ending in (("interactions", "csv"), ("items", "csv"))
        ),
        {"image": folder / "features.jsonl"},
    )
    for role, path in sources.by_role().items():
        ending = path.suffix[1:]
        path.write_bytes(VALID[role.partition("/")[0], ending])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        return prepare("shop", sources, ImportSettings(protocol="leave-one-out", core=1)).dataset


def use(dataset: Dataset, text: bytes) -> None:
    """Write a manifest, and do with the data set what commands do."""
    (dataset.path / "manifest.json").write_bytes(text)

    def everything() -> None:
        again = Dataset(dataset.path)
        manifest = again.manifest
        console = Console(file=io.StringIO(), width=80)
        console.print(description("shop", manifest, [], None), overview({"shop": manifest}))
        manifest.provenance.command("shop").encode()
        for name in again.modalities:
            again.features(name)
        len(again.item_ids), len(again.user_ids)
        assert again.item_table.num_rows == again.n_items

    holds(everything)


@given(how=changes)
@FUZZ
def test_manifests_with_other_bytes(how, dataset: Dataset) -> None:
    use(dataset, changed(manifest_of(dataset), how))


@given(data=st.data())
@FUZZ
def test_manifests_with_other_values(data: st.DataObject, dataset: Dataset) -> None:
    tree = json.loads(manifest_of(dataset))
    for _ in range(data.draw(st.integers(1, 3))):
        part = tree
        while True:
            keys = sorted(part) if isinstance(part, dict) else range(len(part))
            key = data.draw(st.sampled_from(list(keys)))
            inner = part[key]
            if not (isinstance(inner, dict | list) and inner and data.draw(st.booleans())):
                break
            part = inner
        what = data.draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if what == "replace" or not isinstance(part, dict):
            part[key] = data.draw(values)
        elif what == "remove" and len(part) > 1:
            del part[key]
        else:
            part[data.draw(texts)] = data.draw(values)
    use(dataset, json.dumps(tree).encode("utf-8", "surrogatepass"))


def manifest_of(dataset: Dataset) -> bytes:
    """The manifest as it was made."""
    return dataset.manifest.model_dump_json().encode()
