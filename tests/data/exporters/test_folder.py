"""The folder of an export: whole or not there, and nobody else's is replaced."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmsr.data import Dataset
from mmsr.data.closed import TRIAL
from mmsr.data.exporters import parquet
from mmsr.data.exporters.export import FORMATS, export
from mmsr.data.exporters.folder import drafting, replacing
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.paths import if_free


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_replaces_an_export_alone(
    to: str, imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, output = imported(texts=True), tmp_path / "deep" / "out"
    export(dataset, to, str(output))
    assert {"README.md", "mmsr-export.json"} < files(output).keys()
    before = files(output)
    with pytest.raises(UserError, match="earlier export: use --overwrite"):
        export(dataset, to, str(output))
    (output / "notes").mkdir()
    (output / "notes" / "mine.txt").write_text("kept nowhere else")
    (output / "linked").symlink_to(tmp_path)
    for theirs in ("linked", "notes/mine.txt"):
        with pytest.raises(UserError, match=f"holds '{theirs}', which the export did not write"):
            export(dataset, to, str(output), overwrite=True)
        (output / theirs).unlink()
    export(dataset, to, str(output), overwrite=True)
    assert files(output).keys() == before.keys()
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    other = tmp_path / "theirs"
    other.mkdir()
    export(dataset, to, str(other))  # it was empty
    (other / "mmsr-export.json").write_text("{}")
    with pytest.raises(UserError, match="is no export of mmsr"):
        export(dataset, to, str(other), overwrite=True)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match="is a file"):
        export(dataset, to, str(tmp_path / "file"), overwrite=True)


@pytest.mark.parametrize(
    "output", ["datasets/x", "held-out/shop", "held-out/shop/sub/..", "studies/x", "x", ".", ".."]
)
def test_no_export_goes_into_the_home_or_around_it(
    output: str, imported: Callable[..., Dataset], home: Path
) -> None:
    dataset = imported()
    with pytest.raises(UserError, match="in the home of mmsr or holds it"):
        export(dataset, "parquet", str(home / output), overwrite=True)


def test_an_export_that_has_come_to_hold_the_home_is_not_replaced(
    imported: Callable[..., Dataset],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = tmp_path / "keep"
    export(imported(), "parquet", str(keep))
    home.rename(keep / ".mmsr")
    home.symlink_to(keep / ".mmsr")
    for named in (home, keep / ".mmsr"):
        monkeypatch.setenv("MMSR_HOME", str(named))
        with pytest.raises(UserError, match="in the home of mmsr or holds it"):
            export(Dataset.open("shop"), "parquet", str(keep), overwrite=True)


@pytest.mark.parametrize("kept", ["datasets", "held-out", "studies"])
def test_linked_folders_of_the_home_are_the_home(
    kept: str, imported: Callable[..., Dataset], home: Path, tmp_path: Path
) -> None:
    dataset = imported()
    (home / kept).mkdir(exist_ok=True)
    (home / kept).rename(tmp_path / "large")
    (home / kept).symlink_to(tmp_path / "large")
    with pytest.raises(UserError, match="in the home of mmsr or holds it"):
        export(dataset, "parquet", str(tmp_path / "large" / "x"))


@pytest.mark.parametrize(
    "output", ["s3://bucket/x", "a\0b", "~nobody-of-this-name/x", ".", "..", ""]
)
def test_bad_folders(
    output: str,
    imported: Callable[..., Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "deep" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "here")
    with pytest.raises(UserError, match="--output is "):
        export(imported(), "parquet", output)


def test_an_unknown_format(imported: Callable[..., Dataset], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown format 'recbol': did you mean 'recbole'"):
        export(imported(), "recbol", str(tmp_path / "out"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_half_made_stays(
    error: BaseException,
    there: bool,
    imported: Callable[..., Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, output = imported(texts=True), tmp_path / "exports" / "out"
    if there:
        export(dataset, "parquet", str(output))
    before = files(tmp_path / "exports")

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(parquet, "write_features", fails)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        export(dataset, "parquet", str(output), overwrite=True)
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"cannot write {output}: No space left on device")
    assert files(tmp_path / "exports") == before
    assert {path.name for path in (tmp_path / "exports").iterdir()} == ({"out"} if there else set())


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "busy"), KeyboardInterrupt()])
def test_a_folder_that_is_not_replaced_stays(
    error: BaseException,
    imported: Callable[..., Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, output = imported(), tmp_path / "exports" / "out"
    export(dataset, "parquet", str(output))
    before, rename = files(output), Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        export(dataset, "recbole", str(output), overwrite=True)
    if isinstance(error, OSError):
        assert re.match("cannot write .*busy", str(caught.value))
    assert files(output) == before
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_two_that_replace_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, rename = tmp_path / "out", Path.rename
    output.mkdir()

    def late(path: Path, target: Path) -> Path:
        if path.name == "new":
            target.mkdir()
            (target / "theirs").touch()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(UserError, match="another command has written"), replacing(output) as new:
        (new / "ours").touch()
    assert files(tmp_path) == {"out/theirs": b""}


@pytest.mark.parametrize("taken", ["held", "removed"])
def test_a_new_draft_is_not_taken_for_one_that_was_left(
    taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command may find it before its lock is held, and hold that or remove both."""
    made, others, make = [], ExitStack(), tempfile.mkdtemp

    def late(**given: Any) -> str:
        made.append(Path(make(**given)))
        if len(made) == 1 and taken == "held":
            assert others.enter_context(if_free(made[0] / "lock"))
        elif len(made) == 1:
            made[0].rmdir()
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", late)
    with others, drafting(tmp_path / "out") as draft:
        assert taken == "removed" or draft == made[1]
        with drafting(tmp_path / "out"):
            assert draft.is_dir()


@pytest.mark.parametrize(
    ("name", "other"), [("a", "a.draft-b"), (f"{'é' * 110}1", f"{'é' * 110}2")]
)
def test_what_was_left_is_given_back_to_its_own_place(
    name: str, other: str, tmp_path: Path
) -> None:
    with drafting(tmp_path / other) as draft:
        pass
    (draft / "old").mkdir(parents=True)  # as a command leaves it that is killed
    (draft / "old" / "kept").touch()
    (draft / "lock").touch()
    with drafting(tmp_path / name):
        assert not (tmp_path / name).exists()
    with drafting(tmp_path / other):
        assert files(tmp_path / other) == {"kept": b""}
    assert [path.name for path in tmp_path.iterdir()] == [other]


def test_a_folder_that_cannot_be_written(
    imported: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = imported()

    def refused(**_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    with pytest.raises(UserError, match=r"cannot write .*Read-only file system"):
        export(dataset, "parquet", str(tmp_path / "out"), with_test=True)
    assert openings(dataset) == (), "test is opened when there is a place for it"


@pytest.mark.parametrize("to", FORMATS)
def test_test_is_opened_on_demand_and_on_record(
    to: str, imported: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = imported()
    done = export(dataset, to, str(tmp_path / "development"))
    assert openings(dataset) == ()
    assert list(done.record.interactions) == ["train", "valid"]
    done = export(dataset, to, str(tmp_path / "whole"), with_test=True)
    (opening,) = openings(dataset)
    assert (opening.who, opening.dataset) == ("mmsr data export", "shop")
    assert opening.why == f"export to {to}: {tmp_path / 'whole'}"
    counts = dataset.manifest.counts
    expected = (counts.train_targets, counts.valid_targets, counts.test_targets)
    assert tuple(done.record.targets.values()) == expected
    assert sum(done.record.interactions.values()) == counts.interactions
    monkeypatch.setenv(TRIAL, "trial 3")
    with pytest.raises(UserError, match="test is closed to trials"):
        export(dataset, to, str(tmp_path / "trial"), with_test=True)
    assert len(openings(dataset)) == 1
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize("damage", ["missing", "out of order"])
def test_damaged_moments_are_refused(
    damage: str, imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    import pyarrow as pa

    from mmsr.data.storage import list_column, write_arrow

    dataset = imported()
    file = dataset.path / "development.arrow"
    with pa.OSFile(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    values, offsets = (
        getattr(table["moments"].combine_chunks(), name).to_numpy()
        for name in ("values", "offsets")
    )
    moments = list_column(values[::-1], offsets)
    if damage == "missing":
        moments = list_column(values[:-1], offsets.clip(max=len(values) - 1))
    write_arrow(file, table.drop_columns("moments").append_column("moments", moments))
    with pytest.raises(UserError, match=r"moments .* import it again"):
        export(Dataset.open("shop"), "parquet", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_parquet_of_many_chunks(
    imported: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = imported(vectors=("image",))
    export(dataset, "parquet", str(tmp_path / "whole"))
    monkeypatch.setattr("mmsr.data.exporters.histories.slices.__defaults__", (7,))
    monkeypatch.setattr("mmsr.data.exporters.tables._NUMBERS", 9)
    export(dataset, "parquet", str(tmp_path / "chunks"))
    for file in ("interactions.parquet", "features/image.parquet"):
        assert pq.ParquetFile(tmp_path / "chunks" / file).num_row_groups > 3
        whole, chunks = (pq.read_table(tmp_path / name / file) for name in ("whole", "chunks"))
        assert whole.equals(chunks)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("vectors", [(), ("image", "video")])
def test_the_readme_names_files_that_are_there(
    to: str, vectors: tuple[str, ...], imported: Callable[..., Dataset], tmp_path: Path
) -> None:
    export(imported(vectors=vectors), to, str(tmp_path / "out"))
    readme = (tmp_path / "out" / "README.md").read_text()
    lists = [line for line in readme.splitlines() if line.startswith("- `")]
    named = set(re.findall(r"`([^` ]+)`", " ".join(lists))) - {".item"}
    named |= set(re.findall(r'"([^"]+\.yaml)"', readme))
    there = files(tmp_path / "out").keys()
    for name in named:
        pattern = re.sub(r"\{.*\}", "train", name).replace("MODALITY", "image")
        assert pattern in there, name
    assert ("MODALITY" in readme) == bool(vectors)
