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


@pytest.mark.parametrize("matching", [9, 10])
def test_a_difference_is_said_where_half_differ_in_it(matching):
    """One match by chance says nothing."""
    listed = [*map(str.upper, KEPT[:matching]), *(f"x{place}" for place in range(20 - matching))]
    advice = "the ids differ in case: write them" if matching == 10 else "check that both tables"
    with pytest.raises(UserError, match=advice):
        joined(listed)


@pytest.mark.parametrize("swapped", [False, True])
def test_all_ids_of_the_longer_table_are_compared(swapped):
    few = [f"z{place}" for place in range(10)]
    many = [*map(str.upper, few), *(f"a{place:05}" for place in range(101_000))]
    many.sort(key=str.casefold)
    with pytest.raises(UserError, match="the ids differ in case: write them alike"):
        joined(*((many, few) if swapped else (few, many)))


def test_ids_of_long_tables_are_compared_evenly():
    numbers = [f"{number:05}" for number in range(30_000)]
    kept = [f"a{text}" if text < "12000" else f"b{text}" for text in numbers]
    listed = [f"x{text}" if text < "12000" else f"B{text}" for text in numbers]
    with pytest.raises(UserError, match="the ids differ in case: write them alike"):
        joined(listed, kept)


def test_long_ids_are_cut():
    with pytest.raises(UserError) as caught:
        joined(["a" * 1000], ["b" * 1000])
    assert len(str(caught.value)) < 250
