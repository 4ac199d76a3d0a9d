"""An incomplete download: the bytes so far, and which version of the file they are of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from mmsr.paths import write_whole


class Version(BaseModel):
    """Which content a server sends for a URL, as far as it says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """Where it comes from, without secrets."""
    size: NonNegativeInt | None = None
    """Length in bytes."""
    etag: str | None = None
    modified: str | None = None
    """The header Last-Modified."""

    @property
    def validator(self) -> str | None:
        """What the header If-Range may name: a strong ETag, or else the time of the last change."""
        return self.etag if self._has_strong_etag else self.modified

    def shown_by(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer is of this version: it has the validator, and the same.

        A server that does not know If-Range sends the rest of whatever version it has.
        """
        name = "ETag" if self._has_strong_etag else "Last-Modified"
        return self.validator is not None and headers.get(name) == self.validator

    @property
    def _has_strong_etag(self) -> bool:
        return bool(self.etag) and not str(self.etag).startswith("W/")


class Partial:
    """The bytes of an incomplete download, in ``FILE.part``, with their version beside them.

    Parameters
    ----------
    path : where the file will be when it is complete.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> Version | None:
        """The version that the bytes are of; None unless they are known to come from `url`."""
        try:
            version = Version.model_validate_json(self._note.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return version if version.url == url and self.path.exists() else None

    def begin(self, version: Version) -> None:
        """Remove all bytes, and note which version the next ones are of."""
        self.discard()
        write_whole(self._note, version.model_dump_json(exclude_none=True).encode())

    def finish(self, path: Path) -> None:
        """Give the complete download its name."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove it."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
