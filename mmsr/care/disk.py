"""What in the home is how large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsr import paths
from mmsr.care.sizes import size_of, total_of
from mmsr.errors import UserError
from mmsr.format import data_size
from mmsr.remote import RemotePath

_KINDS = {
    "datasets": "data set",
    paths.HELD_OUT: "test part",
    "studies": "study",
    "cache": "cache",
    "downloads": "download",
}
"""Folders of the home that hold a folder or file for each thing, with what that is."""


@dataclass(frozen=True)
class Used:
    """A folder or file of the home, and its size."""

    kind: str
    name: str
    n_bytes: int
    detail: str = ""


def used() -> list[Used]:
    """What the home's folder holds, largest first within each kind; nothing is counted twice.

    Raises
    ------
    UserError : the home cannot be read.
    """
    home = paths.home()
    found = []
    try:
        for top in sorted(home.iterdir()) if home.exists() else ():
            if top.name in _KINDS and top.is_dir():
                found += [_used(_KINDS[top.name], place) for place in sorted(top.iterdir())]
            else:
                found.append(_used("other", top))
    except OSError as error:
        raise UserError(f"cannot read {home}: {error.strerror}") from None
    return _sorted(found)


def used_in_store(home: RemotePath) -> list[Used]:
    """What a home in an object store holds there, largest first within each kind.

    Parameters
    ----------
    home : the home.

    Raises
    ------
    UserError : the store cannot be read.
    """
    from pyarrow.fs import FileSelector

    sizes: dict[tuple[str, str], int] = {}
    try:
        chosen = FileSelector(home.key, allow_not_found=True, recursive=True)
        for info in home.filesystem.get_file_info(chosen):
            top, _, rest = info.path.removeprefix(f"{home.key}/").partition("/")
            kind = _KINDS.get(top, "other")
            name = rest.partition("/")[0] if top in _KINDS else top
            sizes[kind, name] = sizes.get((kind, name), 0) + (info.size or 0)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"cannot list {paths.searched()}: {reason}") from None
    return _sorted([Used(kind, name, n) for (kind, name), n in sizes.items()])


def _sorted(found: list[Used]) -> list[Used]:
    order = [*_KINDS.values(), "other"]
    some = [one for one in found if one.n_bytes]
    return sorted(some, key=lambda one: (order.index(one.kind), -one.n_bytes, one.name))


def _used(kind: str, place: Path) -> Used:
    detail = ", ".join(_parts(place)) if kind == "study" else ""
    n_bytes = 0 if place.is_symlink() else size_of(place)
    return Used(kind, place.name, n_bytes, detail)


def _parts(study: Path) -> Iterator[str]:
    if n_bytes := total_of(study.glob("**/ray")):
        yield f"checkpoints {data_size(n_bytes)}"
    if n_bytes := total_of(study.glob("tracking.*")):
        yield f"tracking journal {data_size(n_bytes)}"
