"""MovieLens archives: exact tables, or one line that names the archive, its file and the line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from mmsr.data.catalogue.formats.tables import Tables
from mmsr.data.importers.features import UNUSED
from mmsr.errors import UserError

from .raw import SECOND, dropped, parse, rows, zipped

RATINGS = f"userId,movieId,rating,timestamp\r\n1,10,4.0,{SECOND}\r\n1,20,0.5,{SECOND}\r\n"
MOVIES = (
    "movieId,title,genres\r\n"
    '10,"American President, The (1995) ""😀""",Comedy|Drama\r\n'
    "20,Other  (2000),(no genres listed)\r\n"
    "30,Unseen (1990),Drama\r\n"
)


def read(folder: Path, **members: bytes | str) -> Tables:
    contents = {
        f"ml/{name.replace('_', '.')}": text.encode() if isinstance(text, str) else text
        for name, text in members.items()
    }
    archive = zipped(folder / "ml.zip", {"ml/README.txt": b"?", **contents})
    return parse("movielens", {"ratings": archive}, folder)


def test_csv(tmp_path: Path) -> None:
    tables = read(
        tmp_path, ratings_csv="\ufeff" + RATINGS + f",20,1.0,{SECOND}\n", movies_csv=MOVIES
    )
    assert rows(tables.interactions) == [("1", "10", SECOND), ("1", "20", SECOND)]
    assert dropped(tables.interactions) == {"without user, item or time": 1}
    assert rows(tables.items) == [
        ("10", 'American President, The (1995) "😀"', "Comedy, Drama"),
        ("20", "Other (2000)", None),
    ]
    assert dropped(tables.items) == {UNUSED: 1}
    assert [table.count.file for table in tables.all()] == ["ratings.csv", "movies.csv"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_dat(encoding: str, tmp_path: Path) -> None:
    movies = "1::Misérables, Les (1995)::Drama|Musical\n2::b::Comedy\n".encode(encoding)
    tables = read(tmp_path, ratings_dat=f"7::1::5::{SECOND}\n", movies_dat=movies)
    assert rows(tables.interactions) == [("7", "1", SECOND)]
    assert rows(tables.items) == [("1", "Misérables, Les (1995)", "Drama, Musical")]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"ratings_csv": RATINGS}, r"ml.zip: it holds no movies.csv or movies.dat"),
        ({"movies_csv": MOVIES}, r"ml.zip: it holds no ratings.csv or ratings.dat"),
        ({"ratings_csv": "", "movies_csv": MOVIES}, r"ml.zip \(ml/ratings.csv\): it is empty"),
        ({"ratings_csv": RATINGS, "movies_csv": "movieId\n10\n"}, r"names no column 'title'"),
        ({"ratings_csv": RATINGS + "1,2\n", "movies_csv": MOVIES}, r"line 4 has 2 fields"),
        ({"ratings_csv": RATINGS + "1,2,3,x\n", "movies_csv": MOVIES}, r"line 4 has the time 'x'"),
        ({"ratings_csv": RATINGS, "movies_csv": MOVIES + '20,"a\n'}, r"movies.csv\): line 5 is no"),
        (
            {"ratings_dat": "1::2::3\n", "movies_dat": ""},
            r"line 1 has 3 fields between '::', not 4",
        ),
        ({"ratings_csv": RATINGS, "movies_csv": b"movieId,title,genres\n10,\xff,\n"}, "not UTF-8"),
    ],
)
def test_what_no_release_holds(members: dict[str, bytes | str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, **members)


def test_archives_that_are_none_or_damaged(tmp_path: Path) -> None:
    ratings = RATINGS + "".join(f"{n},10,4.0,{SECOND + n * n}\r\n" for n in range(999))
    read(tmp_path, ratings_csv=ratings, movies_csv=MOVIES)
    path = tmp_path / "ml.zip"
    whole = path.read_bytes()
    for content, said in (
        (b"", "it is no zip archive"),
        (whole[: len(whole) // 2], "it is no zip archive"),
        (whole[:200] + bytes(40) + whole[240:], r"ratings.csv\): line \d+ cannot be unpacked"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            parse("movielens", {"ratings": path}, tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="is a folder"):
        parse("movielens", {"ratings": path}, tmp_path)


def test_an_archive_with_a_password(tmp_path: Path) -> None:
    read(tmp_path, ratings_csv=RATINGS, movies_csv=MOVIES)
    path = tmp_path / "ml.zip"
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    assert zipfile.ZipFile(path).infolist()[0].flag_bits & 1
    with pytest.raises(UserError, match=r"line 1 cannot be unpacked \(.*password"):
        parse("movielens", {"ratings": path}, tmp_path)
