"""What a prepared data set says about itself: counts, splits, coverage and where it came from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmsr import paths
from mmsr.errors import UserError, reason_of
from mmsr.remote import plain_name

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
ITEM_IMAGES = "items/images"
"""Role of the image files that the table of items names, where no folder of images is given."""
MODALITY = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
"""What can name a modality; its vectors are in a file of that name."""
IN_PYTHON = ("import_tables",)
"""In place of the words of a command line: the tables were a Python program's."""
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Some = Annotated[int, Field(ge=1, lt=2**63)]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Modality = Annotated[str, Field(pattern=MODALITY)]
_FileName = Annotated[str, AfterValidator(lambda name: plain_name(name, "it"))]
"""A file's name; a manifest may come from an object store."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImportSettings(_Frozen):
    """Every choice besides the input files that decides what a prepared data set holds."""

    protocol: str = "ratio"
    """How histories are split: a name in `mmsr.data.splits.PROTOCOLS`."""
    core: Annotated[int, Field(ge=1)] = 5
    """Least interactions of every user and item that stays; 1 keeps all."""
    text: bool = True
    """Encode text columns as the modality `text`, unless text features are given."""
    text_from: tuple[str, ...] | None = None
    """Item columns that are encoded; None stands for all known text columns."""
    text_width: Annotated[int, Field(ge=2)] = 128
    """Most dimensions of encoded text, with the encoder `tfidf`."""
    text_encoder: str = "tfidf"
    """What encodes texts: a name in `mmsr.data.encoders.registry`, or an import path."""
    image_encoder: str | None = None
    """What encodes images, likewise; None leaves them out."""
    test_from: str | None = None
    """First moment of the test part (protocols `temporal`, `cold-items`); None stands for the last
    20 %."""
    columns: dict[str, str] = {}
    """Column names in the files by mmsr's names, e.g. ``{"user_id": "reviewerID"}``."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2023
    """Seed of the text encoder's randomised decomposition."""

    @classmethod
    def checked(cls, **values: object) -> ImportSettings:
        """Make settings from a user's options.

        Parameters
        ----------
        values : settings by name; what is left out gets its default.

        Raises
        ------
        UserError : a value is out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            option = name.replace("_", "-")
            reason = first["msg"].replace("Input", "it", 1)
            raise UserError(f"--{option} is {values[name]!r}: {reason}") from None


class InputFile(_Frozen):
    """One file that a data set was made from, or its image files taken together."""

    role: str
    """`interactions`, `items`, `features/<modality>`, `images` or `items/images`; of published
    files, e.g. `reviews`."""
    path: str
    sha256: _Hash
    bytes: _Count


class Dropped(_Frozen):
    """What the import left out, and the items that it kept without metadata."""

    duplicate_interactions: _Count = 0
    core_users: _Count = 0
    core_items: _Count = 0
    core_interactions: _Count = 0
    items_without_metadata: _Count = 0
    unused_metadata_rows: _Count = 0
    unused_vectors: dict[_Modality, _Count] = {}
    unencoded: dict[_Modality, _Count] = {}
    """Items whose text or image was given but gave no vector."""


class Provenance(_Frozen):
    """Where a data set came from."""

    inputs: tuple[InputFile, ...]
    settings: ImportSettings
    dropped: Dropped
    created_at: str
    created_by: str
    generator: str | None = None
    """The command that generated the inputs, where they were generated."""
    entry: str | None = None
    """Name of the public data set that the inputs are published files of, where they are."""
    given: tuple[str, ...] = ()
    """The words of the command line that name the inputs, where these are not an option for each;
    `IN_PYTHON` alone for tables in memory."""

    def differences(self, inputs: tuple[InputFile, ...], settings: ImportSettings) -> list[str]:
        """Name the inputs and settings that differ from those that made this data set.

        Parameters
        ----------
        inputs : compared by content; their paths do not matter.
        settings : compared one by one.

        Returns
        -------
        Roles of inputs and names of settings; none where nothing differs.
        """
        ours, theirs = (
            {file.role: file.sha256 for file in files} for files in (self.inputs, inputs)
        )
        roles = sorted(role for role in ours | theirs if ours.get(role) != theirs.get(role))
        names = ImportSettings.model_fields
        changed = [
            name for name in names if getattr(self.settings, name) != getattr(settings, name)
        ]
        return [*roles, *changed]

    def command(self, name: str) -> str:
        """The command that imports the data set again.

        Parameters
        ----------
        name : name of the data set.
        """
        if self.generator is not None:
            return f"mmsr data demo --name {name} --overwrite, with the options of {self.generator}"
        if self.given == IN_PYTHON:
            return f"mmsr.data.import_tables({name!r}, …, overwrite=True), with the same tables"
        if self.entry is not None:
            words = ["mmsr", "data", "prepare", self.entry, "--as", name]
            folder = str(Path(self.inputs[0].path).parent)
            if folder != paths.recorded(paths.downloads() / self.entry):
                words += ["--source", folder]
        else:
            words = ["mmsr", "data", "import", name, *self.given]
            for file in self.inputs:
                option, _, modality = file.role.partition("/")
                if file.role == ITEM_IMAGES or (self.given and option != "images"):
                    continue
                words += [f"--{option}", f"{modality}={file.path}" if modality else file.path]
        for key, value in self.settings.model_dump(exclude_defaults=True).items():
            words += (
                ["--no-text"] if key == "text" else [f"--{key.replace('_', '-')}", shown(value)]
            )
        return shlex.join([*words, "--overwrite"])


def shown(value: object) -> str:
    """A setting of an import as the command line takes it."""
    if isinstance(value, dict):
        return ",".join(f"{name}={column}" for name, column in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Counts(_Frozen):
    """Size of a data set and of its splits."""

    users: _Some
    items: _Some
    interactions: _Some
    train_targets: _Count
    valid_targets: _Count
    test_targets: _Count

    @property
    def mean_history(self) -> float:
        """Interactions per user."""
        return self.interactions / self.users

    @property
    def sparsity(self) -> float:
        """Share of the user × item matrix that is empty (repeats count)."""
        return 1 - self.interactions / (self.users * self.items)


class Coverage(_Frozen):
    """One modality: how many items have a vector, its width, and where it comes from."""

    items: _Some
    width: _Some
    source: str
    features_hash: _Hash | None = None
    """See `mmsr.data.storage.features_hash`; earlier versions of mmsr did not keep it."""


class Manifest(_Frozen):
    """The content of `manifest.json`."""

    schema_version: int = SCHEMA_VERSION
    content_hash: _Hash
    counts: Counts
    protocol: str
    valid_from: str | None = None
    """First moment of validation (protocols `temporal`, `cold-items`)."""
    test_from: str | None = None
    """First moment of test (protocols `temporal`, `cold-items`)."""
    history_lengths: dict[_Some, _Some]
    """Number of users by length of their whole history."""
    modalities: dict[_Modality, Coverage]
    development_file: _FileName = "development.arrow"
    provenance: Provenance

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """Check that the counts are those of the histories."""
        counts, lengths = self.counts, self.history_lengths
        if sum(lengths.values()) != counts.users:
            raise ValueError("history_lengths has another number of users than counts")
        if sum(n * users for n, users in lengths.items()) != counts.interactions:
            raise ValueError("history_lengths has another number of interactions than counts")
        if any(coverage.items > counts.items for coverage in self.modalities.values()):
            raise ValueError("modalities have more items than counts")
        return self

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a prepared data set.

        Parameters
        ----------
        folder : folder of the data set.

        Raises
        ------
        UserError : it is unreadable, damaged, or of another schema version.
        """
        path = folder / MANIFEST_FILE
        advice = f"import {folder.name!r} again with --overwrite"
        try:
            tree = json.loads(path.read_bytes())
            json.dumps(tree, ensure_ascii=False).encode()
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason_of(error)}; {advice}") from None
        except UnicodeEncodeError:
            raise UserError(f"{path} is damaged: it has half a character; {advice}") from None
        except (ValueError, RecursionError):
            raise UserError(f"{path} is damaged: it is not JSON; {advice}") from None
        version = tree.get("schema_version") if isinstance(tree, dict) else None
        if version != SCHEMA_VERSION:
            raise UserError(
                f"data set {folder.name!r} has schema version {repr(version)[:20]}, "
                f"this mmsr reads {SCHEMA_VERSION}; {advice}"
            )
        tree.pop("test_file", None)  # earlier versions named the file of the test part here
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])[:80]
            where = where if where.isprintable() else repr(where)
            reason = first["msg"].removeprefix("Value error, ")
            problem = f"{where}: {reason}" if where else reason
            what = f"{MANIFEST_FILE} of {folder.name!r}"
            raise UserError(f"{what} is damaged: {problem}; {advice}") from None

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into `folder`."""
        (folder / MANIFEST_FILE).write_text(self.model_dump_json(indent=1) + "\n")
