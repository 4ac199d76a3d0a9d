"""Folders and files in an object store, with the methods of `pathlib.Path` that mmsr needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mmsr.errors import UserError
from mmsr.urls import Url, is_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that stand for devices on some systems."""


@dataclass(frozen=True, order=True)
class RemotePath:
    """A place in an object store.

    Parameters
    ----------
    root : URI of a folder, e.g. ``s3://bucket/mmsr``; it may have a query with pyarrow's options,
        e.g. ``?endpoint_override=http://minio:9000``.
    inside : path within the folder, names separated by slashes.
    """

    root: str
    inside: str = ""

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.root, f"{self.inside}/{name}" if self.inside else name)

    def __str__(self) -> str:
        base, mark, query = self.root.partition("?")
        return (f"{base}/{self.inside}" if self.inside else base) + mark + query

    @classmethod
    def parse(cls, uri: str) -> RemotePath:
        """The place that `uri` names, e.g. ``s3://bucket/mmsr``.

        Raises
        ------
        UserError : it is no URI of an object store, or it holds credentials.
        """
        url = Url.parse(uri, "MMSR_HOME")
        if url.kind != "store":
            raise UserError(
                "MMSR_HOME names no object store: give a folder, or one in an object store: "
                "s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"
            )
        return cls(url.reveal())

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.inside.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in."""
        return RemotePath(self.root, self.inside.rpartition("/")[0])

    @cached_property
    def filesystem(self) -> FileSystem:
        """The pyarrow file system that the place is in."""
        return _resolved(self.root)[0]

    @cached_property
    def key(self) -> str:
        """Path within the file system."""
        base = _resolved(self.root)[1]
        return f"{base}/{self.inside}" if self.inside else base

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Yield the folders and files directly in this folder whose names match `pattern`.

        A name may be odd, so it must pass `plain_name` before it names a file of this machine.
        """
        from pyarrow.fs import FileSelector

        for info in self.filesystem.get_file_info(FileSelector(self.key, allow_not_found=True)):
            if fnmatchcase(info.base_name, pattern):
                yield self / info.base_name

    def is_file(self) -> bool:
        """Whether it is a file that exists."""
        return bool(self._info().is_file)

    def size(self) -> int:
        """Size of the file in bytes.

        Raises
        ------
        FileNotFoundError : there is none.
        """
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(f"no file {self}")
        return int(info.size)

    def read_bytes(self) -> bytes:
        """The file's content.

        Raises
        ------
        FileNotFoundError : there is none.
        """
        with self.filesystem.open_input_stream(self.key) as stream:
            return bytes(stream.read())

    def read_text(self) -> str:
        """The file's content as text."""
        return self.read_bytes().decode()

    def write_text(self, text: str) -> None:
        """Write `text` to the file, all of it or nothing."""
        self._make_parent()
        with self.filesystem.open_output_stream(self.key) as stream:
            stream.write(text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file.

        Parameters
        ----------
        missing_ok : do nothing where there is no such file.

        Raises
        ------
        FileNotFoundError : there is none.
        """
        if self.is_file():
            self.filesystem.delete_file(self.key)
        elif not missing_ok:
            raise FileNotFoundError(f"no file {self}")

    def upload(self, source: Path) -> None:
        """Copy the local file `source` to this place."""
        from pyarrow.fs import LocalFileSystem, copy_files

        self._make_parent()
        copy_files(
            str(source),
            self.key,
            source_filesystem=LocalFileSystem(),
            destination_filesystem=self.filesystem,
        )

    def download(self, target: Path, names: Sequence[str] | None = None) -> Path:
        """Copy the file, or the files directly in the folder, to this machine.

        Parameters
        ----------
        target : local path of the file or folder; it is made where it is missing.
        names : files of the folder to copy; None stands for all.

        Returns
        -------
        `target`.
        """
        from pyarrow.fs import LocalFileSystem, copy_files

        if self.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            pairs = [(self, target)]
        else:
            target.mkdir(parents=True, exist_ok=True)
            found = [path for path in self.glob("*") if names is None or path.name in names]
            files = [path for path in found if path.is_file()]
            pairs = [(path, target / plain_name(path.name, self)) for path in files]
        for source, copy in pairs:
            copy_files(
                source.key,
                str(copy),
                source_filesystem=self.filesystem,
                destination_filesystem=LocalFileSystem(),
            )
        return target

    def _make_parent(self) -> None:
        if self.root.startswith("file:"):
            self.filesystem.create_dir(self.parent.key, recursive=True)

    def _info(self) -> Any:
        return self.filesystem.get_file_info(self.key)


AnyPath = Path | RemotePath
"""A place on this machine, or in an object store."""


def place(text: str) -> AnyPath:
    """The place that `text`, a path or URI, names."""
    return RemotePath.parse(text) if is_uri(text) else Path(text)


def plain_name(name: object, source: object) -> str:
    """A name that came from outside, if it can only name a file in the folder that it is put in.

    Every name that an object store lists or a file of names holds passes here before a file of
    this machine gets it.

    Parameters
    ----------
    name : the name.
    source : where it came from, for the error.

    Raises
    ------
    UserError : it is a path, or no name that every system can have.
    """
    if (
        isinstance(name, str)
        and name.isprintable()
        and name.strip(". ") != ""
        and not re.search(r"[/\\:]|[. ]$", name)
        and not _RESERVED.fullmatch(name)
        and len(name.encode()) <= 255
    ):
        return name
    raise UserError(
        f"{source} names a file {str(name)[:100]!r}, which is no plain file name: nothing is "
        "written; check who can write there"
    )


def size(path: AnyPath) -> int:
    """Size of the file `path` in bytes."""
    return path.size() if isinstance(path, RemotePath) else path.stat().st_size


@contextmanager
def on_this_machine(folder: AnyPath) -> Iterator[Path]:
    """Context with a local copy of a folder; a local folder is yielded itself.

    Parameters
    ----------
    folder : the folder; files directly in it are copied, and removed at the end.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with TemporaryDirectory(prefix="mmsr-") as scratch:
        yield folder.download(Path(scratch))


def check_remote(uri: str) -> None:
    """Check that a home in an object store can be used.

    Parameters
    ----------
    uri : `$MMSR_HOME`.

    Raises
    ------
    UserError : the URI has an unknown scheme, or the store cannot be used.
    """
    home = RemotePath.parse(uri)
    bucket = home.key if home.root.startswith("file:") else home.key.partition("/")[0]
    try:
        if home.filesystem.get_file_info(bucket).type.name == "NotFound":
            raise FileNotFoundError(f"there is no {bucket}")
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"MMSR_HOME={home} cannot be used: {reason}; check the bucket, the credentials and "
            "the network"
        ) from None


@lru_cache(maxsize=8)
def _resolved(uri: str) -> tuple[Any, str]:
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem

    try:
        found: tuple[Any, str] = FileSystem.from_uri(uri)
    except ArrowInvalid as error:
        raise UserError(
            f"{uri} names no object store: {str(error).partition(chr(10))[0]}"
        ) from None
    return found
