"""What `fetch` accepts, files from a folder, and the record of the first download."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from mmsr.data.catalogue.entries import entry
from mmsr.data.catalogue.fetch import fetch
from mmsr.data.catalogue.files import verified
from mmsr.data.progress import Silent
from mmsr.errors import UserError

from .server import CONTENT, OTHER, REVIEWS, files, publish, sha256

REVIEWS_OF_TOYS = {"names": ["toys"], "roles": ["reviews"]}


class Notes(Silent):
    """A reporter that keeps notes and titles."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def stage(self, title, total=None):
        self.lines.append(title)
        yield lambda amount: None

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the published files of Toys."""
    path = tmp_path / "my files"
    path.mkdir()
    for name, content in (
        (REVIEWS, CONTENT),
        ("meta_Toys_and_Games.json.gz", OTHER),
        ("image_features_Toys_and_Games.b", CONTENT[:16_394]),
    ):
        (path / name).write_bytes(content)
    return path


def test_files_of_a_folder_are_linked(folder, home):
    found = fetch(["toys"], source=str(folder))
    assert [one.file.role for one in found] == ["reviews", "metadata", "images"]
    for one in found:
        assert one.fresh
        assert one.path == home / "downloads" / "toys" / one.file.name
        assert one.path.samefile(folder / one.file.name)
    assert not any(one.fresh for one in fetch(["toys"], source=str(folder)))


def test_files_of_another_file_system_are_copied(folder, home, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    reporter = Notes()
    [found] = fetch(**REVIEWS_OF_TOYS, source=str(folder), reporter=reporter)
    assert found.path.read_bytes() == CONTENT
    assert not found.path.samefile(folder / REVIEWS)
    assert reporter.lines == [
        f"copying {REVIEWS} (0.7 MB)",
        f"checking {REVIEWS} (0.7 MB)",
        f"unpacking {REVIEWS} (0.7 MB) to test it",
    ]


def test_a_link_in_the_folder_is_followed(folder, home):
    (folder / REVIEWS).rename(folder / "elsewhere")
    (folder / REVIEWS).symlink_to("elsewhere")
    [found] = fetch(**REVIEWS_OF_TOYS, source=str(folder))
    (folder / REVIEWS).unlink()
    assert found.path.read_bytes() == CONTENT


def test_a_wrong_file_of_a_folder_stays_where_it_was(folder, target, site, monkeypatch):
    publish(site, monkeypatch, checksum=sha256(OTHER))
    with pytest.raises(UserError, match="the catalogue says sha256:"):
        fetch(["toys"], source=str(folder))
    assert files(target.parent) == set()
    assert (folder / REVIEWS).read_bytes() == CONTENT


def test_a_link_that_was_left_is_not_written_through(folder, get, target):
    target.parent.mkdir(parents=True)
    os.link(folder / "meta_Toys_and_Games.json.gz", target.with_name(f"{REVIEWS}.part"))
    assert get().read_bytes() == CONTENT
    assert (folder / "meta_Toys_and_Games.json.gz").read_bytes() == OTHER


def test_a_copy_that_cannot_be_finished_leaves_nothing(folder, target, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)

    class Full(Notes):
        @contextmanager
        def stage(self, title, total=None):
            yield refuse

    with pytest.raises(UserError, match=rf"^cannot copy {REVIEWS} to .*that you can write to"):
        fetch(**REVIEWS_OF_TOYS, source=str(folder), reporter=Full())
    assert files(target.parent) == set()


def test_a_folder_may_be_that_of_the_downloads(folder, home):
    fetch(["toys"], source=str(folder))
    again = fetch(["toys"], source=str(home / "downloads" / "toys"))
    assert not any(one.fresh for one in again)


def test_md5_is_known_too(folder, home, site, monkeypatch):
    publish(site, monkeypatch, checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    [found] = fetch(["toys"], source=str(folder))
    assert found.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["toy"]}, "unknown public data set 'toy': did you mean 'toys'"),
        ({"names": ["toys", "bauty"]}, "did you mean 'beauty'"),
        ({"names": ["toys"], "roles": ["image"]}, "did you mean 'images'"),
        ({"names": ["toys", "ml-1m"], "roles": ["images"]}, "unknown file of 'ml-1m' 'images'"),
        ({"names": ["toys"], "source": "no/such/folder"}, "is no folder: give one"),
        ({"names": ["toys"], "source": "s3://bucket/folder"}, "no URL of HTTP"),
        ({"names": ["toys"], "source": "http://"}, "source is no URL"),
        ({"names": ["toys"], "source": "http://host/?a=b"}, "source is no URL"),
        (
            {"names": ["toys", "toys-2018"], "source": "http://127.0.0.1:9"},
            "both have a file meta_Toys_and_Games.json.gz",
        ),
    ],
    ids=str,
)
def test_bad_input_is_one_error_before_anything_is_fetched(arguments, message, home):
    with pytest.raises(UserError, match=message):
        fetch(**arguments)
    assert not (home / "downloads").exists()


def test_a_folder_without_the_file_is_one_error(tmp_path, home):
    with pytest.raises(UserError, match=f"no file {REVIEWS} in {tmp_path}"):
        fetch(["toys"], source=str(tmp_path))


def test_downloads_that_cannot_be_written_are_one_error(folder, home):
    home.mkdir(exist_ok=True)
    (home / "downloads").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*/downloads/toys: .*MMSR_HOME"):
        fetch(["toys"], source=str(folder))


def test_two_processes_take_turns(folder, target):
    target.parent.mkdir(parents=True)
    lock = FileLock(target.parent.with_name(".toys.lock"))
    lock.acquire()

    class Release(Notes):
        def note(self, message: str) -> None:
            super().note(message)
            lock.release()

    reporter = Release()
    fetch(**REVIEWS_OF_TOYS, source=str(folder), reporter=reporter)
    assert reporter.lines[0] == "waiting for another process that fetches 'toys' …"
    assert target.read_bytes() == CONTENT


def test_a_later_download_must_equal_the_first(get, site, target):
    get().unlink()
    site.files[REVIEWS] = OTHER
    for _ in range(2):
        with pytest.raises(UserError, match=rf"kept: if it is right, remove {REVIEWS}\.sha256"):
            get()
        part = target.with_name(f"{REVIEWS}.part")
        assert part.read_bytes() == OTHER
        assert len(site.requests) == 2
    target.with_name(f"{REVIEWS}.sha256").unlink()
    assert get().read_bytes() == OTHER
    assert len(site.requests) == 2


def test_a_kept_download_that_is_wrong_gives_way(get, site, target):
    get().unlink()
    site.files[REVIEWS] = OTHER
    with pytest.raises(UserError, match=r"else the \.part"):
        get()
    target.with_name(f"{REVIEWS}.part").unlink()
    site.files[REVIEWS] = CONTENT
    assert get().read_bytes() == CONTENT
    assert files(target.parent) == {REVIEWS, f"{REVIEWS}.sha256"}


def test_half_a_first_download_is_refused(get, site, target):
    site.files[REVIEWS] = CONTENT[:350_000]
    with pytest.raises(UserError, match=r"\.gz\.part is cut or .*it was removed"):
        get()
    assert files(target.parent) == set()
    site.files[REVIEWS] = CONTENT
    assert get().read_bytes() == CONTENT


def test_a_published_checksum_overrules_the_record(get, site, target, monkeypatch):
    get().unlink()
    site.files[REVIEWS] = OTHER
    publish(site, monkeypatch, checksum=sha256(OTHER))
    assert get().read_bytes() == OTHER
    record = target.with_name(f"{REVIEWS}.sha256").read_text()
    assert record.split()[0] == hashlib.sha256(OTHER).hexdigest()


def test_the_right_file_by_hand_beside_a_wrong_record_is_told_what_to_do(get, target):
    get()
    target.write_bytes(OTHER)
    with pytest.raises(UserError, match=r"is right, remove its \.sha256"):
        get()


def test_what_was_damaged_on_disk_is_found(get, target):
    get()
    target.write_bytes(CONTENT[:-1] + b"?")
    toys = entry("toys")
    with pytest.raises(UserError, match=r"remove it and run `mmsr data fetch toys`"):
        get()
    with pytest.raises(UserError, match=r"remove it and run `mmsr data fetch toys`"):
        verified(toys, toys.files[0], Silent())


def test_what_was_put_there_by_hand_is_recorded(target):
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    toys = entry("toys")
    assert verified(toys, toys.files[0], Silent()) == target
    record = target.with_name(f"{REVIEWS}.sha256").read_text()
    assert record.split() == [hashlib.sha256(CONTENT).hexdigest(), REVIEWS]
    with pytest.raises(UserError, match="run `mmsr data fetch toys`"):
        verified(toys, toys.files[1], Silent())


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"abc  file\n", b"0" * 64 + b"\n"])
def test_a_record_that_is_none_is_one_error(get, target, text):
    get().unlink()
    target.with_name(f"{REVIEWS}.sha256").write_bytes(text)
    with pytest.raises(UserError, match=r"no line of `sha256sum`: remove it"):
        get()
