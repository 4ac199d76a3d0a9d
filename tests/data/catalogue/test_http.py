"""Downloads from a server that fails: they go on, or start anew, and arrive byte for byte."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsr.data.catalogue import fetch as fetching
from mmsr.data.catalogue.entries import File
from mmsr.data.catalogue.http import Download
from mmsr.data.catalogue.partial import Partial
from mmsr.data.catalogue.retries import Retries
from mmsr.data.progress import Silent
from mmsr.errors import UserError
from mmsr.urls import Url

from .server import CONTENT, OTHER, REVIEWS, Fault, files, packed, publish, running, sha256


def test_a_file_arrives_whole(get, site, target):
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None]
    assert files(target.parent) == {REVIEWS, f"{REVIEWS}.sha256"}
    record = target.with_name(f"{REVIEWS}.sha256").read_text()
    assert record == f"{hashlib.sha256(CONTENT).hexdigest()}  {REVIEWS}\n"


def test_what_is_there_is_not_fetched_again(get, site):
    get()
    get()
    assert len(site.requests) == 1


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_a_broken_connection_is_made_again_and_goes_on(get, site, pauses, validator):
    site.validator = validator
    site.faults = [Fault(cut=300_000), Fault(cut=1), Fault(cut=200_000)]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]
    assert {headers.get("if-range") for headers in site.requests[1:]} == {site.version(REVIEWS)}
    assert pauses == [1.0, 1.0, 1.0]  # each attempt brought bytes


def test_a_busy_server_gets_time(get, site, pauses):
    site.faults = [
        Fault(status=503),
        Fault(status=500),
        Fault(status=429, headers={"Retry-After": "17"}),
        Fault(status=502, headers={"Retry-After": "soon"}),
    ]
    assert get().read_bytes() == CONTENT
    assert pauses == [1.0, 2.0, 17.0, 8.0]


def test_a_server_without_ranges_makes_the_download_start_anew(get, site):
    site.faults = [Fault(cut=400_000), Fault(no_ranges=True)]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=400000-"]


@pytest.mark.parametrize("other", [OTHER, packed(500_000, 3), packed(250, 4)], ids=len)
@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("mute", [False, True])
@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_a_file_that_changes_meanwhile_is_never_mixed(get, site, other, blind, mute, validator):
    site.validator = validator

    def change() -> None:
        site.files[REVIEWS] = other

    site.faults = [Fault(cut=300_000, then=change), Fault(blind=blind, mute=mute)]
    assert get().read_bytes() == other
    assert site.ranges()[1] == "bytes=300000-"


@pytest.mark.parametrize("again", [False, True])
def test_without_validator_or_checksum_nothing_is_resumed(get, site, again):
    site.validator = None
    if again:
        get().unlink()
        site.requests.clear()
    site.faults = [Fault(cut=300_000), Fault(cut=200_000)]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, None, None]


def test_a_checksum_makes_resuming_safe_without_validator(get, site, monkeypatch):
    site.validator = None
    publish(site, monkeypatch, checksum=sha256(CONTENT))
    site.faults = [Fault(cut=300_000)]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=300000-"]


def test_another_length_shows_another_file_without_validator(get, site, monkeypatch):
    def change() -> None:
        site.files[REVIEWS] = CONTENT

    site.validator = None
    site.files[REVIEWS] = OTHER[:500_000]
    publish(site, monkeypatch, checksum=sha256(CONTENT))
    site.faults = [Fault(cut=300_000, then=change)]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=300000-", None]


def test_an_interrupted_download_goes_on_in_the_next_run(get, site, target):
    def interrupt(pause: float) -> None:
        raise KeyboardInterrupt

    site.faults = [Fault(cut=300_000)]
    with pytest.raises(KeyboardInterrupt):
        get(retries=Retries(sleep=interrupt))
    assert not target.exists()
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=300000-"]


def test_a_download_that_only_lacks_its_name_is_not_repeated(get, site, target, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "verify", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            get()
    assert not target.exists()
    assert get().read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_part_of_another_source_is_not_continued(get, site, target):
    site.faults = [Fault(cut=300_000), *[Fault(status=503)] * 6]
    with pytest.raises(UserError):
        get()
    with running() as mirror:
        mirror.files[REVIEWS] = OTHER
        assert get(mirror.url).read_bytes() == OTHER
        assert mirror.ranges() == [None]


@pytest.mark.parametrize("note", [b"", b"{", b'{"url": 3}', b"\xff"])
def test_part_of_unknown_origin_is_not_continued(get, site, target, note):
    target.parent.mkdir(parents=True)
    target.with_name(f"{REVIEWS}.part").write_bytes(OTHER[:1000])
    target.with_name(f"{REVIEWS}.part.json").write_bytes(note)
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None]


def test_blocks_with_lengths_have_an_end(get, site, pauses):
    site.faults = [Fault(chunked=True, cut=300_000), Fault(chunked=True)]
    assert get().read_bytes() == CONTENT
    assert len(pauses) == 1


def test_compressed_data_stay_compressed(get, site):
    site.faults = [Fault(headers={"Content-Encoding": "gzip"})]
    assert get().read_bytes() == CONTENT
    assert site.requests[0]["accept-encoding"] == "identity"


def test_a_weak_validator_does_not_show_that_a_file_is_the_same(get, site):
    site.validator = None
    site.faults = [Fault(cut=300_000, headers={"ETag": 'W/"1"'}), Fault(headers={"ETag": 'W/"1"'})]
    assert get().read_bytes() == CONTENT
    assert site.ranges() == [None, None]


FAULTS = st.builds(
    Fault,
    cut=st.none() | st.integers(0, 3000),
    status=st.none() | st.sampled_from([500, 503, 429]),
    no_ranges=st.booleans(),
    blind=st.booleans(),
    mute=st.booleans(),
    chunked=st.booleans(),
)


@given(
    faults=st.lists(FAULTS, max_size=5),
    changed=st.integers(0, 5),
    validator=st.sampled_from(["ETag", "Last-Modified"]),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_fails_the_file_arrives_unmixed(tmp_path, site, faults, changed, validator):
    """The file changes before one of the requests; what arrives is one of its two versions."""
    old, new = CONTENT[:3000], OTHER[:3000]
    site.files["a"] = old
    site.validator = validator
    site.requests.clear()
    pauses: list[float] = []

    def sleep(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == changed:
            site.files["a"] = new

    site.faults = list(faults)
    partial = Partial(tmp_path / "a")
    partial.discard()
    file = File("reviews", "a", f"{site.url}/a")
    Download(Url.parse(file.url), file, partial).run(Silent(), Retries(sleep=sleep))
    assert partial.path.read_bytes() in (old, new)
