"""Error messages that a user can act on."""

from __future__ import annotations

import ast
import pickle
import time
from pathlib import Path

import pytest

import mmsr
from mmsr.errors import LONGEST, UserError, one_line, shown, unknown


def test_a_close_name_is_suggested():
    text = str(unknown("data set", "beuty", ["toys", "beauty"], hint="run `mmsr data demo`"))
    assert text == "unknown data set 'beuty': did you mean 'beauty'? known: beauty, toys"


def test_the_hint_helps_where_no_name_is_close():
    text = str(unknown("data set", "xyz", ["toys"], hint="run `mmsr data demo`"))
    assert text == "unknown data set 'xyz'; known: toys; run `mmsr data demo`"


def test_where_the_known_names_are():
    text = str(unknown("study", "frist", ["first"], hint="write one", where="/data"))
    assert text == "unknown study 'frist': did you mean 'first'? known: first in /data"
    text = str(unknown("study", "xyz", [], hint="write one", where="/data"))
    assert text == "unknown study 'xyz'; known: none in /data; write one"


def test_nothing_is_known():
    assert "known: none" in str(unknown("study", "xyz", []))


@pytest.mark.parametrize(
    "given",
    ["a" * 100_000, "a\nb", "a\r\n\r\nb", "\x1b[2J", "a\u2028b", "\ud800", "\u202egnp", "x\x00y"],
)
def test_an_error_is_one_line_whatever_was_given(given):
    line = str(UserError(f"--set {given}: write KEY=VALUE"))
    assert len(f"error: {line}") <= 300
    assert line.splitlines() == [line]
    assert line.isprintable()
    assert line.startswith("--set ")
    assert line.endswith(": write KEY=VALUE")


SECRET = "5ecr3tW0rd"
URLS = [
    f"postgresql+psycopg://u:{SECRET}@h/d",
    f"postgresql://u:{SECRET}{'x' * 500}@h/d",
    f"postgresql://{'u' * 30}:{SECRET}@{'h' * 500}/d",
    f"postgresql:/u:{SECRET}@h/d",
    f"postgresql://u:a {SECRET}@h/d",
    f"postgresql://u:{SECRET}@{SECRET}@h/d",
    f"postgresql://u:{SECRET}?x=y@h/d",
    f"postgresql://u@h/d?password={SECRET}",
    f"http://{SECRET}@h",
    f"https://u:{SECRET}@h:5000/",
    f"s3://b/x?secret_key={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_an_error_shows_no_secret(url):
    shows = (shown(url), shown([url]), shown({"a": f"storage={url}"}))
    errors = (unknown("study", url, ["first"]), UserError(f"--set {shown(url)}: no"))
    if " " not in url:
        errors += (UserError(f"no study {url!r}"), UserError(f"{'x' * 300} {url} {'y' * 300}"))
        assert SECRET not in one_line(f"[Errno 2] No such file: /here/{url}")
    for text in (*shows, *map(str, errors)):
        assert SECRET[:3] not in text


def test_examples_and_names_of_metrics_are_shown_whole():
    for text in ("give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE", "x: mrr@20, y: hr@20"):
        assert str(UserError(text)) == text
    assert shown({"objective": "valid/mrr@20"}) == "{'objective': 'valid/mrr@20'}"
    assert shown("postgresql://u@h/d") == "'postgresql://u@h/d'"


@pytest.mark.parametrize("text", ["x" + " " * 20_000 + "y", "\n \r" * 7_000, "a@:" * 7_000])
def test_a_long_text_costs_no_time(text):
    began = time.process_time()
    one_line(text)
    shown(text)
    assert time.process_time() - began < 1


def test_control_characters_are_shown_and_breaks_become_blanks():
    assert str(UserError("a\x1b[31mb\n\n  c\td")) == r"a\x1b[31mb c\td"
    assert str(UserError("Fuß – naïve…")) == "Fuß – naïve…"


def test_an_error_stays_as_it_is_when_it_is_raised_anew():
    error = UserError("x" * 1000)
    assert str(UserError(str(error))) == str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_long_lists_are_shortened_and_short_ones_are_whole():
    many = [f"graph.key_{n}" for n in range(100)]
    text = str(unknown("config key", "graph.kee_7", many, hint="unused"))
    assert "did you mean 'graph.key_7'?" in text
    assert text.endswith("graph.key_15, … (100 in all)")
    assert str(unknown("way", "x", ["a", "b"])).endswith("known: a, b")
    assert len(str(unknown("way", "x", ["n" * 1000]))) < 200


PATH = f"/home/{'f' * 30}/{'g' * 30}/datasets/toys"
REMEDY = "give the same settings, or choose another --name for a new study"


@pytest.mark.parametrize(
    "given",
    [
        f"{PATH} and {PATH} are both there, and {PATH}, too",
        f"columns {', '.join(f'column_{n}' for n in range(60))} are missing",
        "one thing and another " * 30,
        "1; 2: 3. " * 60,
        PATH * 20,
    ],
    ids=["paths", "a list", "much text", "many parts", "a long path"],
)
def test_the_beginning_and_what_to_do_stay_whatever_was_given(given):
    line = str(UserError(f"study 'toys' is another one: {given}; {REMEDY}"))
    assert len(f"error: {line}") <= 300
    assert line.startswith("study 'toys' is another one: ")
    assert line.endswith((f"; {REMEDY}", f"… {REMEDY}"))
    assert str(UserError(line)) == line


def test_lists_are_shortened_before_short_paths():
    names = ", ".join(f"column_{n}" for n in range(60))
    assert str(UserError(f"/data/{'x' * 50}.csv lacks {names}; give --columns")) == (
        f"/data/{'x' * 50}.csv lacks column_0, column_1, … (60 in all); give --columns"
    )


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gat", "'gat'"),
        (10**5000, "a value of type int"),
        (Unprintable(), "a value of type Unprintable"),
        ("a" * 200, "'" + "a" * 39 + "…" + "a" * 38 + "'"),
    ],
    ids=["short", "huge number", "no repr", "long"],
)
def test_any_value_can_be_shown(value, text):
    assert shown(value) == text


def words_of_errors(source):
    """The words that stand in each message of a source, without what is put in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError" and node.args:
            message = node.args[0]
            parts = message.values if isinstance(message, ast.JoinedStr) else [message]
            yield "".join(part.value for part in parts if isinstance(part, ast.Constant))


def test_messages_leave_room_for_what_was_given():
    """Where there is none, the middle is left out, which may be what to do."""
    files = sorted(Path(mmsr.__file__).parent.rglob("*.py"))
    found = [words for file in files for words in words_of_errors(file.read_text())]
    assert len(found) > 200
    assert [words for words in found if len(words) > LONGEST - 80] == []
    assert list(words_of_errors('raise UserError(f"{a}: too " f"long {b}")')) == [": too long "]
