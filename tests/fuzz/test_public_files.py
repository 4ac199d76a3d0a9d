"""Whatever a published file holds, it becomes tables that add up, or one line says why not."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.data.catalogue.formats.registry import FORMATS
from mmsr.data.progress import Silent

from .harness import BROKEN, plain, refused

FUZZ = settings(settings.get_profile("mmsr-fuzz"), max_examples=100)
S, MS = 1_400_000_000, 1_400_000_000_000
ITEMS = ("B000000001", "B000000002")


def json_lines(*rows: Any) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def archive(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in members.items():
            opened.writestr(f"ml/{name.replace('_', '.')}", text)
    return file.getvalue()


REVIEWS = json_lines(
    *({"reviewerID": f"U{n}", "asin": item, "unixReviewTime": S} for n, item in enumerate(ITEMS))
)
RATINGS_2023 = "user_id,parent_asin,rating,timestamp\n" + "".join(
    f"U{n},{item},5.0,{MS}\n" for n, item in enumerate(ITEMS)
)
FILES: dict[str, dict[str, bytes]] = {
    "amazon2014": {
        "reviews.json": REVIEWS,
        "metadata.json": "\n".join(
            f"{{'asin': '{item}', 'title': 'a &amp; <b>b</b>', 'categories': [['A', 'B']]}}"
            for item in ITEMS
        ).encode(),
        "images.b": b"".join(
            item.encode() + struct.pack("<4096f", n, *[0.5] * 4095) for n, item in enumerate(ITEMS)
        ),
    },
    "amazon2018": {
        "reviews.json.gz": gzip.compress(REVIEWS, 1, mtime=0),
        "metadata.json": json_lines(
            *({"asin": item, "title": "a", "description": ["b", "<p>c"]} for item in ITEMS)
        ),
    },
    "amazon2023": {
        "ratings.csv": RATINGS_2023.encode(),
        "metadata.jsonl": json_lines(
            *(
                {"parent_asin": item, "features": ["a"], "images": [{"large": "u"}]}
                for item in ITEMS
            )
        ),
    },
    "movielens": {
        "ratings.zip": archive(
            ratings_csv=f"userId,movieId,rating,timestamp\n1,2,3.5,{S}\n4,5,1.0,{S}\n",
            movies_csv='movieId,title,genres\n2,"A, B",X|Y\n5,C,(no genres listed)\n',
        )
    },
    "microlens": {
        "ratings.csv": f"user,item,timestamp\n1,2,{MS}\n4,5,{MS}\n".encode(),
        "texts.csv": b'item,title\n2,"A, B"\n5,C, D\n',
    },
}
PLACES = [(form, name) for form, files in FILES.items() for name in files]
PIECES = (
    *(text.encode("utf-8", "surrogatepass") for text in BROKEN),
    *(b"\xef\xbb\xbf", b"\r\n", b"\n\n", b",", b"::", b'"', b"'", b"\xff", b"{}", b"[]", b"null"),
    *(b"&lt;", b"<b>", b"<!--", b"NaN", b"\x7f\xc0\0\0", b"1e999", b"1400000000.5", b"\\ud800"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


def check(folder: Path, form: str, contents: dict[str, bytes]) -> str | None:
    """Parse files; what comes of it is as it must be. The error, where they are refused."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name.partition(".")[0]: folder / name for name in contents}

    def parse() -> None:
        tables = FORMATS[form](files, folder / "tables", Silent())
        for table in tables.all():
            made = pyarrow.parquet.read_table(table.path)
            made.validate(full=True)
            count = table.count  # it has checked that it adds up
            assert made.num_rows == count.kept > 0
        known = set(pyarrow.parquet.read_table(tables.interactions.path)["item_id"].to_pylist())
        for table in tables.all()[1:]:
            items = pyarrow.parquet.read_table(table.path)["item_id"].to_pylist()
            assert set(items) <= known
            assert len(set(items)) == len(items)

    error = refused(parse)
    assert error is None or any(str(path) in error for path in files.values())
    return error


@pytest.mark.parametrize("form", FILES)
def test_the_files_that_are_changed_are_valid(form: str, folder: Path) -> None:
    assert check(folder, form, FILES[form]) is None


@pytest.mark.parametrize(("form", "name"), PLACES)
@given(
    how=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES) | st.binary(max_size=4)
        ),
        min_size=1,
        max_size=3,
    ),
    inside=st.booleans(),
)
@FUZZ
def test_valid_files_with_changes(
    form: str, name: str, how: list[tuple[float, int, bytes]], inside: bool, folder: Path
) -> None:
    data = FILES[form][name]
    unpack = inside and name.endswith(".gz")
    data = gzip.decompress(data) if unpack else data
    for share, length, piece in how:
        place = int(len(data) * share)
        data = data[:place] + piece + data[place + length :]
    data = gzip.compress(data, 1, mtime=0) if unpack else data
    check(folder, form, FILES[form] | {name: data})


FIELDS = {
    "amazon2014": ("asin", "title", "description", "brand", "categories", "imUrl"),
    "amazon2018": ("asin", "title", "description", "category", "imageURLHighRes", "imageURL"),
    "amazon2023": ("parent_asin", "title", "features", "store", "categories", "images"),
}


@pytest.mark.parametrize("form", FIELDS)
@given(data=st.data())
@FUZZ
def test_metadata_of_any_kind(form: str, data: st.DataObject, folder: Path) -> None:
    lines = []
    for _ in range(data.draw(st.integers(1, 3))):
        row = {name: data.draw(plain) for name in FIELDS[form] if data.draw(st.booleans())}
        if data.draw(st.booleans()):
            row[FIELDS[form][0]] = data.draw(st.sampled_from(ITEMS))
        write: Callable[[Any], str] = json.dumps
        if form == "amazon2014" and data.draw(st.booleans()):
            write = repr
        try:
            lines.append(write(row).encode("utf-8", "surrogatepass"))
        except ValueError:  # a number that Python does not print
            lines.append(b"{}")
    name = next(name for name in FILES[form] if name.startswith("metadata"))
    check(folder, form, FILES[form] | {name: b"\n".join(lines)})


@pytest.mark.parametrize("form", ["amazon2014", "amazon2018"])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "reviewerID": st.sampled_from(["U1", " ", "U 2"]) | plain,
                "asin": st.sampled_from([*ITEMS, "x"]) | plain,
                "unixReviewTime": st.sampled_from([S, float(S), str(S), MS]) | plain,
            },
        ),
        min_size=1,
        max_size=4,
    )
)
@FUZZ
def test_reviews_of_any_kind(form: str, rows: list[dict[str, Any]], folder: Path) -> None:
    try:
        content = json_lines(*rows)
    except ValueError:  # a number that Python does not print
        return
    packed = gzip.compress(content, 1, mtime=0)
    name = next(name for name in FILES[form] if name.startswith("reviews"))
    changed = {name: packed if name.endswith(".gz") else content}
    check(folder, form, FILES[form] | changed)
