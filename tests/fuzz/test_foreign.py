"""Whatever another library's file or a table in memory holds, an import works or says why not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data import ImportSettings, import_tables, prepare
from mmsr.data.importers.foreign.given import Given, opened
from mmsr.data.progress import Silent
from mmsr.errors import UserError

FUZZ = settings(settings.get_profile("mmsr-fuzz"), max_examples=60)
CHOSEN = ImportSettings(core=1, protocol="leave-one-out", text=False)
ROWS = b"user_id,item_id,timestamp\n" + b"".join(
    b"u%d,i%d,%d\n" % (row // 4, row % 4, 7 * row) for row in range(12)
)
VECTORS = np.arange(8, dtype=np.float32).reshape(4, 2)
TOKENS = (
    *(
        '"',
        ",",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "\ufeff",
        " ",
        ":",
        ":token",
        ":float_seq",
        "[",
        "]",
    ),
    *("null", "nan", "1e400", "0x10", "9" * 25, "1.5", "user_id", "userID", "item_id:token", "i1"),
    *("e\u0301", "\U0001f600", "\x1b[2J", "\u2028", "001", "{", "}", "descr", "'|O'", "(", "-1"),
)


def saved(save: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


FILES: dict[str, bytes] = {
    "m.inter": ROWS.replace(b",", b"\t").replace(
        b"user_id\titem_id\ttimestamp", b"user_id:token\titem_id:token\ttimestamp:float"
    ),
    "m.item": b"item_id:token\tname:token_seq\timage_emb:float_seq\n"
    + b"".join(b"i%d\ta b\t%d 0.5\n" % (item, item) for item in range(4)),
    "mm.inter": ROWS.replace(b",", b"\t").replace(b"user_id\titem_id", b"userID\titemID"),
    "s.txt": b"".join(b"u%d i0 i1 i2 i3\n" % user for user in range(3)),
    "v.npy": saved(np.save, VECTORS),
    "v.npz": saved(np.savez, ids=[f"i{item}" for item in range(4)], vectors=VECTORS),
    "ids.txt": b"i0\ni1\ni2\ni3\n",
    "p-1.csv": ROWS,
}
USES = {
    "m.inter": Given(origin="m.inter"),
    "m.item": Given(origin="m.inter"),
    "mm.inter": Given(origin="mm.inter"),
    "s.txt": Given(origin="s.txt"),
    "v.npy": Given("p-1.csv", features={"image": "v.npy,ids.txt"}),
    "v.npz": Given("p-1.csv", features={"image": "v.npz"}),
    "ids.txt": Given("p-1.csv", features={"image": "v.npy,ids.txt"}),
    "p-1.csv": Given("p-*.csv"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "p-2.csv").write_bytes(ROWS.replace(b"u", b"w").replace(b"wser", b"user"))
    return folder


def holds(use: Callable[[], object]) -> None:
    """Check that something works, or says in one line why it cannot."""
    said = "nothing"
    try:
        use()
    except UserError as error:
        said = str(error)
    assert len(said.splitlines()) == 1, repr(said)
    assert "imports/" not in said, "not by the name of a file that is gone"


def load(folder: Path, changed: str, data: bytes) -> None:
    """Import with one file changed, and check what is left on disk."""
    for name, content in FILES.items():
        (folder / name).write_bytes(data if name == changed else content)

    def use() -> None:
        with opened(USES[changed], Silent()) as (sources, columns, reporter):
            chosen = CHOSEN.model_copy(update={"columns": columns})
            rows = prepare("d", sources, chosen, overwrite=True, reporter=reporter).rows
            assert all(count.read == count.kept + sum(count.dropped.values()) for count in rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        patch.chdir(folder)
        holds(use)
    assert not (folder / "home" / "imports").exists()


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_changed_are_valid(name: str, folder: Path) -> None:
    for file, content in FILES.items():
        (folder / file).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "valid"))
        patch.chdir(folder)
        if name != "mm.inter":  # its items have the ids of the vectors' rows elsewhere
            with opened(USES[name], Silent()) as (sources, columns, _):
                chosen = CHOSEN.model_copy(update={"columns": columns})
                assert prepare(name, sources, chosen).fresh


pieces = st.sampled_from(TOKENS).map(lambda token: token.encode("utf-8", "surrogatepass"))
content = st.binary(max_size=60) | st.lists(pieces, max_size=12).map(b"".join)
changes = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 30), pieces | st.binary(max_size=4)),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", FILES)
@given(content=content)
@FUZZ
def test_bytes_of_any_kind(name: str, content: bytes, folder: Path) -> None:
    load(folder, name, content)
    load(folder, name, FILES[name] + content)


@pytest.mark.parametrize("name", FILES)
@given(how=changes)
@FUZZ
def test_valid_files_with_changes(
    name: str, how: list[tuple[int, int, bytes]], folder: Path
) -> None:
    data = FILES[name]
    for thousandths, length, piece in how:
        place = len(data) * thousandths // 1000
        data = data[:place] + piece + data[place + length :]
    load(folder, name, data)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(TOKENS)
    | st.binary(max_size=3)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
columns = st.lists(values, min_size=2, max_size=2)


@given(
    names=st.lists(
        st.sampled_from(["user_id", "item_id", "timestamp", "title", "vector", "other"]),
        unique=True,
    ),
    data=st.data(),
)
@FUZZ
def test_tables_in_memory_of_any_kind(names: list[str], data: st.DataObject, folder: Path) -> None:
    table: Any = {name: data.draw(columns) for name in names}
    kind = data.draw(st.sampled_from(["mapping", "arrow", "other"]))
    if kind == "arrow":
        try:
            table = pa.table(table)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            kind = "mapping"
    elif kind == "other":
        table = data.draw(values)
    good = {"user_id": list("aabb"), "item_id": list("xyxy"), "timestamp": [1, 2, 3, 4]}
    pair = (data.draw(columns), data.draw(st.lists(columns, max_size=3) | values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        for given_ in (
            {"interactions": table},
            {"interactions": good, "items": table},
            {"interactions": good, "features": {"image": table}},
            {"interactions": good, "features": {"image": pair}},
        ):
            holds(lambda given_=given_: import_tables("m", **given_, core=1, overwrite=True))
