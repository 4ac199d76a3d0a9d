"""What other libraries keep in a file or folder: found, and told apart by what is in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mmsr.data.importers.foreign.arrays import Arrays
from mmsr.data.importers.foreign.atomic import Atomic
from mmsr.data.importers.foreign.parts import WILD
from mmsr.data.importers.foreign.sequences import Sequences
from mmsr.data.importers.readers.formats import FORMATS
from mmsr.data.importers.readers.tables import column_names, listed
from mmsr.data.importers.sources import Table
from mmsr.errors import UserError, unknown

LAYOUTS = {
    "recbole": "RecBole's atomic files: NAME.inter, and NAME.item where it is there",
    "mmrec": "a folder of MMRec: NAME.inter, and MODALITY_feat.npy by the numbers of items",
    "rectools": "a table of RecTools: user_id, item_id, weight, datetime",
    "sequences": "a line for each user: its id, and those of its items in the order of time",
}
"""How files of other libraries are laid out, by name."""
_NO_FEATURES = (".inter", ".user", ".kg", ".link", ".net")
"""Atomic files that describe no items."""
_FEATURES = "_feat.npy"
_RECTOOLS = {"timestamp": "datetime"}


@dataclass(frozen=True)
class Brought:
    """The tables that a file or folder holds.

    Attributes
    ----------
    interactions, items, features : see `Sources`; `interactions` is None before it is known.
    columns : column names in the tables by mmsr's names.
    """

    interactions: Table | None
    items: Table | None = None
    features: dict[str, Table] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


def bring(text: str, layout: str | None) -> Brought:
    """Find the tables of another library.

    Parameters
    ----------
    text : a file or folder on this machine.
    layout : a key of `LAYOUTS`; None to tell by what is there.

    Raises
    ------
    UserError : the layout is unknown or not plain, or the files do not have it.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown("format", layout, LAYOUTS)
    path = Path(text)
    if os.path.isdir(text):
        if layout in ("rectools", "sequences"):
            raise UserError(f"{path} is a folder: --format {layout} is for a file")
        return _atomic(_only_inter(path), layout)
    if not os.path.exists(text):
        pattern = any(character in text for character in WILD)
        hint = "give one file or folder to --from" if pattern else "check the name"
        raise UserError(f"no such file or folder: {path}: {hint}")
    if layout == "sequences" or (layout is None and _is_text(path)):
        return Brought(Sequences(path))
    if path.suffix.lower() == ".inter" or layout in ("recbole", "mmrec"):
        return _atomic(path, layout)
    return _rectools(path, layout)


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith((".txt", ".txt.gz"))


def _rectools(path: Path, layout: str | None) -> Brought:
    names = path.name.lower().removesuffix(".gz")
    if not names.endswith(FORMATS):
        raise UserError(f"{path} has no format that is plain: give --format {', '.join(LAYOUTS)}")
    found = column_names(path)
    if "datetime" in found and "timestamp" not in found:
        return Brought(path, columns=_RECTOOLS)
    if layout is not None:
        raise UserError(
            f"{path} is no table of RecTools, which has the column 'datetime': known: "
            f"{listed(found)}; give other tables by --interactions, with --columns"
        )
    raise UserError(f"{path} is a table of no other library: give it by --interactions")


def _only_inter(folder: Path) -> Path:
    """The file of interactions in a folder."""
    found = sorted(folder.glob("*.inter"))
    stems = {path.stem for path in found}
    # NAME.train.inter is a part of NAME.inter.
    found = [path for path in found if path.stem.rpartition(".")[0] not in stems]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:6])
        raise UserError(f"{folder} has several tables of interactions: give one of {names}")
    raise UserError(
        f"{folder} has no .inter file, as folders of RecBole and MMRec have: give tables by "
        "--interactions, --items and --features"
    )


def _atomic(path: Path, layout: str | None) -> Brought:
    """The tables of RecBole or MMRec around a file of interactions."""
    inter = Atomic(path)
    inter.check()
    layout = layout or ("recbole" if inter.typed else "mmrec")
    if inter.typed != (layout == "recbole"):
        right = "recbole" if inter.typed else "mmrec"
        raise UserError(
            f"{path} is not laid out as {layout}: its header {listed(list(inter.columns))} names "
            f"{'types' if inter.typed else 'no types'}: give --format {right}"
        )
    features: dict[str, Table] = {}
    if layout == "mmrec":
        for file in sorted(path.parent.glob(f"*{_FEATURES}")):
            features[file.name.removesuffix(_FEATURES)] = Arrays(file)
        return Brought(inter, features=features)
    items = path.with_suffix(".item")
    for file in sorted(path.parent.iterdir()):
        if file.stem == path.stem and file.suffix not in _NO_FEATURES and _has_vectors(file):
            table = Atomic(file)
            table.check()
            for modality, column in table.modalities().items():
                features[modality] = Atomic(file, column)
    return Brought(inter, _items(items), features)


def _items(path: Path) -> Atomic | None:
    """The table of items, if there is one that has more than ids and vectors."""
    if not path.is_file():
        return None
    table = Atomic(path)
    kinds = [kind for _, kind in table.columns.values() if kind != "float_seq"]
    return table if len(kinds) > 1 else None


def _has_vectors(path: Path) -> bool:
    """Whether the header of a file names a column of vectors."""
    try:
        with path.open("rb") as file:
            return b":float_seq" in file.readline(1 << 16)
    except OSError:
        return False
