"""Pauses between attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.catalogue.retries import Retries, wanted_pause


@given(failures=st.integers(1, 100), chance=st.floats(0, 1, exclude_max=True))
def test_pauses_double_up_to_the_longest(failures, chance):
    pause = Retries(chance=lambda: chance).pause(failures)
    expected = [1, 2, 4, 8, 16, 32, 60][min(failures, 7) - 1]
    assert expected / 2 <= pause <= expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        (" 17 ", 17),
        ("-3", 0),
        ("soon", 0),
        ("1e3", 0),
        ("9" * 400, 365 * 86_400),
        ("9" * 9000, 365 * 86_400),
        ("Mon, 01 Jan 9999 00:00:00 GMT", 365 * 86_400),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 365 * 86_400),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 0),
    ],
)
def test_seconds_that_a_server_asks_for(header, expected):
    assert wanted_pause(header) == expected


@pytest.mark.parametrize(("ahead", "expected"), [(90, 90), (-90, 0)])
def test_a_date_that_a_server_asks_for(ahead, expected):
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    header = format_datetime(now + timedelta(seconds=ahead), usegmt=True)
    assert wanted_pause(header, now=now.timestamp) == expected
