"""Places in an object store behave like paths: on a folder treated as one, and on S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsr import paths
from mmsr.errors import UserError
from mmsr.remote import RemotePath, check_remote, on_this_machine, place, plain_name, size


@pytest.fixture(params=["file", "s3"])
def root(request, tmp_path):
    """An empty folder in a store of each kind."""
    if request.param == "file":
        (tmp_path / "store").mkdir()
        return RemotePath.parse(f"{(tmp_path / 'store').as_uri()}/")
    return RemotePath.parse(request.getfixturevalue("bucket"))


def test_what_is_uploaded_comes_back(root, tmp_path):
    (tmp_path / "a").write_bytes(b"\0some bytes")
    (root / "deep" / "a").upload(tmp_path / "a")
    assert (root / "deep" / "a").read_bytes() == b"\0some bytes"
    assert size(root / "deep" / "a") == 11
    copy = (root / "deep" / "a").download(tmp_path / "new" / "b")
    assert copy.read_bytes() == b"\0some bytes"


def test_folders_are_listed_by_pattern_and_copied_as_a_whole(root, tmp_path):
    for name in ("checkpoint_1", "checkpoint_2", "other"):
        for file in ("x", "y"):
            (tmp_path / file).write_text(name)
            (root / "trial" / name / file).upload(tmp_path / file)
    found = sorted((root / "trial").glob("checkpoint_*"))
    assert [folder.name for folder in found] == ["checkpoint_1", "checkpoint_2"]
    with on_this_machine(place(str(found[1]))) as folder:  # as a trial is told its checkpoint
        assert {path.name: path.read_text() for path in folder.iterdir()} == {
            "x": "checkpoint_2",
            "y": "checkpoint_2",
        }
    assert not folder.exists(), "the copy is gone"
    assert [p.name for p in found[0].download(tmp_path / "part", ["y"]).iterdir()] == ["y"]
    (found[0] / "x").unlink()
    assert [path.name for path in found[0].glob("*")] == ["y"]


def test_what_is_not_there_is_no_surprise(root):
    missing = root / "nothing"
    assert list(missing.glob("*")) == []
    assert not missing.is_file()
    missing.unlink(missing_ok=True)
    for action in (missing.read_text, missing.size, missing.unlink):
        with pytest.raises(FileNotFoundError):
            action()


def test_a_name_is_the_place_again(root):
    inner = root / "studies" / "a"
    assert place(str(inner)).key == inner.key
    assert inner.parent.name == "studies"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://host/folder", "give a folder, or one in an object store"),
        ("s3://a-bucket-that-is-not-there/x", "cannot be used"),
    ],
)
def test_a_home_that_cannot_be_used_is_told(uri, reason, bucket):
    with pytest.raises(UserError, match=reason) as told:
        check_remote(uri)
    assert "\n" not in str(told.value)


def test_each_machine_has_its_part_of_a_remote_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path))
    monkeypatch.setenv("MMSR_HOME", "s3://bucket/team/mmsr/?region=eu-west-1")
    assert paths.home() == tmp_path / "s3-bucket-team-mmsr-"
    assert str(paths.remote()) == "s3://bucket/team/mmsr?region=eu-west-1"
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "here"))
    assert paths.remote() is None
    assert paths.home() == tmp_path / "here"


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/etc/passwd", "../x", "a/b", "a\\b", "C:x", "a\0b", "a\nb", "CON"),
        *("nul.txt", "a.", "a ", " ", "x" * 256, "ä" * 128, "\udcff", 3, None),
    ],
)
def test_a_name_from_outside_is_a_plain_file_name_or_refused(name):
    with pytest.raises(UserError, match=r"^s3://b names a file .* no plain file name") as told:
        plain_name(name, "s3://b")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) <= 300


def test_an_odd_name_in_a_store_is_listed_and_not_copied(tmp_path):
    folder = tmp_path / "store" / "datasets"
    for name in ("shop", "a\\b"):
        (folder / name).mkdir(parents=True)
    (folder / "a\\b" / "c:x").write_text("")
    there = RemotePath.parse(folder.as_uri())
    assert sorted(path.name for path in there.glob("*")) == ["a\\b", "shop"]
    with pytest.raises(UserError, match="names a file 'c:x'"):
        (there / "a\\b").download(tmp_path / "copy")


@pytest.mark.parametrize("name", ["items.arrow", ".metadata.json", "ä b.txt", "a..b", "console"])
def test_a_plain_file_name_is_itself(name):
    assert plain_name(name, "s3://b") == name


@pytest.mark.parametrize(
    "uri", ["s3://AK:s3cr3t@b/x", "s3://b?secret_key=s3cr3t", "s3:/k:s3cr3t@b"]
)
def test_a_home_with_credentials_is_refused_before_it_is_used(uri, monkeypatch, tmp_path):
    monkeypatch.setenv("MMSR_COPIES", str(tmp_path))
    monkeypatch.setenv("MMSR_HOME", uri)
    for use in (paths.home, paths.remote, paths.searched, lambda: check_remote(uri)):
        with pytest.raises(UserError, match="MMSR_HOME") as told:
            use()
        assert "s3cr3t" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_what_was_recorded_is_found_in_a_moved_home(home, monkeypatch, tmp_path):
    place = home / "studies" / "a" / "ray"
    assert paths.recorded(place) == "$MMSR_HOME/studies/a/ray"
    assert paths.recorded(tmp_path / "x") == str(tmp_path / "x")
    old, text = str(place), paths.recorded(place)
    place.mkdir(parents=True)
    monkeypatch.setenv("MMSR_HOME", str(home.rename(tmp_path / "moved")))
    moved = tmp_path / "moved" / "studies" / "a" / "ray"
    assert paths.recalled(text) == paths.recalled(old) == moved
    assert paths.recalled("/not/there") == Path("/not/there")
