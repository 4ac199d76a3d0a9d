"""Results for programs: JSON or CSV on stdout, numbers as they are, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Annotated, Any

import typer

from mmsr.console import deliver
from mmsr.errors import UserError

AsJson = Annotated[
    bool, typer.Option("--json", help="Write JSON to stdout, with numbers as they are.")
]
AsCsv = Annotated[
    bool, typer.Option("--csv", help="Write CSV to stdout, with numbers as they are.")
]


def check_format(as_json: bool, as_csv: bool) -> bool:
    """Whether a program reads the result.

    Parameters
    ----------
    as_json, as_csv : the two options.

    Raises
    ------
    UserError : both are given.
    """
    if as_json and as_csv:
        raise UserError("--json and --csv: give one of them")
    return as_json or as_csv


def write_json(tree: Any) -> None:
    """Write a tree; what is not a finite number becomes null.

    Parameters
    ----------
    tree : dicts, lists, texts and numbers.
    """
    deliver(json.dumps(_plain(tree), ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def write_csv(records: Iterable[Mapping[str, Any]], columns: Iterable[str] = ()) -> None:
    """Write flat records; lists are joined by `;`, and what is missing is empty.

    Parameters
    ----------
    records : values by column.
    columns : columns that come first, and that are there without any record.
    """
    rows = [{key: _cell(value) for key, value in record.items()} for record in records]
    names = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    deliver(text.getvalue())


def flattened(tree: Any, above: str = "") -> Iterable[dict[str, Any]]:
    """Yield the values of a tree as records of `key` and `value`, with dotted keys.

    Parameters
    ----------
    tree : dicts, lists, texts and numbers.
    above : key of the tree.
    """
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, Mapping):
        children = tree.items()
    elif isinstance(tree, list) and any(isinstance(one, Mapping) for one in tree):
        children = enumerate(tree)
    else:
        yield {"key": above, "value": tree}
    for key, value in children:
        yield from flattened(value, f"{above}.{key}" if above else str(key))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(own) for own in value]
    if isinstance(value, Real) and not isinstance(value, int):  # also NumPy's
        number = int(value) if isinstance(value, Integral) else float(value)
        return number if math.isfinite(number) else None
    return value if isinstance(value, int | str | None) else str(value)


def _cell(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, list):
        return ";".join("" if one is None else str(_cell(one)) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else value
