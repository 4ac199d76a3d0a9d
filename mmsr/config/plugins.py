"""What other packages bring: found by an entry point's name, or by an import path."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mmsr.errors import UserError, shown


@cache
def plugins(group: str) -> dict[str, str]:
    """Import paths of the entry points of a group, by name.

    Parameters
    ----------
    group : name of the group, e.g. ``"mmsr.models"``.
    """
    return {point.name: point.value for point in entry_points(group=group)}


def load(kind: str, name: str, path: str) -> Any:
    """Import what an import path names.

    Parameters
    ----------
    kind : what it is, for errors, e.g. ``"model"``.
    name : how the user named it, for errors.
    path : module and attribute, e.g. ``"shop.models:Markov"``.

    Raises
    ------
    UserError : it cannot be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        found: Any = _imported(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module of a user raises
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            reason += "; run this in the folder that holds it, install it, or set PYTHONPATH"
        raise UserError(f"{kind} {shown(name)} cannot be imported: {reason}") from error
    return found


def _imported(module: str) -> Any:
    """A module; one in the working directory is found, too, as it is by `python -m`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if error.name != module.partition(".")[0] or here in sys.path:
            raise
    sys.path.append(here)
    try:
        return import_module(module)
    except ModuleNotFoundError:
        sys.path.remove(here)
        raise
