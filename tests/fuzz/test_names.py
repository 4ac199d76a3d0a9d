"""Whatever is given as a URL or a name is accepted, or refused in a line without its secret."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mmsr.errors import UserError
from mmsr.remote import RemotePath, plain_name
from mmsr.tracking.databases import recalled, recorded, sqlite_file
from mmsr.urls import HIDDEN, Url, hidden, hidden_word, is_uri

SECRET = "5ecr3tW0rd"
SCHEMES = [
    *(
        "sqlite",
        "postgresql",
        "postgres",
        "postgresql+psycopg",
        "mysql",
        "postgre",
        "http",
        "https",
    ),
    *("s3", "gs", "file", "databricks", "Http", "", "s3a", "postgresql+", "sqlite+pysqlite"),
]
anything = st.text(max_size=12)
marks = st.text(alphabet=":/?#@%&=[]{}.\\ *'\"~+-;,é\n\0\udcffA1", max_size=6)
secrets = st.builds(lambda left, right: f"{left}{SECRET}{right}", marks, marks)
urls = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(SCHEMES),
        st.sampled_from(["://", ":/", "//", ":", ":///", ":////"]),
        st.one_of(anything, st.just("user")),
        st.sampled_from([":", ":", ""]),
        secrets,
        st.sampled_from(["@", "@", "", "@@"]),
        st.one_of(st.just("host"), st.just("[::1]"), anything),
        st.sampled_from(["", ":5432", ":x", ":99999", ":-1"]),
        st.sampled_from(["", "/db", "/a/b?password=" + SECRET, f"?token={SECRET}", "/a%41?b"]),
    ),
)
roles = st.sampled_from(["storage", "tracking URI", "MMSR_HOME"])


def check_line(error: UserError) -> None:
    told = str(error)
    assert SECRET not in told
    assert told.isprintable(), told
    assert len(told) <= 300


@given(st.one_of(urls, anything), roles)
def test_a_url_is_accepted_or_refused(text, role):
    """What is accepted shows no secret, and reads the same again."""
    try:
        url = Url.parse(text, role)
    except UserError as error:
        check_line(error)
        return
    again = Url.parse(url.reveal(), role)
    assert (again.shown, again.reveal()) == (url.shown, url.reveal())
    if HIDDEN in url.shown:
        assert SECRET not in url.scrub(f"a {url.reveal()} b {' '.join(url.secrets)}")
    if url.kind == "database":
        assert sqlite_file(url) == sqlite_file(again)
    assert recalled(recorded(url), role).shown in (url.shown, url.without_password().shown)


@given(urls)
def test_a_password_is_shown_nowhere(text):
    """Only where the secret is a path, a host or a user's name is it shown."""
    try:
        url = Url.parse(text)
    except UserError:
        pass
    else:
        user, password = url.reveal(), url.without_password().reveal()
        if SECRET in user and SECRET not in password:
            assert SECRET not in str(url)
            assert SECRET not in repr(url)
    place = re.sub(r"^[\w+.-]*:/*", "", text)
    if ":" in place.partition("@")[0].partition(SECRET)[0] and "@" in place.rpartition(SECRET)[2]:
        word = hidden_word(text.replace("\n", "").replace("\0", ""))
        assert SECRET not in word.partition("@")[0]


@given(st.one_of(urls, anything))
def test_any_text_can_be_told(text):
    hidden(text)
    hidden_word(text)


@given(st.one_of(anything, marks, urls))
def test_a_home_is_a_folder_or_in_a_store(text):
    if not is_uri(text):
        return
    try:
        place = RemotePath.parse(text)
    except UserError as error:
        check_line(error)
        return
    assert RemotePath.parse(str(place)) == place


@given(st.one_of(anything, marks, st.text(), st.integers(), st.none(), secrets))
def test_a_name_is_plain_or_refused(name):
    try:
        accepted = plain_name(name, "it")
    except UserError as error:
        told = str(error)
        assert told.isprintable()
        assert len(told) <= 300
        return
    assert accepted == name
    assert accepted not in ("", ".", "..")
    assert not set(accepted) & set("/\\:\0\n")
