"""Mistakes in a declaration that Python would answer with a traceback, kept until they are told.

A study file declares its study where it is imported, so an error raised there ends in a traceback.
What was misspelt is noted instead, and `check_kinds` says it in one line.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, TypeVar

from mmsr.errors import UserError, unknown

_NOTED = "_mistake"
T = TypeVar("T")


def noting_mistakes(cls: type[T]) -> type[T]:
    """A dataclass whose construction never raises for arguments that it has not, or lacks."""
    construct = cls.__init__
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    needed = [
        name
        for name, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]

    @wraps(construct)
    def noting(self: T, *positional: Any, **given: Any) -> None:
        problem: UserError | None = None
        name = cls.__name__
        if positional:
            problem = UserError(
                f"{name}({positional[0]!r}, …): name every argument, e.g. dataset='toys'"
            )
        elif strange := [key for key in given if key not in known]:
            problem = unknown(f"argument of {name}(…)", strange[0], known)
        elif missing := [key for key in needed if key not in given]:
            problem = UserError(f"{name}(…) lacks {missing[0]}: give {missing[0]}=…")
        kept = {key: value for key, value in given.items() if key in known}
        construct(self, **{**dict.fromkeys(needed), **kept})
        object.__setattr__(self, _NOTED, problem)

    cls.__init__ = noting  # type: ignore[method-assign, assignment]
    return cls


def check_mistakes(declared: object) -> None:
    """Raise UserError for what was noted."""
    if (problem := getattr(declared, _NOTED, None)) is not None:
        raise problem
