"""Texts without the secrets of the URLs in them, found by how a URL looks, in linear time."""

from __future__ import annotations

import re

HIDDEN = "***"
"""Stands for a secret in what is shown and recorded."""

_WORD = re.compile(r"\S+")
_AUTHORITY = re.compile(r"//([^\s:/?#@]*):([^\s?#@]*)@")
_PLACEHOLDERS = (HIDDEN, "PASSWORD")
"""What stands in a URL where a password belongs, in examples too."""
_SECRET_NAME = re.compile("(?i)pass|pwd|secret|token|key|cred|auth|sig")
_PASSWORD = re.compile(r"(?i)\b((?:ssl)?(?:password|passwd|pwd)=)[^\s&]+")
_URL = re.compile(r"[A-Za-z]:/")
_WEB_PATH = re.compile(r"(https?://[^\s/?#\"'()]+)[/?#][^\s\"')]+", re.IGNORECASE)


def masked(text: str) -> str:
    """A text with `***` in place of passwords in URLs, and of values of secret options.

    Parameters
    ----------
    text : e.g. an error; blanks end a URL in it.
    """
    if "@" not in text and "=" not in text:
        return text
    return _WORD.sub(lambda found: masked_word(found[0]), text)


def masked_value(text: str) -> str:
    """A given value without the secrets of the URL that it is, which may hold blanks.

    Parameters
    ----------
    text : the whole value, or its `repr`.
    """
    return masked_word(text) if _URL.search(text) else masked(text)


def masked_word(word: str) -> str:
    """One word without the secrets of the URL in it.

    Parameters
    ----------
    word : a text that holds at most one URL.
    """
    if "@" in word:
        word = _without_password(word)
    return _without_options(word) if "=" in word else word


def _without_password(word: str) -> str:
    head, colon, rest = word.partition(":")
    before, at, after = rest.rpartition("@")
    if not colon or not at:
        return word
    found = _AUTHORITY.match(rest)
    if found and head[-1:].isalnum() and found.end() == len(before) + 1:
        password = found[2] if found[2] in _PLACEHOLDERS else HIDDEN
        return f"{head}://{found[1]}:{password}@{after}"
    bare = before.startswith("//") and not re.search("[:?#=]", before)
    if bare and not head.lower().endswith(("http", "https")):  # a user; http has tokens there
        return word
    # Behind a ?, the last @ may stand in a secret rather than before the host.
    return f"{head}:{HIDDEN}" + ("" if "?" in before else f"@{after}")


def _without_options(word: str) -> str:
    pieces = re.split("([?&])", word)
    for number in range(2, len(pieces), 2):
        name, equals, value = pieces[number].partition("=")
        if equals and value and _SECRET_NAME.search(name):
            pieces[number] = f"{name}={HIDDEN}"
    return _PASSWORD.sub(rf"\1{HIDDEN}", "".join(pieces))


def masked_paths(text: str) -> str:
    """A text whose web addresses end with the host: a path may be secret, as that of a notice is.

    >>> masked_paths("unrecognized arguments: --notfy https://hooks.example.org/SECRET")
    'unrecognized arguments: --notfy https://hooks.example.org/***'
    """
    return _WEB_PATH.sub(rf"\1/{HIDDEN}", text)
