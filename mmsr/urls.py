"""URLs that users give: parsed once, shown without their secrets, whole only for who connects."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from mmsr.errors import UserError
from mmsr.masking import HIDDEN, masked_paths, masked_word

if TYPE_CHECKING:
    import sqlalchemy

STORES = ("s3", "gs", "file")
"""Schemes of object stores; `file` is for a mounted folder that is to be used like one."""

_SQLITE_OPTIONS = frozenset(
    {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}
)
_STORE_OPTIONS = frozenset(
    {
        *("allow_bucket_creation", "allow_bucket_deletion", "endpoint_override", "region"),
        *("force_virtual_addressing", "retry_limit_seconds", "scheme"),
    }
)
_OPEN_OPTIONS = _SQLITE_OPTIONS | {
    *("application_name", "charset", "connect_timeout", "host", "port", "target_session_attrs"),
    *("sslcert", "sslkey", "sslmode", "sslrootcert", "ssl_ca", "ssl_cert", "ssl_key", "user"),
}
"""Options of databases whose values are no secrets. Those of all others are hidden."""

_EXAMPLES = {
    "storage": "sqlite:////PATH/optuna.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
    "tracking URI": "http://HOST:PORT of an MLflow server, or sqlite:////PATH/mlflow.db",
    "source": "a folder, or the base URL of a mirror: https://HOST/FOLDER",
    "MMSR_HOME": "a folder, or one in an object store: s3://BUCKET/FOLDER or gs://BUCKET/FOLDER",
    "the address of a table": "s3://BUCKET/FILE or gs://BUCKET/FILE",
}
_ENCODE = "in a password, write / ? # @ % and blanks as %2F %3F %23 %40 %25 %20"
_QUESTION_MARK = "write a ? that belongs to a name as %3F"

_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?")
_SCHEME = re.compile(r"(?<![\w+.-])[A-Za-z][\w+.-]+:/")
_WORD = re.compile(r"\S+")
_START = re.compile(r"(?<![\w+.-])[A-Za-z][\w+.-]*:")
_LONGEST = 2000
"""Length of the longest word of a text that is parsed as a URL; a longer one is only masked."""
_SHORTEST = 4
"""Length of the shortest secret that is looked for anywhere in a text."""


@dataclass(frozen=True, repr=False)
class Url:
    """A URL that a user gave. Its text has no secret; only `reveal` returns it whole."""

    kind: Literal["database", "server", "databricks", "store"]
    shown: str
    """The URL with `***` in place of each secret."""
    whole: str
    secrets: tuple[str, ...] = ()
    """The secrets, in all the ways in which a text may spell them."""

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return repr(self.shown)

    def reveal(self) -> str:
        """The whole URL, for the client that connects; it is never written or printed."""
        return self.whole

    @property
    def incomplete(self) -> bool:
        """Whether it was read from where its secrets are not stored."""
        return HIDDEN in self.secrets

    def without_password(self) -> Url:
        """The same place, for a client that finds user or password elsewhere."""
        if self.kind == "server":
            scheme, _, rest = self.whole.partition("://")
            return _server(f"{scheme}://{rest.rpartition('@')[2]}")
        if self.kind != "database":
            return self
        from sqlalchemy import URL, make_url

        url = make_url(self.whole)
        place = (url.drivername, url.username, None, url.host, url.port, url.database, url.query)
        return _of(URL.create(*place))

    def scrub(self, text: str) -> str:
        """Hide the secrets of this URL, and of any other, in a text such as a client's error."""
        text = text.replace(self.whole, self.shown)
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, HIDDEN)
        return hidden(text)

    @classmethod
    def parse(cls, given: str | Url, what: str = "storage") -> Url:
        """Parse a URL. A SQLite file gets its absolute path, PostgreSQL the driver of mmsr.

        Parameters
        ----------
        given : the URL, or its text.
        what : its role, for the error.

        Raises
        ------
        UserError : it cannot be parsed, or in two ways; the message does not repeat it.
        """
        if isinstance(given, Url):
            return given
        try:
            return _parse(given)
        except ValueError as error:
            kind = "database URL" if what == "storage" else "URL"
            advice = f"give {_EXAMPLES.get(what, _EXAMPLES['storage'])}"
            raise UserError(
                f"{what} is no {kind} (it is not shown, since it may hold a password): "
                f"{error if isinstance(error, _Mistake) else advice}"
            ) from None


class _Mistake(ValueError):
    """What is wrong with a URL, in words that repeat nothing of it."""


def sqlite_url(file: Path) -> Url:
    """The URL of the SQLite database in `file`, whatever characters its path has."""
    from sqlalchemy import URL

    return _of(URL.create("sqlite", database=str(file.absolute())))


def is_uri(text: str) -> bool:
    """Whether `text` is meant as a URI rather than a path."""
    return _SCHEME.match(text) is not None


def hidden(text: str) -> str:
    """A text without the secrets of the URLs in it, e.g. an error that a library raised."""
    if "@" not in text and "=" not in text:
        return text
    return _WORD.sub(lambda found: _hidden_in_text(found[0]), text)


def hidden_word(word: str) -> str:
    """A word of a command line without the secrets of a URL in it; it may contain blanks."""
    found = _SCHEME.search(word)
    if found is None or ("://" not in word and "@" not in word):
        return hidden(masked_word(word))
    head, url = word[: found.start()], word[found.start() :]
    try:
        return head + Url.parse(url).shown
    except UserError:
        return f"{head}{url.partition(':')[0]}://{HIDDEN}"


def hidden_words(text: str, words: Iterable[str]) -> str:
    """A text about a command line, e.g. "no such option", without the secrets of its words.

    Parameters
    ----------
    text : what is said.
    words : the command line.
    """
    for word in words:
        if (shown := hidden_word(word)) != word:
            text = text.replace(word, shown)
    return masked_paths(hidden(text))


def _hidden_in_text(word: str) -> str:
    token = word.rstrip(string.punctuation)
    found = _START.search(token) if "@" in token and len(word) <= _LONGEST else None
    if found is not None:
        with suppress(UserError):
            shown = Url.parse(token[found.start() :]).shown
            word = f"{token[: found.start()]}{shown}{word[len(token) :]}"
    return masked_word(word)


def _parse(text: str) -> Url:
    if not text.isprintable():
        raise _Mistake("it has characters that cannot be printed")
    scheme = text.partition(":")[0]
    if scheme in ("http", "https"):
        return _server(text)
    if scheme in STORES:
        return _store(text)
    if re.fullmatch(r"databricks(://[\w.:-]*)?", text):
        return Url("databricks", text, text)
    return _database(text)


def _database(text: str) -> Url:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("no URL") from None
    rest = text.partition("://")[2]
    options = rest.partition("?")[2]
    if url.get_backend_name() == "sqlite":
        if rest and not rest.startswith("/"):
            raise _Mistake("the path of a SQLite file follows three slashes, an absolute one four")
        if "@" in rest.partition(":")[2]:
            raise _Mistake("SQLite knows no password; write : and @ of a name as %3A and %40")
        if options and not (url.query and _SQLITE_OPTIONS.issuperset(url.query)):
            raise _Mistake(_QUESTION_MARK)
        if not url.database or url.database == ":memory:":
            return Url("database", text, text)
        file, literal = Path(url.database), Path(rest[1:].partition("?")[0])
        if literal != file and (literal.exists() or literal.parent.exists() > file.parent.exists()):
            raise _Mistake("write a % that belongs to a name as %25")
        return _of(url.set(database=str(file.absolute())))
    authority = rest.rpartition("@")[0]
    if "@" in authority or "?" in authority or ("@" in rest and url.username is None):
        raise _Mistake(_ENCODE)
    if (url.host and not _HOST.fullmatch(url.host)) or not 0 <= (url.port or 0) < 2**16:
        raise _Mistake(_ENCODE)
    if options and not all("=" in option for option in options.split("&")):
        raise _Mistake(_QUESTION_MARK)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return _of(url)


def _of(url: sqlalchemy.URL) -> Url:
    values = {
        name: [value] if isinstance(value, str) else value for name, value in url.query.items()
    }
    closed = {
        name for name, all_ in values.items() if name not in _OPEN_OPTIONS or "@" in str(all_)
    }
    secrets = [str(url.password)] if url.password else []
    secrets += [value for name in closed for value in values[name]]
    masked = url.update_query_dict(dict.fromkeys(closed, HIDDEN))
    shown = masked.render_as_string(hide_password=True).replace(quote_plus(HIDDEN), HIDDEN)
    return Url("database", shown, url.render_as_string(hide_password=False), _spellings(secrets))


def _server(text: str) -> Url:
    parts = urlsplit(text)
    host = parts.hostname
    if text.count("@") > 1 or ("@" in text and "@" not in parts.netloc):
        raise _Mistake(_ENCODE)
    if any(mark in text for mark in "?#\\ "):
        raise _Mistake(f"a server's URI has no blank and no ? # \\; {_ENCODE}")
    if not host or not _HOST.fullmatch(host) or parts.port == 0:  # a bad port raises ValueError
        raise ValueError("no host")
    at = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
    if parts.username is None:
        return Url("server", f"{parts.scheme}://{at}", f"{parts.scheme}://{at}")
    if not parts.password or not unquote(parts.username + parts.password).isascii():
        raise _Mistake(
            "a server's URI has USER:PASSWORD in ASCII; give others by MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, a token by MLFLOW_TRACKING_TOKEN"
        )
    return Url(
        "server",
        f"{parts.scheme}://{parts.username}:{HIDDEN}@{at}",
        f"{parts.scheme}://{parts.username}:{parts.password}@{at}",
        _spellings([parts.password, unquote(parts.password)]),
    )


def _store(text: str) -> Url:
    parts = urlsplit(text)
    base, _, options = text.partition("?")
    bucket = parts.netloc.removeprefix("anonymous@") if parts.scheme == "gs" else parts.netloc
    if re.search("[:@]", bucket) or not set(parse_qs(options)) <= _STORE_OPTIONS or "@" in options:
        raise _Mistake(
            "give credentials by the environment, e.g. AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, and only pyarrow's options after the ?"
        )
    if (options and not parse_qs(options)) or "#" in text:
        raise _Mistake("write ? and # that belong to a name as %3F and %23")
    if not base.startswith(f"{parts.scheme}://") or bool(bucket) == (parts.scheme == "file"):
        raise ValueError("no bucket, or a host before a file")
    whole = base.rstrip("/") + (f"?{options}" if options else "")
    return Url("store", whole, whole)


def _spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    found = {f(one) for one in secrets for f in (str, quote, quote_plus, _quoted)}
    return tuple(sorted(found))


def _quoted(text: str) -> str:
    return quote(text, safe=" +")  # as SQLAlchemy does
