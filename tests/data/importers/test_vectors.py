"""Numbers of a vector are read in one way, or the table is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmsr.data.importers.vectors import as_matrix
from mmsr.errors import UserError


def matrix(texts: list[str]) -> list[list[float]]:
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    ids = pa.array([f"i{row}" for row in range(len(texts))])
    return as_matrix(column, ids, "image", "v.csv").tolist()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["[0.25, -0.5]", "[1,2]"], [[0.25, -0.5], [1, 2]]),
        (["0.25 -0.5", "  1\t2 "], [[0.25, -0.5], [1, 2]]),
        (["[0.25 -0.5]", "[ 1 2]"], [[0.25, -0.5], [1, 2]]),
        (["0.25, -0.5", "1, 2"], [[0.25, -0.5], [1, 2]]),
        (["0.25,-0.5", "1,0"], [[0.25, -0.5], [1, 0]]),
        (["[1]", "2"], [[1], [2]]),
        (["[0.25\n -0.5]", "[[1 2]]"], [[0.25, -0.5], [1, 2]]),
        (["[0.25,\n -0.5]", "[[1,2]]"], [[0.25, -0.5], [1, 2]]),
        (["[1e-2, 5]", "[+1.5, 0.0]"], [[0.01, 5], [1.5, 0]]),
        (["0,1,0,1", "1,1,0,0"], [[0, 1, 0, 1], [1, 1, 0, 0]]),
        (["1,2,3", "4,500,600"], [[1, 2, 3], [4, 500, 600]]),
        (["1,-2", "1,2"], [[1, -2], [1, 2]]),
        (["1e-05,2e-3", "1,2"], [[1e-5, 2e-3], [1, 2]]),
        (["[0, 1,0.5]", "[0,1, 2e-3]"], [[0, 1, 0.5], [0, 1, 0.002]]),
    ],
)
def test_numbers_that_are_plain(texts: list[str], expected: list[list[float]]) -> None:
    assert matrix(texts) == [pytest.approx(row) for row in expected]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["0,27 -0,46", "0,1 0,2"], "0,27 -0,46"),
        (["0.27 -0.46", "0,1 0,2"], "0,1 0,2"),
        (["[0,27, -0,46]"], r"\[0,27, -0,46\]"),
        (["[0,27 -0,46]"], r"\[0,27 -0,46\]"),
        (["[0,05,-0,46]"], r"\[0,05,-0,46\]"),
        (["0,27,-0,46"], "0,27,-0,46"),
        (["1,2"], "1,2"),
        (["0,2,0,3"], "0,2,0,3"),
        (["1,000,000"], "1,000,000"),
        (["[1, 0,5]"], r"\[1, 0,5\]"),
        (["1, 0,5"], "1, 0,5"),
        (["1.234,5", "2.345,6"], "1.234,5"),
        (["1,000 2,000"], "1,000 2,000"),
        (["[1, 2", "[1, 2]"], r"\[1, 2"),
        (["[1,, 2]"], r"\[1,, 2\]"),
        (["1, 2 3"], "1, 2 3"),
        (["0,27 " * 20], "0,27 0,27 .* …"),
    ],
)
def test_numbers_that_can_be_read_in_two_ways(texts: list[str], shown: str) -> None:
    message = rf"^v.csv: the image vector '{shown}' of item 'i\d' can be read in two ways: write a"
    with pytest.raises(UserError, match=message):
        matrix(texts)


@pytest.mark.parametrize("text", ["[1, 2][3, 4]", "[1 2] [3 4]", "1;2", "a b", "0x1 2", "1.5 -"])
def test_what_is_no_list_of_numbers(text: str) -> None:
    with pytest.raises(UserError, match="image vectors must be lists of numbers"):
        matrix([text])
