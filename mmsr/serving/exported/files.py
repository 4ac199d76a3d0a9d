"""The files of an exported model, and how damage to them is found."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr.errors import UserError, reason_of
from mmsr.serving.facts import Facts

RECORD, CONFIG, CATALOGUE, CARD = "model.json", "config.json", "items.json", "README.md"
WEIGHTS, INPUTS = "model.safetensors", "inputs.safetensors"
ONNX = "model.onnx"
VERSION = 1
"""Version of the folder's layout."""


class FileHash(BaseModel):
    """What a file has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileHash:
        """Size and hash of the file at `path`; OSError if it cannot be read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(bytes=path.stat().st_size, sha256=digest)


class ModelRecord(BaseModel):
    """`model.json`: what the model is, and the hashes of the files that are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    mmsr: str
    """Version of mmsr that wrote it."""
    origin: str
    """Where the model comes from, in words."""
    facts: Facts
    files: dict[str, FileHash]

    @property
    def digest(self) -> str:
        """Hash that tells models apart: of the hashes of all files."""
        text = "".join(f"{name} {self.files[name].sha256}\n" for name in sorted(self.files))
        return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> ModelRecord:
    """Read the record of an exported model.

    Parameters
    ----------
    folder : folder of the model.

    Raises
    ------
    UserError : there is none, it is damaged, or a newer mmsr wrote it.
    """
    try:
        record = ModelRecord.model_validate_json((folder / RECORD).read_bytes())
    except OSError as error:
        raise UserError(f"no exported model in {str(folder)!r}: {reason_of(error)}") from None
    except ValidationError:
        raise damaged(folder, f"{RECORD} cannot be read") from None
    if record.version != VERSION:
        raise UserError(
            f"exported model {str(folder)!r} has layout {record.version}, and this version of mmsr "
            f"reads {VERSION}: it was written by mmsr {record.mmsr}, install that one"
        )
    return record


def check_files(folder: Path, record: ModelRecord, names: Collection[str]) -> None:
    """Check that files of an exported model are as they were written.

    Parameters
    ----------
    folder : folder of the model.
    record : its record.
    names : the files to check.

    Raises
    ------
    UserError : one is missing or differs.
    """
    for name in names:
        if name not in record.files:
            raise damaged(folder, f"{RECORD} does not know {name}")
        try:
            found = FileHash.of(folder / name)
        except OSError as error:
            raise damaged(folder, f"{name}: {reason_of(error)}") from None
        if found != record.files[name]:
            raise damaged(folder, f"{name} is not as it was written")


def damaged(folder: Path, what: str) -> UserError:
    """The error about a damaged folder; `what` says what is wrong with which file."""
    return UserError(
        f"exported model {str(folder)!r} is damaged: {what}; copy it again, or export it again "
        "with `mmsr model export`"
    )
