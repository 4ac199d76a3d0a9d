"""Every record of a file is a row: quotes swallow none, or the file is refused."""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.importers.interactions import read_interactions
from mmsr.data.importers.readers import delimited
from mmsr.data.importers.readers.delimited import Scan, scan
from mmsr.data.importers.readers.rows import RowCount, line_of
from mmsr.data.importers.readers.tables import read_table
from mmsr.errors import UserError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_a_lone_quote_in_tsv_swallows_nothing(zipped: str, tmp_path: Path) -> None:
    marks = ['"' if i % 9 == 0 else "" for i in range(320)]
    rows = [f"u{i // 8}\ti{i % 8}\t{i}\t{mark}nails" for i, mark in enumerate(marks)]
    text = "\n".join(["user_id\titem_id\ttimestamp\theadline", *rows])
    found = read_interactions(written(tmp_path, f"rows.tsv{zipped}", text), 1, {})
    assert len(found.histories.items) == 320
    assert str(found.count) == f"rows.tsv{zipped}: 320 rows read = 320 kept"


def test_quotes_in_tsv_are_characters(tmp_path: Path) -> None:
    path = written(tmp_path, "items.tsv", 'item_id\ttitle\n1\t"big" nail\n2\t"small"\n3\t"\n')
    table = read_table(path, ("item_id", "title"))
    assert table.column("title").to_pylist() == ['"big" nail', '"small"', '"']


def test_quoted_names_in_tsv_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.tsv", '"item_id"\t"title"\n"1"\t"x"\n')
    with pytest.raises(UserError, match=r'a column "item_id", with its quotes: TSV is read with'):
        read_table(path, ("item_id",))


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('item_id,title\n1,"nail\n2,bolt\n', 2, "is never closed"),
        ('item_id,title\n1,nail\n\n2,"', 4, "is never closed"),
        ('item_id,title\n1,"nail" 5\n2,bolt\n', 2, "goes on after its closing quote"),
        ('item_id,title\n1,bolt\n2,"nail, 5" long\n3,"nut"\n', 3, "goes on after its closing"),
        ('item_id,title\r\n1,"5""\r\n2,"6""\r\n', 2, "goes on after|is never closed"),
        ('item_id,title\n1,5" nail\n2,"6" nail"\n', 3, "goes on after its closing quote"),
        ('item_id,title\n1,"a\nb"\n2,"nail\n3,"bolt\n', 4, "goes on after its closing quote"),
    ],
)
def test_quotes_in_csv_that_do_not_fit_are_refused(
    text: str, line: int, problem: str, zipped: str, tmp_path: Path
) -> None:
    path = written(tmp_path, f"items.csv{zipped}", text)
    with pytest.raises(UserError, match=rf": line {line} has a quoted field that ({problem})"):
        read_table(path, ("item_id", "title"))


def test_quotes_in_csv_that_fit_are_read(tmp_path: Path) -> None:
    text = 'item_id,title\r\n1,"a ""big"" one"\r\n\r\n2,5" nail\r\n3,"two\r\nlines"\r\n4,""\r\n'
    table = read_table(written(tmp_path, "items.csv", text), ("item_id", "title"))
    assert table.column("title").to_pylist() == ['a "big" one', '5" nail', "two\r\nlines", ""]


def test_rows_between_two_lone_quotes_are_refused(tmp_path: Path) -> None:
    rows = ['u1,i1,1,"big', "u1,i2,2,", "u2,i1,3,nail", 'u2,i2,4,5"', "u3,i1,5,"]
    path = written(tmp_path, "rows.csv", "\n".join(["user_id,item_id,timestamp,size", *rows]))
    with pytest.raises(UserError, match="line 2 has a quoted field of several lines that look lik"):
        read_table(path, ("user_id", "item_id", "timestamp"))
    rows[1] = '"u9,a,b",i2,2,"a text\nof two lines, and more"'
    path = written(tmp_path, "rows.csv", "\n".join(["user_id,item_id,timestamp,size", rows[1]]))
    assert read_table(path, ("user_id",)).to_pydict() == {"user_id": ["u9,a,b"]}


@pytest.mark.parametrize("name", ["items.csv", "items.tsv", "items.csv.gz"])
def test_what_other_columns_hold_is_of_no_matter(name: str, tmp_path: Path) -> None:
    comma = b"," if "csv" in name else b"\t"
    rows = [[b"item_id", b"note"], [b"a", b"caf\xe9"], [b"b", b"\xff"], [b"c", b"tea"]]
    data = b"\n".join(map(comma.join, rows))
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_table(path, ("item_id",)).to_pydict() == {"item_id": ["a", "b", "c"]}
    assert line_of(path, 2) == 4
    for wrong in (data.replace(b"note", b"caf\xe9"), data.replace(b"c", b"\xe9")):
        path.write_bytes(gzip.compress(wrong) if name.endswith(".gz") else wrong)
        with pytest.raises(UserError, match="is not UTF-8 text: convert it"):
            read_table(path, ("item_id",))


def rows_of(columns: list[str], count: int) -> list[list[str]]:
    return [[f"{name}{row}" for name in columns] for row in range(count)]


def as_text(rows: list[list[str]]) -> str:
    return "\n".join(",".join(row) for row in rows)


COLUMNS = ["user_id", "size", "item_id", "timestamp"]


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("column", [1, 2, 3])
@pytest.mark.parametrize(
    ("opens", "closes"), [("big", '24"'), ("", '"'), ('5""', 'x""y"')], ids=["sizes", "bare", "two"]
)
def test_two_lone_quotes_in_one_column_swallow_no_rows(
    opens: str, closes: str, column: int, zipped: str, tmp_path: Path
) -> None:
    rows = [COLUMNS, *rows_of(COLUMNS, 360)]
    rows[100][column], rows[250][column] = f'"{opens}', closes
    path = written(tmp_path, f"rows.csv{zipped}", as_text(rows))
    with pytest.raises(UserError, match="line 101 has a quoted field of several lines that look l"):
        read_table(path, ("user_id",))


def test_a_text_of_several_lines_elsewhere_hides_no_lone_quotes(tmp_path: Path) -> None:
    rows = [COLUMNS, *rows_of(COLUMNS, 360)]
    rows[50][1] = '"Soft.\nWarm"'
    rows[100][1], rows[250][1] = '"big', '24"'
    path = written(tmp_path, "rows.csv", as_text(rows))
    with pytest.raises(UserError, match=r"line 102 .* look like rows: .* as JSONL or Parquet$"):
        read_table(path, ("user_id",))


def test_lone_quotes_beside_quoted_fields_and_blanks(tmp_path: Path) -> None:
    rows = [COLUMNS, *rows_of(COLUMNS, 9)]
    rows[2][0], rows[2][1], rows[5][1], rows[5][3] = '"a,b"', '"big', '24"', '"c,d"'
    rows[3][2] = " an id after a blank"
    path = written(tmp_path, "rows.csv", as_text(rows))
    with pytest.raises(UserError, match="line 3 has a quoted field of several lines that look lik"):
        read_table(path, ("user_id",))


@pytest.mark.parametrize("last", ['u5,5",",5"', 'u5,5","x, y"",5"'])
def test_lone_quotes_that_pair_with_others(last: str, tmp_path: Path) -> None:
    text = f'user_id,size,colour,timestamp\nu4,a,"a,24\n{last}\n'
    with pytest.raises(UserError, match="line 2 has a quoted field"):
        read_table(written(tmp_path, "rows.csv", text), ("user_id",))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("item_id,title", ["B1", "Soft towel.\nRed, blue"]),
        ("item_id,title,description", ["B1", "Towel", "Soft.\nRed, blue, green"]),
        ("item_id,vector", ["B1", "[0.1, 0.2,\n 0.3, 0.4]"]),
        ("item_id,title,price", ["B1", "Soft.\n\nRed, blue\nor green", "5"]),
    ],
)
def test_texts_of_several_lines_are_no_rows(header: str, row: list[str], tmp_path: Path) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    path = written(tmp_path, "items.csv", f"{header}\n{text.getvalue()}")
    table = read_table(path, header.split(","))
    assert [column[0].as_py() for column in table.columns] == row


words = st.text(st.sampled_from("ab'."), min_size=1, max_size=3)
prose = st.lists(st.tuples(words, st.sampled_from([" ", ", ", "\n", ".\n"])), max_size=6).map(
    lambda parts: "".join(word + mark for word, mark in parts).strip(", \n")
)


@given(st.data())
def test_prose_is_never_taken_for_rows(tmp_path_factory, data):
    width = data.draw(st.integers(2, 4))
    rows = data.draw(
        st.lists(st.lists(prose, min_size=width, max_size=width), min_size=1, max_size=4)
    )
    text = io.StringIO()
    names = list("abcd"[:width])
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    path = tmp_path_factory.getbasetemp() / "prose.csv"
    path.write_text(text.getvalue(), newline="")
    table = read_table(path, names)
    assert [list(row.values()) for row in table.to_pylist()] == rows


fields = st.text(st.sampled_from('ab," \n'), max_size=5)


@given(st.lists(st.lists(fields, min_size=2, max_size=2), min_size=1, max_size=8), st.data())
def test_rows_are_those_that_were_written(tmp_path_factory, rows, data):
    block = data.draw(st.sampled_from([1, 2, 3, 7, 1 << 24]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    text = io.StringIO()
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([["a", "b"], *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(text.getvalue(), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK", block)
        found = scan(path, ",", quotes=True)
    assert found.records == len(rows) + 1
    assert found == delimited._scan_any(path, ",")
    if any("\n" in cell for row in rows for cell in row):
        # Short texts of two columns may well look like rows.
        with suppress(UserError):
            table = read_table(path, ("a", "b"))
            assert table.to_pylist() == [dict(zip("ab", row, strict=True)) for row in rows]
        return
    table = read_table(path, ("a", "b"))
    assert table.column("a").to_pylist() == [row[0] for row in rows]
    assert table.column("b").to_pylist() == [row[1] for row in rows]


@given(st.text(st.sampled_from('a," \n\r'), max_size=14), st.sampled_from([1, 2, 5, 1 << 24]))
def test_the_quick_scan_is_the_slow_one(tmp_path_factory, text, block):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode())

    def outcome(scanner) -> Scan | str:
        try:
            return scanner()
        except UserError as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK", block)
        quick = outcome(lambda: scan(path, ",", quotes=True))
    assert quick == outcome(lambda: delimited._scan_any(path, ","))


def test_rows_that_do_not_add_up_are_an_error() -> None:
    assert str(RowCount("r.csv", 1000, {"repeated": 0, "outside the 5-core": 990}, 10)) == (
        "r.csv: 1,000 rows read = 990 outside the 5-core + 10 kept"
    )
    with pytest.raises(RuntimeError, match=r"rows were lost: r\.csv: 3 rows read = 1 repeated"):
        RowCount("r.csv", 3, {"repeated": 1}, 1)


def test_more_rows_than_can_be_read_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path, "items.csv", "item_id\n1\n2\n")
    monkeypatch.setattr(delimited, "scan", lambda *_, **__: Scan(5, 0))
    with pytest.raises(UserError, match="has 4 rows, but 2 can be read"):
        read_table(path, ("item_id",))
