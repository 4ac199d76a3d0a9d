"""Downloads that cannot succeed: one error each, and nothing stays that is not good for more."""

from __future__ import annotations

import resource
import shutil
import socket

import pytest

from mmsr.errors import UserError

from .server import CONTENT, OTHER, REVIEWS, Fault, files, publish, sha256


def test_a_server_that_stays_busy_is_given_up(get, site, pauses, target):
    site.faults = [Fault(cut=1000), *[Fault(status=503)] * 20]
    with pytest.raises(UserError, match=r"503 .*6 times in a row.*--source"):
        get()
    assert pauses == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert target.with_name(f"{REVIEWS}.part").read_bytes() == CONTENT[:1000]


def test_a_server_that_asks_for_an_hour_is_given_up(get, site, pauses):
    site.faults = [Fault(status=503, headers={"Retry-After": "3600"})]
    with pytest.raises(UserError, match="asks to wait 1 h 00 min"):
        get()
    assert pauses == []


def test_a_pause_without_end_is_given_up(get, site, pauses):
    site.faults = [Fault(status=503, headers={"Retry-After": "9" * 400})]
    with pytest.raises(UserError, match="asks to wait "):
        get()
    assert pauses == []


def test_a_mixture_that_no_validator_shows_is_refused(get, site, target, monkeypatch):
    def change() -> None:
        site.files[REVIEWS] = OTHER

    site.validator = None
    publish(site, monkeypatch, checksum=sha256(CONTENT))
    site.faults = [Fault(cut=300_000, then=change)]
    with pytest.raises(UserError, match=r"the catalogue says sha256:.*removed"):
        get()
    assert files(target.parent) == set()


def test_a_length_that_never_comes_ends_in_an_error(get, site, pauses, target):
    site.faults = [Fault(length=800_000)] * 40
    with pytest.raises(UserError, match="6 times in a row"):
        get()
    assert len(site.requests) < 10
    assert not target.exists()


def test_a_length_that_is_not_the_published_one_is_refused_at_once(get, site, monkeypatch):
    publish(site, monkeypatch, size=len(CONTENT))
    site.faults = [Fault(length=600_000)]
    with pytest.raises(UserError, match=r"600,000 bytes there, and the catalogue says 700,000"):
        get()


def test_a_length_that_is_too_short_is_found_by_the_checksum(get, site, target, monkeypatch):
    publish(site, monkeypatch, checksum=sha256(CONTENT))
    site.faults = [Fault(length=600_000)]
    with pytest.raises(UserError, match="the catalogue says sha256:"):
        get()
    assert files(target.parent) == set()
    assert get().read_bytes() == CONTENT


def test_without_a_length_an_end_may_be_a_cut(get, site, monkeypatch):
    site.faults = [Fault(length=-1)]
    with pytest.raises(UserError, match="does not say how long"):
        get()
    publish(site, monkeypatch, checksum=sha256(CONTENT))
    site.faults = [Fault(length=-1)]
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [{"Content-Type": "text/html; charset=utf-8"}, {}])
def test_a_web_page_is_no_data(get, site, target, kind):
    site.files[REVIEWS] = b"\n<!DOCTYPE html><title>Log in</title>"
    site.faults = [Fault(headers=kind)]
    with pytest.raises(UserError, match=r"a web page in its place.*--source"):
        get()
    assert files(target.parent) == set()


def test_a_web_page_in_between_leaves_what_has_come(get, site):
    site.faults = [Fault(cut=300_000), Fault(no_ranges=True, headers={"Content-Type": "text/html"})]
    with pytest.raises(UserError, match="web page"):
        get()
    assert get().read_bytes() == CONTENT
    assert site.ranges()[-1] == "bytes=300000-"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_not_there_is_one_error(get, site, status, pauses):
    site.faults = [Fault(status=status)]
    with pytest.raises(UserError, match=f"{status} .*--source"):
        get()
    assert pauses == []


def test_an_empty_file_is_refused(get, site, target):
    site.files[REVIEWS] = b""
    with pytest.raises(UserError, match="is empty"):
        get()
    assert files(target.parent) == set()


def test_a_server_that_is_not_there_is_one_error(get, pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"Connection refused, 6 times in a row"):
            get(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert len(pauses) == 5


def test_a_password_is_used_and_never_shown(get, site, target):
    host = site.url.removeprefix("http://")
    site.faults = [Fault(cut=300_000), Fault(status=403)]
    with pytest.raises(UserError) as caught:
        get(f"http://ada:s3cret@{host}")
    assert site.requests[0]["authorization"] == "Basic YWRhOnMzY3JldA=="
    assert "s3cret" not in str(caught.value)
    assert "ada:***@" in str(caught.value)
    written = [path.read_bytes() for path in target.parent.iterdir()]
    assert written
    assert not any(b"s3cret" in content for content in written)


def test_a_full_disk_is_found_before_it_is_full(get, site, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 300_000))
    with pytest.raises(UserError, match=r"needs 0\.7 MB more in .*0\.3 MB are free"):
        get()


def test_a_file_that_cannot_grow_is_one_error_and_goes_on_later(get, site, target):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
    try:
        with pytest.raises(UserError, match=rf"^cannot write .*{REVIEWS}\.part: .*write to"):
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    part = target.with_name(f"{REVIEWS}.part").stat().st_size
    assert 0 < part <= 400_000
    assert get().read_bytes() == CONTENT
    assert site.ranges()[-1] == f"bytes={part}-"
