"""Amazon's releases: exact tables from hostile files, or one line that names file and line."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmsr.data.importers.features import UNUSED
from mmsr.errors import UserError

from .raw import MILLISECOND, SECOND, WIDTH, dropped, lines, packed, parse, record, review, rows
from .raw import written as write

A, B, C = "B000000001", "B000000002", "B000000003"
IMAGES = record(A.encode()) + record(B.encode(), -1.5)
LONG = "very long " * 1000


def files_2014(folder: Path, **changed: bytes) -> dict[str, Path]:
    """Files of 2014 of which some are given: `reviews` and `metadata` unpacked, or `…_gz`."""
    contents = {
        "reviews": lines(review("U1", A), review("U2", B, SECOND + 1)),
        "metadata": lines({"asin": A, "title": "one"}, {"asin": B, "title": "two"}),
        "images": IMAGES,
    } | changed
    named = {
        "reviews.json.gz": changed.get("reviews_gz", packed(contents["reviews"])),
        "metadata.json.gz": changed.get("metadata_gz", packed(contents["metadata"])),
        "images.b": contents["images"],
    }
    return write(folder, named)


def test_reviews_are_counted_by_rule_and_keep_their_order(tmp_path: Path) -> None:
    content = lines(
        review("U1", A, SECOND + 9, reviewText="<b>bad</b> \ud83d text", summary=LONG),
        "",
        review("U2", B),
        review("U2", B),
        review(None, A),
        review("U3", " "),
        {"reviewerID": "U3", "asin": A},
        review("ü😀", B, float(SECOND)),
        end="\r\n",
    )
    tables = parse("amazon2014", files_2014(tmp_path, reviews=b"\xef\xbb\xbf" + content), tmp_path)
    assert rows(tables.interactions) == [
        ("U1", A, SECOND + 9),
        ("U2", B, SECOND),
        ("U2", B, SECOND),  # the import leaves it out
        ("ü😀", B, SECOND),
    ]
    assert tables.interactions.count.read == 7
    assert dropped(tables.interactions) == {"without user, item or time": 3}


def test_metadata_of_2014_in_python_and_in_json(tmp_path: Path) -> None:
    python = (
        f"{{'asin': '{A}', 'title': 'Fun &amp; <b>games</b>', 'description': 'a<br>b &eacute; 5 < 6"
        " 😀', 'price': 1.5, 'related': {'also_bought': ['x', 'y']}, 'salesRank': {},"
        " 'categories': [['Beauty', 'Hair &amp; Skin'], ['Beauty', 'Tools']], 'brand': '',"
        " 'imUrl': 'http://example.org/51L%2BzYCQ.jpg'}"
    )
    strict = json.dumps(
        {"asin": B, "title": LONG, "description": "it's \\/ 😀", "brand": "A\nB", "new": None}
    )
    content = lines(
        python,
        {"asin": A, "title": "a second line of the same item"},
        {"title": "no id"},
        {"asin": C, "title": {"of": "an item that nobody bought"}},
        f"{{'asin': '{C}', 'title': 'and left out unread",
        strict,
    )
    tables = parse("amazon2014", files_2014(tmp_path, metadata=content), tmp_path)
    picture, categories = (
        "http://example.org/51L%2BzYCQ.jpg",
        "Beauty > Hair & Skin; Beauty > Tools",
    )
    assert rows(tables.items) == [
        (A, "Fun & games", "a b é 5 < 6 😀", None, categories, picture),
        (B, LONG.strip(), "it's \\/ 😀", "A B", None, None),
    ]
    assert dropped(tables.items) == {"repeated": 1, "without an id": 1, UNUSED: 2}


def test_literals_are_read_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    call = f"{{'asin': '{A}', 'title': open({str(trap)!r}, 'w')}}"
    with pytest.raises(UserError, match=r"metadata.json.gz: line 1 is no object"):
        parse("amazon2014", files_2014(tmp_path, metadata=lines(call)), tmp_path)
    assert not trap.exists()


def test_image_records_of_items_that_occur(tmp_path: Path) -> None:
    images = b"".join(
        [
            record(C.encode()),
            record(A.encode(), 0.25),
            record(A.encode(), 7.0),
            record(B.encode(), float("nan")),
        ]
    )
    tables = parse("amazon2014", files_2014(tmp_path, images=images), tmp_path)
    assert rows(tables.features["image"]) == [(A, [0.25, 2.0] + [0.0] * (WIDTH - 2))]
    assert dropped(tables.features["image"]) == {
        UNUSED: 1,
        "repeated": 1,
        "with numbers that are not finite": 1,
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": IMAGES[:-7]}, r"images.b: record 2 is cut: it has 16,387 of 16,394 bytes"),
        ({"images": record(A.encode()) + b"B00000002" + IMAGES[10:]}, r"images.b: record 2 begins"),
        ({"images": b""}, r"images.b: none of its 0 vectors is of an item with interactions"),
        ({"images": record(C.encode())}, r"none of its 1 vectors"),
        ({"images": record(b"B00000000\xff")}, r"record 1 begins with b'B00000000\\xff'"),
        ({"reviews": b""}, r"reviews.json.gz: it is empty"),
        ({"reviews": b"\xef\xbb\xbf\r\n\r\n"}, r"it is empty"),
        ({"reviews_gz": b""}, r"reviews.json.gz: it is empty"),
        ({"reviews_gz": b"{}"}, r"reviews.json.gz: line 1 cannot be unpacked"),
        (
            {"reviews": lines(review(), "{") + b"x"},
            r"reviews.json.gz: line 2 is no object \('\{'\)",
        ),
        ({"reviews": lines(review(), "", [1])}, r"line 3 is no object"),
        ({"reviews": lines("[" * 100_000)}, r"line 1 is no object"),
        ({"reviews": lines('{"a": ' + "9" * 5000 + "}")}, r"line 1 is no object"),
        ({"reviews": lines(review(), "{'asin': 'python'}")}, r"line 2 is no object"),
        ({"reviews": b'{"a": "\xff"}\n'}, r"line 1 is not UTF-8"),
        ({"reviews": lines(review(7))}, r"line 1 has the user 7, which is no id"),
        ({"reviews": lines(review("\ud83d"))}, r"line 1 has the user '\\ud83d'"),
        ({"reviews": lines(review(item=["x"]))}, r"line 1 has the item \['x'\]"),
        ({"reviews": lines(review(item="a\tb"))}, r"line 1 has the item"),
        ({"reviews": lines(review(time="soon"))}, r"line 1 has the time 'soon'"),
        ({"reviews": lines(review(time=True))}, r"line 1 has the time True"),
        ({"reviews": lines(review(time=SECOND + 0.5))}, r"no Unix time in seconds"),
        ({"reviews": lines(review(time=MILLISECOND))}, r"no Unix time in seconds"),
        ({"reviews": lines(review(time=10**400))}, r"no Unix time in seconds"),
        ({"reviews": lines(review(time=float("nan")))}, r"has the time nan"),
        ({"reviews": lines({"asin": A})}, r"none of its 1 rows has user, item and time"),
        ({"metadata": lines({"asin": A, "title": {}})}, r"metadata.json.gz: line 1 has something"),
        ({"metadata": lines({"asin": A, "brand": True})}, r"line 1 has something else"),
        ({"metadata": lines({"asin": C, "title": "x"})}, r"none of its 1 items has interactions"),
        ({"metadata": lines("{'asin': " + "-" * 9000 + "1}")}, r"metadata.json.gz: line 1 is no"),
        ({"metadata": lines("{'asin': [" * 500)}, r"line 1 is no object"),
        ({"metadata": lines("{[]: 1}")}, r"line 1 is no object"),
        ({"metadata": lines("{'a': '\0'}")}, r"line 1 is no object"),
        ({"metadata": lines("{'asin': '" + A)}, r"line 1 is no object"),
        *(
            (
                {"metadata": lines({"asin": A}, {"asin": C, key: []})},
                rf"metadata.json.gz: line 2 has '{key}': it is of the release of 2018",
            )
            for key in ("category", "imageURL", "imageURLHighRes")
        ),
    ],
)
def test_what_no_published_file_holds(changed: dict[str, bytes], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as refused:
        parse("amazon2014", files_2014(tmp_path, **changed), tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_a_full_disk_names_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [f"B{n:09}" for n in range(300)]  # more than a batch
    content = lines(*[review("U1", item, SECOND) for item in items])
    files = files_2014(
        tmp_path,
        reviews=content,
        metadata=lines({"asin": items[0]}),
        images=b"".join(record(item.encode()) for item in items),
    )
    write_batch = pyarrow.parquet.ParquetWriter.write_batch

    def full(writer: Any, batch: pa.RecordBatch) -> None:
        if "vector" in batch.schema.names:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_batch(writer, batch)

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_batch", full)
    with pytest.raises(UserError, match=r"cannot write .*image.parquet: No space left"):
        parse("amazon2014", files, tmp_path)


@pytest.mark.parametrize("role", ["reviews", "metadata", "images"])
def test_damage_and_folders(role: str, tmp_path: Path) -> None:
    content = lines(*[review(f"U{n}", [A, B][n % 2], SECOND + n * n) for n in range(500)])
    files = files_2014(tmp_path, reviews=content)
    whole = files[role].read_bytes()
    if role != "images":
        files[role].write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match=r"json.gz: line \d+ cannot be unpacked .*ended before"):
            parse("amazon2014", files, tmp_path)
        files[role].write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
        with pytest.raises(UserError, match=r"json.gz: line \d+ cannot be unpacked .*CRC"):
            parse("amazon2014", files, tmp_path)
    files[role].unlink()
    files[role].mkdir()
    with pytest.raises(UserError, match=r"is a folder: it must be the published file"):
        parse("amazon2014", files, tmp_path)


def test_lines_are_not_read_without_end(tmp_path: Path) -> None:
    endless = packed(b'{"a": "' + b" " * (1 << 24) + b'"}')
    with pytest.raises(UserError, match=r"line 1 is longer than 16.8 MB"):
        parse("amazon2014", files_2014(tmp_path, reviews_gz=endless), tmp_path)


def test_2018(tmp_path: Path) -> None:
    script = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"
    files = write(
        tmp_path,
        {
            "reviews.json.gz": packed(
                lines(
                    review("U1", A, vote="2", style={"Size:": " S"}), review("U2", B, image=["u"])
                )
            ),
            "metadata.json.gz": packed(
                lines(
                    {
                        "asin": A,
                        "title": "A &amp; B",
                        "description": [],
                        "category": ["X", "Y &amp; Z"],
                    }
                    | {"imageURL": ["http://a/small.jpg"], "imageURLHighRes": []}
                    | {"brand": "Acme", "also_buy": [B], "details": {"a": "b"}, "rank": ["1"]},
                    {"asin": A, "title": "again"},
                    {"asin": B, "title": script, "description": ["one", "", "<p>two</p>"]}
                    | {"imageURL": ["s"], "imageURLHighRes": ["http://b/1.jpg", "http://b/2.jpg"]},
                )
            ),
        },
    )
    tables = parse("amazon2018", files, tmp_path)
    assert rows(tables.interactions) == [("U1", A, SECOND), ("U2", B, SECOND)]
    assert rows(tables.items) == [
        (A, "A & B", None, "Acme", "X > Y & Z", "http://a/small.jpg"),
        (B, None, "one two", None, None, "http://b/1.jpg"),
    ]
    assert dropped(tables.items) == {"repeated": 1}
    assert not tables.features


def test_metadata_of_2014_are_none_of_2018(tmp_path: Path) -> None:
    files = files_2014(tmp_path, metadata=lines({"asin": A, "imUrl": "http://a/1.jpg"}))
    with pytest.raises(UserError, match=r"line 1 has 'imUrl': it is of the release of 2014"):
        parse("amazon2018", files, tmp_path)


PICTURES = [
    ([{"hi_res": None, "large": "L", "thumb": "T"}, {"hi_res": "H2", "large": "L2"}], "L"),
    ([{"hi_res": "H", "large": "L"}], "H"),
    ({"hi_res": [None, "H2"], "large": ["L", "L2"]}, "H2"),
    ([{"thumb": "T"}], "T"),
    ([], None),
    (None, None),
    (["?", 3], None),
]


@pytest.mark.parametrize(("images", "picture"), PICTURES)
@pytest.mark.parametrize("role", ["reviews", "ratings"])
def test_2023(images: Any, picture: str | None, role: str, tmp_path: Path) -> None:
    review = {"user_id": "U1", "parent_asin": A, "asin": "variant", "timestamp": MILLISECOND}
    item = {"parent_asin": A, "title": "one", "store": "Acme", "categories": ["X", "Y"]}
    item |= {"description": ["d1", "d2"], "features": ["f &lt; 1"], "images": images}
    ratings = b"user_id,parent_asin,rating,timestamp\nU1,%s,5.0,%d\n" % (A.encode(), MILLISECOND)
    interactions = {
        "reviews": {"reviews.jsonl.gz": packed(lines(review))},
        "ratings": {"ratings.csv.gz": packed(ratings)},
    }
    metadata = {"metadata.jsonl.gz": packed(lines(item))}
    tables = parse("amazon2023", write(tmp_path, interactions[role] | metadata), tmp_path)
    assert rows(tables.interactions) == [("U1", A, MILLISECOND)]
    assert rows(tables.items) == [(A, "one", "d1 d2 f < 1", "Acme", "X > Y", picture)]


def test_ratings_of_2023_that_are_none(tmp_path: Path) -> None:
    metadata = packed(lines({"parent_asin": A, "title": "one"}))
    for content, said in (
        ("user_id,asin,rating,timestamp\n", r"line 1 names no column 'parent_asin'"),
        (
            f"user_id,parent_asin,rating,timestamp\nU,{A},5\n",
            r"line 2 has 3 fields, and the header 4",
        ),
        (f'user_id,parent_asin,rating,timestamp\n"U,{A},5,1\n', r"line 2 is no comma-separated"),
        (f"user_id,parent_asin,rating,timestamp\nU,{A},5,{SECOND}\n", r"no Unix time in milli"),
    ):
        contents = {"ratings.csv.gz": packed(content.encode()), "metadata.jsonl.gz": metadata}
        with pytest.raises(UserError, match=said):
            parse("amazon2023", write(tmp_path, contents), tmp_path)
