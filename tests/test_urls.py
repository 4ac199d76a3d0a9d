"""URLs are parsed once, and shown without their secrets."""

from __future__ import annotations

import copy
import dataclasses
import time

import pytest

from mmsr.errors import UserError
from mmsr.study.planning.declaration import Options
from mmsr.urls import Url, hidden, hidden_word, hidden_words, is_uri, sqlite_url

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("sqlite:///sub/a.db", "sqlite:////here/sub/a.db"),
        ("sqlite:////there/a.db", "sqlite:////there/a.db"),
        ("sqlite:////there/a.db?timeout=5", "sqlite:////there/a.db?timeout=5"),
        ("sqlite:////a%3Fb/a%23{1}.db", "sqlite:////a%3Fb/a%23%7B1%7D.db"),
        ("sqlite:////a#b/a.db", "sqlite:////a%23b/a.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://host:5000/", "http://host:5000"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x"),
        ("databricks://profile", "databricks://profile"),
        ("s3://bucket/x/?region=eu-west-1", "s3://bucket/x?region=eu-west-1"),
        ("gs://anonymous@bucket", "gs://anonymous@bucket"),
    ],
)
def test_a_url_is_kept_in_one_form(given, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = shown.replace("/here", str(tmp_path))
    url = Url.parse(given)
    assert (str(url), url.reveal(), url.incomplete) == (shown, shown, False)
    assert Url.parse(shown) == url
    assert Url.parse(url) is url


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"postgresql://u:{SECRET}@h/d", "postgresql+psycopg://u:***@h/d"),
        (f"postgresql://:{SECRET}@h/d", "postgresql+psycopg://:***@h/d"),
        (f"postgresql://u:/{SECRET}/@h/d", "postgresql+psycopg://u:***@h/d"),
        (f"postgresql://u:#{SECRET}#@h:5432/d", "postgresql+psycopg://u:***@h:5432/d"),
        (f"postgresql://u:%40{SECRET}@h/d", "postgresql+psycopg://u:***@h/d"),
        (f"postgresql://u:ä {SECRET}@h/d", "postgresql+psycopg://u:***@h/d"),
        (
            f"postgresql://h/d?password={SECRET}&user=u",
            "postgresql+psycopg://h/d?password=***&user=u",
        ),
        (f"postgresql://u@h/d?sslpassword={SECRET}", "postgresql+psycopg://u@h/d?sslpassword=***"),
        (
            f"postgresql://u@h/d?never_heard_of={SECRET}",
            "postgresql+psycopg://u@h/d?never_heard_of=***",
        ),
        (f"postgre://u:{SECRET}@h/d", "postgre://u:***@h/d"),
        (f"http://u:{SECRET}@h", "http://u:***@h"),
        (f"https://u:%2F{SECRET}@h:5000/x", "https://u:***@h:5000/x"),
    ],
)
def test_a_secret_is_only_revealed(given, shown):
    url = Url.parse(given)
    assert (str(url), f"{url}") == (shown, shown)
    assert SECRET in url.reveal()
    for text in (repr(url), repr([url]), repr(Options(storage=given, tracking_uri=given))):
        assert SECRET not in text
    told = url.scrub(f"cannot reach {url.reveal()}: {url.secrets[0]} is wrong for {given}")
    assert SECRET not in told
    assert "cannot reach" in told
    recalled = Url.parse(str(url))
    assert recalled.incomplete
    assert str(recalled) == shown
    assert copy.deepcopy(url) == dataclasses.replace(url) == url


REFUSED = [
    f"postgresql://u:{SECRET}@{SECRET}@h/d",
    f"postgresql://u:a@{SECRET}/x@h/d",
    f"postgresql://u/x:{SECRET}@h/d",
    f"postgresql://u:{SECRET}@h:54x32/d",
    f"postgresql://u:{SECRET}@h:99999/d",
    f"postgresql://h:5432/d?password=a@{SECRET}",
    f"postgresql://h/d?{SECRET}",
    f"postgresql://u:{SECRET}",
    f"postgresql//u:{SECRET}@h/d",
    f"postgresql:/u:{SECRET}@h/d",
    f"postgresql:u:{SECRET}@h",
    f"u:{SECRET}@h/d",
    f"postgresql://u:{SECRET}\n@h/d",
    f"postgresql://u:{SECRET}\udcff@h/d",
    f"sqlite://u:{SECRET}@h/d",
    f"sqlite:///u:{SECRET}@h/d",
    f"sqlite:////a?b={SECRET}/x.db",
    f"sqlite:////a?{SECRET}/x.db",
    f"http://u:{SECRET}/@h:5000",
    f"http://u:12/{SECRET}@h:5000",
    f"http://u:#{SECRET}@h",
    f"http://u:1?{SECRET}@h",
    f"http://u:{SECRET} @h",
    f"http://u:ä{SECRET}@h",
    f"http://u:{SECRET}@h:99999",
    f"http://{SECRET}@h",
    f"http://h?token={SECRET}",
    f"http:/u:{SECRET}@h",
    f"s3://AK:{SECRET}@bucket/x",
    f"s3://AK:a/{SECRET}@bucket/x",
    f"s3://bucket/x?secret_key={SECRET}",
    f"s3://bucket/x?endpoint_override=http://u:{SECRET}@h",
    f"s3:/AK:{SECRET}@bucket/x",
    SECRET,
    "",
]


@pytest.mark.parametrize("given", REFUSED)
@pytest.mark.parametrize("what", ["storage", "tracking URI", "MMSR_HOME"])
def test_what_cannot_be_parsed_is_refused_and_not_repeated(given, what):
    with pytest.raises(UserError, match=f"^{what} is no .*URL") as caught:
        Url.parse(given, what)
    told = str(caught.value)
    assert SECRET not in told
    assert "\n" not in told
    assert len(told) <= 300
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_of_a_web_address_with_a_misspelt_option_only_the_host_is_repeated():
    for word in (f"https://h.org/services/{SECRET}", f"--notfy=https://h.org?key={SECRET}"):
        told = hidden_words(f"unrecognized arguments: --notfy {word}", [word])
        assert SECRET not in told
        assert "https://" in told
    assert hidden_words("extra argument (http://h:5000)", []) == "extra argument (http://h:5000)"


@pytest.mark.parametrize("given", REFUSED)
def test_a_word_of_a_command_line_shows_no_secret(given):
    for word in (given, f"--storage={given}"):
        if "@" in word or "://" in word:
            assert SECRET not in hidden_word(word)
            assert SECRET not in hidden_words(f"no such option: {word}", ["x", word])
    assert hidden_word("--trials=3") == "--trials=3"
    assert hidden_word("graph.n_codes={image: 3}") == "graph.n_codes={image: 3}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://u:s3cr3t@h:5000/x, no", "at http://u:***@h:5000/x, no"),
        ("(postgresql://u:s3c'r3t@h/d)", "(postgresql+psycopg://u:***@h/d)"),
        ("postgresql:/u:s3cr3t@h", "postgresql:***@h"),
        ("(://u:s3cr3t@h", "(:***@h"),
        ("host=h password=s3cr3t user=u", "host=h password=*** user=u"),
        ("GET /x?api_key=s3cr3t&b=1", "GET /x?api_key=***&b=1"),
        ("see https://sqlalche.me/e/20/e3q8)", "see https://sqlalche.me/e/20/e3q8)"),
        ("error: ada@example.org", "error: ada@example.org"),
        (f"postgresql://u:{SECRET}/x?a=b@h/d", "postgresql:***"),
        (f"postgresql://h/d?password=a@{SECRET}", "postgresql:***"),
        (f"see http://{SECRET}@h", "see http:***@h"),
        (f"{'x' * 3000}://u:{SECRET}@h", f"{'x' * 3000}://u:***@h"),
    ],
)
def test_a_text_of_a_library_is_shown_without_secrets(text, shown):
    assert hidden(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a" * 20_000,
        "?key" * 5_000,
        "a:" * 10_000 + "@",
        "@" + ":" * 20_000,
        "!" * 20_000,
        "&=?" * 7_000,
        "password=" * 2_000,
        "http://u:p@h " * 1_000,
    ],
    ids=lambda text: text[:4],
)
@pytest.mark.parametrize("hide", [hidden, hidden_word])
def test_a_long_text_costs_no_time(hide, text):
    hide("http://u:p@h")  # imports what it needs
    began = time.process_time()
    hide(text)
    assert time.process_time() - began < 1


def test_a_path_with_percent_that_exists_is_not_decoded_in_silence(tmp_path):
    (tmp_path / "a%41b").mkdir()
    with pytest.raises(UserError, match="write a % that belongs to a name as %25"):
        Url.parse(f"sqlite:///{tmp_path}/a%41b/x.db")
    (tmp_path / "aAb").mkdir()
    assert str(Url.parse(f"sqlite:///{tmp_path}/a%41b/x.db")).endswith("/aAb/x.db")


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a#b", "a{1}b", "ä b", "a@b", "a:b", "a+b"])
def test_a_file_has_a_url_whatever_its_name(name, tmp_path):
    from sqlalchemy import make_url

    url = sqlite_url(tmp_path / name / "x.db")
    assert make_url(url.reveal()).database == str(tmp_path / name / "x.db")
    assert Url.parse(url.reveal()) == url
    assert url.reveal().format(SCHEMA_VERSION=1) == url.reveal(), "Optuna fills in a template"


def test_what_is_meant_as_a_uri():
    assert all(map(is_uri, ("s3://b", "s3:/b", "file:///a")))
    assert not any(map(is_uri, ("/a/b", "~/x", "a:b", "C:/x", "a?b", "/a://b")))
