"""What differs in the ids of two tables is said, with examples of each."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmsr.data.importers.joins import check_join
from mmsr.errors import UserError

KEPT = [f"Käse-{place}" for place in range(10, 50)]
DIFFERENCES = [
    ("leading zeros", "00{}".format),
    ("case", str.upper),
    ("blanks", " {} ".format),
    ("blanks", lambda text: text.replace("-", " -")),
    ("Unicode normal form", lambda text: text.replace("ä", "a\u0308")),
    ("an ending .0", "{}.0".format),
    ("quotation marks", '"{}"'.format),
]


def joined(listed: list[str], kept: list[str] = KEPT) -> list[str]:
    notes: list[str] = []
    check_join(pa.array(sorted(set(listed))), pa.array(kept, pa.large_string()), "f", notes.append)
    return notes


@pytest.mark.parametrize(("name", "change"), DIFFERENCES)
def test_what_differs_where_nothing_matches(name, change):
    listed = [change(text) for text in KEPT]
    with pytest.raises(UserError, match="none of its 40 items occurs in the inter") as caught:
        joined(listed)
    said = str(caught.value)
    assert said.endswith(f"the ids differ in {name}: write them alike")
    first = ", ".join(map(repr, sorted(listed)[:3]))
    assert f"it has {first}, …, they have 'Käse-10', 'Käse-11', 'Käse-12', …: " in said


@pytest.mark.parametrize(("name", "change"), DIFFERENCES)
@pytest.mark.parametrize("matching", [19, 20])
def test_what_differs_where_less_than_half_matches(name, change, matching):
    listed = [*KEPT[:matching], *map(change, KEPT[matching:])]
    notes = joined(listed)
    if matching == 20:
        assert notes == []
        return
    assert notes[0].startswith("warning: f lists only 19 of the 40 items that are kept; not listed")
    assert notes[0].endswith(f"; the ids differ in {name}: write them alike")


def test_an_article_number_with_its_zero():
    """Spreadsheets and number types take the leading zero from `0108775000`."""
    with pytest.raises(UserError, match="it has '0108775000', they have '108775000': the ids dif"):
        joined(["0108775000"], ["108775000"])


def test_ids_that_have_nothing_in_common():
    with pytest.raises(UserError, match=r"they have 'x': check that both tables use the same ids$"):
        joined(["a", "b", "c", "d"], ["x"])


def test_long_ids_are_cut():
    with pytest.raises(UserError) as caught:
        joined(["a" * 1000], ["b" * 1000])
    assert len(str(caught.value)) < 250
