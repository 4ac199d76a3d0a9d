"""Wrong arguments in a study file, recorded where it is read and reported before anything runs.

A study file constructs its study, dimensions, sampler and pruner at import, where an error would
end in a traceback. So a misspelt or missing argument is recorded instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, TypeVar

from mmsr.errors import UserError, shown, unknown

_NOTED = "_mistake"
T = TypeVar("T")


def noting_mistakes(cls: type[T]) -> type[T]:
    """Let a dataclass record wrong arguments instead of raising, for `mistake_in` to find.

    Parameters
    ----------
    cls : the dataclass; its constructor is replaced.
    """
    construct = cls.__init__
    arguments = list(inspect.signature(construct).parameters.values())[1:]

    @wraps(construct)
    def noting(self: T, *positional: Any, **given: Any) -> None:
        problem = _problem(type(self).__name__, arguments, positional, given)
        if problem is None:
            construct(self, *positional, **given)
        else:
            for field in fields(cls):  # type: ignore[arg-type]  # a dataclass
                made = None if field.default_factory is MISSING else field.default_factory()
                default = made if field.default is MISSING else field.default
                object.__setattr__(self, field.name, given.get(field.name, default))
        object.__setattr__(self, _NOTED, problem)

    cls.__init__ = noting  # type: ignore[method-assign, assignment]  # on purpose
    return cls


def mistake_in(declared: object) -> str | None:
    """What is wrong with the arguments that `declared` was constructed with; None if nothing is."""
    problem: UserError | None = getattr(declared, _NOTED, None)
    return None if problem is None else str(problem)


def _problem(
    name: str,
    arguments: Sequence[inspect.Parameter],
    positional: Sequence[Any],
    given: Mapping[str, Any],
) -> UserError | None:
    """What Python would raise a TypeError for."""
    any_number = any(one.kind is one.VAR_POSITIONAL for one in arguments)
    known = {one.name: one for one in arguments if one.kind is not one.VAR_POSITIONAL}
    in_order = [key for key, one in known.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if strange := [key for key in given if key not in known]:
        return unknown(f"argument of {name}(…)", strange[0], known)
    if positional and not in_order and not any_number:
        example = f"e.g. {next(iter(known))}=…" if known else "if it has any"
        return UserError(f"{name}({shown(positional[0])}, …): name every argument, {example}")
    if len(positional) > len(in_order) and not any_number:
        return UserError(
            f"{name}(…) takes {', '.join(in_order)}: {len(positional)} values are given"
        )
    taken = () if any_number else in_order[: len(positional)]
    if double := [key for key in taken if key in given]:
        return UserError(f"{name}(…): {double[0]} is given twice")
    for key, one in known.items():
        if one.default is one.empty and key not in taken and key not in given:
            return UserError(f"{name}(…) lacks {key}: give {key}=…")
    return None
