"""Files of an object store, copied to this machine for the time of an import."""

from __future__ import annotations

from pathlib import Path

from mmsr.errors import UserError
from mmsr.remote import RemotePath, plain_name
from mmsr.urls import Url

_WILD = "*["
"""Characters that make a pattern of a name; a question mark begins a URL's options."""


def check_address(address: str) -> Url:
    """Check that an address may be that of a file or folder in an object store.

    Parameters
    ----------
    address : see `fetch`.

    Raises
    ------
    UserError : it may not.
    """
    url = Url.parse(address, "the address of a table")
    parent = url.shown.partition("?")[0].rpartition("/")[0]
    if url.kind != "store" or parent.endswith(("/", ":")):
        raise UserError(
            f"{url} is no file or folder of an object store: give one, e.g. s3://BUCKET/FILE or "
            "gs://BUCKET/FILE, or download it first"
        )
    return url


def fetch(address: str, folder: Path) -> tuple[Path, str]:
    """Copy a file, the files that match a pattern, or a folder with all that is in it.

    Credentials are those of the environment, as for a home in an object store.

    Parameters
    ----------
    address : e.g. `s3://BUCKET/FOLDER/FILE`; a pattern may stand in its last part.
    folder : an empty folder for the copies.

    Returns
    -------
    copy : the file, pattern or folder on this machine.
    base : what `folder` is a copy of, ending with a slash.

    Raises
    ------
    UserError : the address is none, nothing is there, or the store refuses.
    """
    url = check_address(address)
    base, mark, options = url.shown.partition("?")
    parent, _, name = base.rpartition("/")
    around = RemotePath(parent + mark + options)
    try:
        found = _found(around, name)
        for place in found:
            place.download(folder.joinpath(*(plain_name(p, url) for p in place.inside.split("/"))))
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"cannot read {url}: {reason}; check the bucket, the credentials and the network"
        ) from None
    if not found:
        raise UserError(f"no such file: {url}")
    return folder / name, f"{parent}/"


def _found(around: RemotePath, name: str) -> list[RemotePath]:
    """The files that a name, pattern or folder stands for."""
    from pyarrow.fs import FileSelector, FileType

    place = around / name
    if any(character in name for character in _WILD):
        return sorted(one for one in around.glob(name) if one.is_file())
    if place.is_file():
        return [place]
    every = place.filesystem.get_file_info(
        FileSelector(place.key, allow_not_found=True, recursive=True)
    )
    inside = [info.path[len(place.key) + 1 :] for info in every if info.type == FileType.File]
    return [RemotePath(around.root, f"{name}/{path}") for path in sorted(inside)]
