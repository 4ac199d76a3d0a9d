"""Text from outside is shown as it is, and showing it cannot fail."""

from __future__ import annotations

import ast
import errno
import io
import os
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import mmsr
from mmsr.console import Console, deliver, tolerant_output

TEXTS = [
    "[/dev/shm/x] is full",
    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory",
    "[red]no style[/red] and :x: no picture",
    "[/]",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_no_markup(text):
    told = io.StringIO()
    console = Console(file=told, width=200)
    console.print(text)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(table)
    assert told.getvalue().count(text) == 4


def test_a_status_is_no_markup():
    console = Console(file=io.StringIO(), width=200)
    with console.status("[/dev/shm/x]", spinner="line") as status:
        status.update("[/a] again")
        assert str(status.renderable.text) == "[/a] again"


def test_escape_sequences_do_not_reach_the_terminal():
    told = io.StringIO()
    Console(file=told, width=200).print("a\x1b[2Jb\nc\rd")
    assert told.getvalue() == "a\\x1b[2Jb\nc\\rd\n"


def test_nor_do_those_of_a_text_with_a_style():
    told = io.StringIO()
    console = Console(file=told, width=200)
    console.print(Text("a\x1b]0;b", style="bold"), Text("c\u202e"))
    table = Table(title=Text("d\x1b[2J"))
    table.add_column("column")
    table.add_row(Text("e\x9b2J\nf"))
    console.print(table)
    assert "a\\x1b]0;b c\\u202e" in told.getvalue()
    assert "d\\x1b[2J" in told.getvalue()
    assert "e\\x9b" in told.getvalue()
    assert {"\x1b", "\x9b", "\u202e"}.isdisjoint(told.getvalue())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(encoding, monkeypatch):
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding=encoding))
    tolerant_output()
    table = Table("★ naïve", title="↓ 💥 \udc80")
    table.add_row("10 … 20")
    Console(width=60).print(table)
    sys.stdout.flush()
    text = told.getvalue().decode(encoding)
    assert ("★" if encoding == "utf-8" else "?") in text
    assert "10 " in text


def test_a_reader_that_goes_away_ends_nothing(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        tolerant_output()
        Console().print("one")
        os.close(reader)
        for _ in range(3):
            Console().print("two")
            print("three" * 100_000)
        sys.stdout.flush()


class Ascii(io.StringIO):
    """A stream of another kind, which refuses what its encoding lacks."""

    def write(self, text):
        return super().write(text.encode("ascii").decode())


class Broken(io.StringIO):
    """A stream without a file of the system, which cannot be written."""

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_stream_of_another_kind_replaces_too(monkeypatch):
    told = Ascii()
    monkeypatch.setattr(sys, "stdout", told)
    tolerant_output()
    print("↓ naïve")
    assert told.getvalue() == "? na?ve\n"


def full_disk():
    return Path("/dev/full").open("w")


def closed_terminal():
    ours, theirs = os.openpty()
    os.close(ours)
    return os.fdopen(theirs, "w")


UNWRITABLE = [full_disk, closed_terminal, Broken]


@pytest.mark.parametrize("unwritable", UNWRITABLE, ids=["full", "closed", "broken"])
def test_what_cannot_be_written_ends_nothing(unwritable, monkeypatch):
    with unwritable() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        tolerant_output()
        for _ in range(3):
            Console().print("one")
            print("two" * 100_000, flush=True)


@pytest.mark.parametrize("unwritable", UNWRITABLE, ids=["full", "closed", "broken"])
def test_a_result_that_cannot_be_written_is_a_failure(unwritable, monkeypatch):
    with unwritable() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        tolerant_output()
        with pytest.raises(OSError, match=r"No space left|Input/output error"):
            deliver("seed: 1\n")


def test_a_reader_may_stop_reading_a_result(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        tolerant_output()
        deliver("seed: 1\n")


def test_no_output_at_all_is_no_failure(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    tolerant_output()
    Console().print("one")
    Console(stderr=True).print("two")
    sys.stderr.write("three")
    sys.stdout.close()
    sys.stderr.close()


@pytest.mark.parametrize("columns", ["0", "1", "7", "wide", "-3"])
def test_a_terminal_of_no_width_will_do(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    told = io.StringIO()
    table = Table("key", "value")
    table.add_row("[/a]", "b" * 100)
    Console(file=told).print(table, "text")
    assert told.getvalue()


def rich_consoles_made_in(source: str) -> set[str]:
    """What a source imports from Rich that shows text as markup."""
    found = set()
    tree = ast.parse(source)
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
            names = {alias.name for alias in node.names}
            found |= names & {"Status", "markup", "escape", "print"}
            found |= names & {"Console"} & calls
        elif isinstance(node, ast.Attribute) and node.attr == "from_markup":
            found.add(node.attr)
    return found


def test_every_console_is_one_of_ours():
    files = sorted(Path(mmsr.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for file in files:
        if file.name != "console.py":
            assert rich_consoles_made_in(file.read_text()) == set(), file
    assert rich_consoles_made_in("from rich.console import Console\nConsole()") == {"Console"}
    assert rich_consoles_made_in("from rich.markup import escape") == {"escape"}
