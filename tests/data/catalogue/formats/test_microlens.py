"""MicroLens: exact tables from pairs and titles, or one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsr.data.catalogue.formats.tables import Tables
from mmsr.data.importers.features import UNUSED
from mmsr.errors import UserError

from .raw import MILLISECOND, dropped, parse, rows, written

PAIRS = f"user,item,timestamp\n3,11,{MILLISECOND + 5}\n3,12,{MILLISECOND}\n4,13,{MILLISECOND}\n"


def read(folder: Path, ratings: str | bytes = PAIRS, texts: str | bytes = "11,one\n") -> Tables:
    contents = {"ratings.csv": ratings, "texts.csv": texts}
    encoded = {
        name: text.encode() if isinstance(text, str) else text for name, text in contents.items()
    }
    return parse("microlens", written(folder, encoded), folder)


@pytest.mark.parametrize("header", ["", "item,title\r\n"])
def test_pairs_and_titles(header: str, tmp_path: Path) -> None:
    titles = (
        "\ufeff"
        + header
        + '11,a, b and c\r\n12,"quoted, ""so"" 😀"\r\n13,"half" quoted\r\n99,x\r\n11,y\r\n'
    )
    tables = read(tmp_path, texts=titles)
    assert rows(tables.interactions) == [
        ("3", "11", MILLISECOND + 5),
        ("3", "12", MILLISECOND),
        ("4", "13", MILLISECOND),
    ]
    assert rows(tables.items) == [
        ("11", "a, b and c"),
        ("12", 'quoted, "so" 😀'),
        ("13", '"half" quoted'),
    ]
    assert dropped(tables.items) == {UNUSED: 1, "repeated": 1}
    assert tables.items is not None
    assert tables.items.count.read == 5


def test_titles_over_several_lines(tmp_path: Path) -> None:
    titles = '11,"one\ntwo ""so"",\n\nthree"\n12,"lone quote\n13,x\n'
    tables = read(tmp_path, texts=titles)
    assert rows(tables.items) == [
        ("11", 'one two "so", three'),
        ("12", '"lone quote'),  # the next line begins with an item: the quote is a character
        ("13", "x"),
    ]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"ratings": ""}, r"ratings.csv: it is empty"),
        ({"ratings": "user,item,timestamp\n"}, r"none of its 0 rows"),
        ({"ratings": "user,item\n1,2\n"}, r"line 1 names no column 'timestamp'"),
        ({"ratings": PAIRS + "5,6\n"}, r"line 5 has 2 fields, and the header 3"),
        ({"ratings": PAIRS + "5,6,1400000000\n"}, r"line 5 has the time '1400000000'"),
        ({"ratings": PAIRS + "5,6,1e12\n"}, r"line 5 has the time '1e12'"),
        ({"ratings": PAIRS + f"5,6,{'1' * 5000}\n"}, r"line 5 has the time"),
        ({"texts": ""}, r"texts.csv: it is empty"),
        ({"texts": "item,title\n"}, r"none of its 0 items has interactions"),
        ({"texts": "11,one\nno comma\n"}, r"line 2 does not begin with an item and a comma"),
        ({"texts": '11,"one"\ntwo\n'}, r"line 2 does not begin with an item and a comma"),
        ({"texts": "item,title\nitem,title\n"}, r"line 2 does not begin with an item"),
        ({"texts": "11,one\nx,two\n"}, r"line 2 does not begin with an item"),
        ({"texts": b"11,\xff\n"}, r"line 1 is not UTF-8"),
    ],
)
def test_what_no_release_holds(contents: dict[str, str | bytes], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, **contents)
