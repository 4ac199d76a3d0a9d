"""All or nothing: interrupted, concurrent and hindered imports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mmsr.data import Dataset, Manifest, Sources, catalog, prepare
from mmsr.data.progress import Advance
from mmsr.errors import UserError

WriteTable = Callable[..., Path]


@pytest.fixture
def sources(purchases: dict[str, list[Any]], write_table: WriteTable) -> Sources:
    return Sources(write_table("rows.csv", purchases))


@pytest.fixture
def other_sources(purchases: dict[str, list[Any]], write_table: WriteTable) -> Sources:
    rows = {**purchases, "item_id": [f"{item}*" for item in purchases["item_id"]]}
    return Sources(write_table("others.csv", rows))


class StopsAt:
    """A reporter that is interrupted when a stage begins."""

    def __init__(self, title: str) -> None:
        self.title = title

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Advance]:
        if title == self.title:
            raise KeyboardInterrupt
        yield lambda amount: None

    def note(self, message: str) -> None: ...


def left_behind(home: Path) -> set[str]:
    return {path.name for path in (home / "datasets").iterdir()} - {".d.lock"}


@pytest.mark.parametrize("stage", ["hashing inputs", "reading interactions", "writing"])
def test_interrupted_import_leaves_nothing(stage: str, home: Path, sources: Sources) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare("d", sources, reporter=StopsAt(stage))
    assert left_behind(home) == set()
    assert prepare("d", sources).fresh


@pytest.mark.parametrize("stage", ["hashing inputs", "reading interactions", "writing"])
def test_interrupted_overwrite_keeps_the_old(
    stage: str, home: Path, sources: Sources, other_sources: Sources
) -> None:
    before = prepare("d", sources).dataset
    with pytest.raises(KeyboardInterrupt):
        prepare("d", other_sources, overwrite=True, reporter=StopsAt(stage))
    assert left_behind(home) == {"d"}
    assert Dataset.open("d").manifest == before.manifest
    assert not prepare("d", sources).fresh


def test_failure_at_the_very_end_keeps_the_old(
    home: Path, sources: Sources, other_sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("d", sources)

    def full(manifest: Manifest, folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Manifest, "write", full)
    with pytest.raises(UserError, match=r"cannot write .* No space left on device; MMSR_HOME"):
        prepare("d", other_sources, overwrite=True)
    assert left_behind(home) == {"d"}


def test_what_a_killed_import_left_is_tidied(home: Path, sources: Sources) -> None:
    draft = home / "datasets" / ".d.draft-killed"
    draft.mkdir(parents=True)
    (draft / "development.arrow").write_bytes(b"half")
    assert catalog.names() == []
    prepare("d", sources)
    assert left_behind(home) == {"d"}


def test_a_replacement_killed_between_two_renames_is_undone(
    home: Path, sources: Sources, other_sources: Sources
) -> None:
    folder = prepare("d", sources).dataset.path
    folder.rename(folder.with_name(".d.old"))
    assert not prepare("d", sources).fresh
    assert left_behind(home) == {"d"}
    (folder.with_name(".d.old")).mkdir()
    prepare("d", other_sources, overwrite=True)
    assert left_behind(home) == {"d"}


def test_open_data_survive_being_replaced(
    home: Path, sources: Sources, other_sources: Sources
) -> None:
    dataset = prepare("d", sources).dataset
    train = dataset.train()
    before = train.items.copy()
    prepare("d", other_sources, overwrite=True)
    assert (train.items == before).all()


def test_second_import_waits_and_finds_the_first_ones_work(home: Path, sources: Sources) -> None:
    waiting = threading.Event()

    class Listens(StopsAt):
        def note(self, message: str) -> None:
            assert "waiting for another import of 'd'" in message
            waiting.set()

    fresh: list[bool] = []
    (home / "datasets").mkdir(parents=True)
    with FileLock(home / "datasets" / ".d.lock"):
        thread = threading.Thread(
            target=lambda: fresh.append(prepare("d", sources, reporter=Listens("")).fresh)
        )
        thread.start()
        assert waiting.wait(30)
        assert left_behind(home) == set()
    thread.join(30)
    assert fresh == [True]
    assert not prepare("d", sources).fresh


@pytest.mark.parametrize("content", ["file", "folder"])
def test_what_is_no_data_set_is_never_replaced(content: str, home: Path, sources: Sources) -> None:
    target = home / "datasets" / "d"
    if content == "folder":
        target.mkdir(parents=True)
        (target / "precious.txt").write_text("mine")
    else:
        target.parent.mkdir(parents=True)
        target.write_text("mine")
    with pytest.raises(UserError, match="is in the way and is no data set"):
        prepare("d", sources, overwrite=True)
    assert (target / "precious.txt" if content == "folder" else target).read_text() == "mine"


def test_home_that_is_a_file(
    tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write to .*Not a directory; MMSR_HOME"):
        prepare("d", sources)
    with pytest.raises(UserError, match=r"cannot read .*Not a directory; MMSR_HOME"):
        catalog.names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged: it is not JSON; import 'd' again with --overwrite"),
        ("[]", "has schema version None, this mmsr reads 1"),
        ('{"schema_version": 7}', "has schema version 7, this mmsr reads 1"),
        ('{"schema_version": 1}', "damaged: content_hash: Field required"),
    ],
)
def test_damaged_manifest(text: str, message: str, home: Path, sources: Sources) -> None:
    folder = prepare("d", sources).dataset.path
    (folder / "manifest.json").write_text(text)
    for use in (lambda: Dataset.open("d"), lambda: prepare("d", sources)):
        with pytest.raises(UserError, match=message):
            use()
    assert prepare("d", sources, overwrite=True).fresh


def test_damaged_arrow_file(home: Path, sources: Sources) -> None:
    folder = prepare("d", sources).dataset.path
    (folder / "development.arrow").write_bytes(b"no arrow file")
    with pytest.raises(UserError, match=r"cannot read .*development\.arrow.*--overwrite"):
        Dataset.open("d").train()
    (folder / "development.arrow").unlink()
    with pytest.raises(UserError, match=r"development\.arrow: No such file or directory"):
        Dataset.open("d").train()


def test_names_lists_data_sets_alone(home: Path, sources: Sources) -> None:
    assert catalog.names() == []
    prepare("b", sources)
    prepare("a", sources)
    (home / "datasets" / "junk").mkdir()
    (home / "datasets" / "file").touch()
    assert catalog.names() == ["a", "b"]
    with pytest.raises(
        UserError, match=f"unknown data set 'junk'; known: a, b in {home}; run `mmsr data demo`"
    ):
        catalog.find("junk")
