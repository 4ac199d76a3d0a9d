"""The files of a study's folder that name the study, rewritten when it is renamed.

Each is replaced as a whole, and one that was rewritten before stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsr import paths
from mmsr.errors import UserError
from mmsr.study.storage.folder import StudyFolder
from mmsr.tracking.journal.file import JOURNAL, pack, unpack
from mmsr.tracking.journal.refused import REFUSED

_TABLES = (".json", ".md", ".users.safetensors", ".png", ".html")
"""Ends of the files of a reproduced table or figure, which are named after its study."""
_RECORDS = frozenset(
    f"{name}.json" for name in ("study", "finalized", "driver", "tested", "knockouts")
)
"""Files that every study's folder may hold, whatever the study is called."""
_STUDY_TAG = "mmsr.study"


def hash_of_record(name: str) -> str | None:
    """Hash of a study's record, damaged or not; None if there is none.

    Parameters
    ----------
    name : name of the study.
    """
    try:
        return hashlib.sha256((StudyFolder(name).path / "study.json").read_bytes()).hexdigest()
    except OSError:
        return None


def check_can_rename(folder: StudyFolder, new: str) -> None:
    """Refuse a name under which a file of the study's folder would replace another one.

    Parameters
    ----------
    folder : the study's folder.
    new : the name that the study is to have.

    Raises
    ------
    UserError : a record has that name, or there is such a file.
    """
    if f"{new}.json" in _RECORDS:
        raise UserError(f"{new}.json is the name of a study's own record: choose another name")
    for path in (folder.path / f"{new}{end}" for end in _TABLES):
        if os.path.lexists(path):
            raise UserError(f"{path} is in the way: move it away, or choose another name")


def rewrite(folder: StudyFolder, new: str) -> None:
    """Let all files of a study's folder name the study anew.

    Parameters
    ----------
    folder : the folder, under its old name.
    new : the name that the study is to have.

    Raises
    ------
    OSError : a file cannot be read or written.
    """
    old = folder.name
    tables = _tables(folder.path, old)
    for path in (*_results(folder.path), *(path for path in tables if path.suffix == ".json")):
        _rewrite_json(path, old, new)
    for name in (JOURNAL, REFUSED):
        _rewrite_events(folder.path / name, folder, new)
    for path in tables:
        path.rename(path.with_name(new + path.name.removeprefix(old)))
    for path in sorted(folder.path.glob("*/study.json")):  # parts: their names follow the study's
        _rewrite_json(path, old, new)
    _rewrite_json(folder.path / "study.json", old, new)


def command_for(command: str, old: str, new: str) -> str:
    """The command that resumes a study, once it is renamed.

    Parameters
    ----------
    command : the command so far.
    old, new : the names; a part's command names its study.
    """
    words = shlex.split(command)
    given = [place for place, word in enumerate(words) if word.partition("=")[0] == "--name"]
    if not given and "finalize" in words:  # `mmsr study finalize OLD`
        return shlex.join(new if word == old else word for word in words)
    for place in reversed(given):
        del words[place : place + (1 if "=" in words[place] else 2)]
    return shlex.join([*words, "--name", new])


def _results(folder: Path) -> Iterator[Path]:
    if (folder / "finalized.json").exists():
        yield folder / "finalized.json"
    yield from folder.glob("robustness/**/*.json")


def _tables(folder: Path, old: str) -> list[Path]:
    found = [folder / f"{old}{end}" for end in _TABLES]
    return [path for path in found if path.name not in _RECORDS and path.exists()]


def _rewrite_json(path: Path, old: str, new: str) -> None:
    try:
        tree = json.loads(path.read_bytes())
    except ValueError:  # damaged: whoever reads it says so
        return
    if isinstance(tree, dict) and (changed := _renamed(tree, old, new)) != tree:
        text = json.dumps(changed, indent=1, ensure_ascii=False)
        paths.write_whole(path, f"{text}\n".encode(), durably=True)


def _renamed(tree: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """A record, or a table, with the new name in the places that hold a study's."""
    changed = dict(tree)
    for key in ("name", "study"):
        if isinstance(name := tree.get(key), str) and (name == old or name.startswith(f"{old}/")):
            changed[key] = new + name.removeprefix(old)
    if isinstance(tree.get("result"), dict):
        changed["result"] = _renamed(tree["result"], old, new)
    if "uid" in tree and isinstance(tree.get("command"), str) and changed != tree:
        changed["command"] = command_for(tree["command"], old, new)
    return changed


def _rewrite_events(path: Path, folder: StudyFolder, new: str) -> None:
    """Let the events of a journal name the study, and its folder, anew; damage stays as it is."""
    if not path.exists():
        return
    draft = path.with_suffix(".draft")
    with path.open("rb") as source, draft.open("wb") as target:
        for line in source:
            records = list(unpack(line))
            if len(records) == 1 and records[0][0] == 0 and folder.name.encode() in line:
                _, number, data = records[0]
                tree = json.loads(data)
                _rename_in_event(tree.get("event", tree), folder, new)
                text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
                target.write(pack(number, text.encode()))
            else:
                target.write(line)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)


def _rename_in_event(event: dict[str, Any], folder: StudyFolder, new: str) -> None:
    if event.get("name") == f"study {folder.name}":
        event["name"] = f"study {new}"
    if (tags := event.get("tags")) and tags.get(_STUDY_TAG) == folder.name:
        tags[_STUDY_TAG] = new
    if (named := event.get("folder")) is not None:
        place = paths.recalled(named)
        if place.is_relative_to(folder.path):
            moved = folder.path.with_name(new) / place.relative_to(folder.path)
            event["folder"] = paths.recorded(moved)
