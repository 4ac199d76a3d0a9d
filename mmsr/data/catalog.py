"""The prepared data sets under `$MMSR_HOME/datasets`: their names, and how they get there."""

from __future__ import annotations

from pathlib import Path

from mmsr import paths
from mmsr.data.folders import cannot, set_apart
from mmsr.data.manifest import MANIFEST_FILE, Manifest
from mmsr.errors import unknown
from mmsr.paths import NAME


def names() -> list[str]:
    """Names of the prepared data sets, sorted, those in the home's object store included."""
    from mmsr.data.mirror import published

    return sorted({*_names_here(), *(name for name in published() if NAME.fullmatch(name))})


def _names_here() -> list[str]:
    folder = paths.datasets()
    try:
        found = [path.name for path in folder.iterdir() if (path / MANIFEST_FILE).is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot("read", folder, error) from None
    return [name for name in found if NAME.fullmatch(name)]


def find(name: str) -> Path:
    """Find the folder of a prepared data set; from an object store, it is fetched first.

    A test part that is still in the folder is moved to `held-out`, unless a trial asks.

    Parameters
    ----------
    name : name of the data set.

    Returns
    -------
    A folder on this machine.

    Raises
    ------
    UserError : there is none of this name, it cannot be fetched, or its test part cannot be moved.
    """
    known = names()
    if name not in known:
        hint = "run `mmsr data demo` or `mmsr data import`"
        raise unknown("data set", name, known, hint=hint, where=paths.searched())
    folder = _refreshed(name)
    set_apart(folder)
    return folder


def manifest(name: str) -> Manifest:
    """The manifest of a prepared data set; a test part that is in the folder stays there.

    Parameters
    ----------
    name : one of `names`.

    Raises
    ------
    UserError : it cannot be read, or the data set cannot be fetched.
    """
    return Manifest.read(_refreshed(name))


def _refreshed(name: str) -> Path:
    from mmsr.data.mirror import refresh

    refresh(name)
    return paths.datasets() / name
