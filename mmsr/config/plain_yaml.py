"""YAML that can be read in one way only: how all files and `--set` values are read and written.

What can be read in two ways is refused, with what to write instead: `010` (8 or 10), `yes` (a text
or true), a date, a key that stands twice. So are aliases and tags, with which a few lines unfold to
gigabytes, and what is nested deeper than any config.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from mmsr.errors import UserError, shown

LONGEST, _DEEPEST = 1_000_000, 20
"""Most characters of a text, and most levels of lists and mappings in it."""
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,999})")
_REAL = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_DIGITS = re.compile(r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*)")
"""What looks like a whole number, written like one or not."""
_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What ends a line in YAML, though not on a terminal."""
_TRUTHS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_TAG = "tag:yaml.org,2002:"


class _Refused(ValueError):
    """Why a text is not read, and in which of its lines."""

    def __init__(self, why: str, node: Any = None) -> None:
        line = node.start_mark.line if node is not None else 0
        super().__init__(f"{why} (line {line + 1})" if line else why)


def read_plain(text: str, what: str) -> Any:
    """Read YAML that can be read in one way only.

    Parameters
    ----------
    text : plain values, lists and mappings.
    what : what the text is, for the error.

    Raises
    ------
    UserError : it is not YAML, or it can be read in two ways.
    """
    try:
        if len(text) > LONGEST:
            raise _Refused(f"it has over {LONGEST:,} characters: is it the right file?")
        return yaml.load(text, _Plain)
    except (_Refused, yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise UserError(f"{what}: {_why(error)}") from None


def write_plain(tree: Any) -> str:
    """YAML text that `read_plain` reads back as an equal tree.

    Parameters
    ----------
    tree : plain values, lists and mappings.
    """
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _why(error: Exception) -> str:
    """What is wrong, and where; PyYAML says it in several lines."""
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"not valid YAML: {error.problem or error.context}{where}"
    return "not valid YAML: it holds control characters"


class _Plain(yaml.SafeLoader):
    """PyYAML's safe loader, without what can be read in two ways."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a value, unless it is an alias, has a tag, or is nested too deeply."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(f"alias *{event.anchor}: write out what it stands for", event)
        if (tag := getattr(event, "tag", None)) is not None:
            raise _Refused(f"tag {shown(tag.replace(_TAG, '!!'))}: leave it out", event)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"it is nested more than {_DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, unless a key stands in it twice."""
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused("a list or a mapping is no key: write a name", key)
            value, line = self.construct_object(key), key.start_mark.line + 1
            if value in lines:
                first = f", first in line {lines[value]}" if lines[value] < line else ""
                raise _Refused(f"the key {shown(value)} stands twice{first}: keep one", key)
            lines[value] = line
        return super().construct_mapping(node, deep)


def _scalar(loader: _Plain, node: Any) -> Any:
    """A plain value; a text where it is quoted."""
    text = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "null" or (kind == "str" and node.style is not None):
        return None if kind == "null" else text
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text.replace(".", "") if "n" in text.lower() else text)
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if instead := _instead(text, kind):
        raise _Refused(f"{shown(text)} can be read in two ways: write {instead}", node)
    return text


def _instead(text: str, kind: str) -> str:
    """What to write in place of a value that can be read in two ways; empty if it cannot."""
    quoted = f"'{text}' in quotes for a text" if len(text) < 30 else "a text in quotes"
    if kind == "bool":
        return f"{_TRUTHS[text.lower()]}, or {quoted}"
    if kind in ("int", "float") or _DIGITS.fullmatch(text):
        digits = text.replace("_", "")
        plain = digits.lstrip("+-0") or "0"
        number = f"{plain[:30]}, or " if digits.lstrip("+-").isdecimal() and len(plain) < 30 else ""
        return f"{number or 'the number in decimal digits, or '}{quoted}"
    return quoted if kind in ("timestamp", "merge", "value") else ""


for _kind in ("null", "bool", "int", "float", "str", "timestamp", "merge", "value"):
    _Plain.add_constructor(_TAG + _kind, _scalar)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, without aliases, and with quotes around what would change."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no aliases."""
        return True


def _text(dumper: _Dumper, text: str) -> Any:
    like_number = _REAL.fullmatch(text) or _DIGITS.fullmatch(text)
    style = '"' if _BREAKS.search(text) else "'" if like_number else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _text)
