"""The prepared data sets under `$MMSR_HOME/datasets`: their names, and how one is put there."""

from __future__ import annotations

from pathlib import Path

from mmsr import paths
from mmsr.data.folders import _NAME, cannot
from mmsr.data.manifest import MANIFEST_FILE
from mmsr.errors import unknown


def names() -> list[str]:
    """Names of the prepared data sets, sorted: those of the home, wherever it is."""
    from mmsr.data.mirror import published

    return sorted({*_names_here(), *(name for name in published() if _NAME.fullmatch(name))})


def _names_here() -> list[str]:
    folder = paths.datasets()
    try:
        found = [path.name for path in folder.iterdir() if (path / MANIFEST_FILE).is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot("read", folder, error) from None
    return [name for name in found if _NAME.fullmatch(name)]


def find(name: str) -> Path:
    """Folder of the prepared data set `name`, fetched where the home is in an object store.

    Raises
    ------
    UserError : there is none of this name, or it cannot be fetched.
    """
    from mmsr.data.mirror import refresh

    known = names()
    if name not in known:
        hint = "run `mmsr data demo` or `mmsr data import`"
        raise unknown("dataset", name, known, hint=hint)
    refresh(name)
    return paths.datasets() / name
