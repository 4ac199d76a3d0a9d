"""What files show by themselves of being whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from mmsr.data.catalogue.whole import damage_of
from mmsr.data.progress import Silent

from .formats.raw import packed, record, zipped

LINES = b"".join(b"%d\n" % n for n in range(20_000))


@pytest.fixture(params=["a.json.gz", "a.zip", "a.b"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.suffix == ".zip":
        return zipped(path, {"a/1": LINES, "a/2": b""})
    path.write_bytes(packed(LINES) if path.suffix == ".gz" else record(b"B000000001") * 3)
    return path


def test_a_whole_file_shows_nothing(whole: Path) -> None:
    assert damage_of(whole, whole.name, Silent()) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_file_is_found(whole: Path, share: float) -> None:
    content = whole.read_bytes()
    part = whole.with_name("part")
    part.write_bytes(content[: int(share * len(content))])
    assert damage_of(part, whole.name, Silent())


@pytest.mark.parametrize("name", ["a.json.gz", "a.zip"])
def test_a_changed_byte_is_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", LINES)
    else:
        path.write_bytes(packed(LINES))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert damage_of(path, name, Silent())


def test_other_formats_show_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(LINES[:-3])
    assert damage_of(tmp_path / "a.csv", "a.csv", Silent()) is None
