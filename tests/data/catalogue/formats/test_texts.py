"""Texts: HTML as words, and nothing lost that is none."""

from __future__ import annotations

import html
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr.data.catalogue.formats.texts import from_html, joined, plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fun &amp; games", "Fun & games"),
        ("caf&eacute; &#128512;&#x1F600; &nope;", "café 😀😀 &nope;"),
        ("a<br>b<br/>c<p>d</p>", "a b c d"),
        ("5 < 6 > 4 <3 & more", "5 < 6 > 4 <3 & more"),
        ("size <XL", "size <XL"),
        ("<b>x</b><script>var a = '<b>';</script><!-- note --> y", "x y"),
        ('<a href="x" title="y>z">link</a>', "link"),
        ("&lt;b&gt; is bold", "<b> is bold"),
        ("Kirk&amp;#39;s &amp;amp;amp;", "Kirk's &amp;"),
        ("<b>Kirk&amp;#39;s</b>", "Kirk's"),
        (" \t\n\xa0 ", ""),
        ("half \ud83d a character", "half a character"),
        ("<frameset>no body", ""),
    ],
)
def test_words_of_html(text: str, words: str) -> None:
    assert from_html(text) == words


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="&")
        | st.sampled_from(" <>\"'"),
        max_size=30,
    )
)
def test_what_was_escaped_comes_back(text: str) -> None:
    assert from_html(f"<i>{html.escape(text)}</i>") == plain(text)
    assert from_html(html.escape(text)) == plain(text)


@pytest.mark.parametrize("piece", ["<", "<a ", "<!--", "<a b='", "&", "&#", "</", "<b>", "<i><p>"])
def test_hostile_html_takes_no_time(piece: str) -> None:
    start = time.perf_counter()
    from_html(piece * 10_000 + ">")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ([], None),
        ([None, " ", ["a", ("b",)], 3, 1.5], "a|b|3|1.5"),
        (7, "7"),
    ],
)
def test_parts_are_joined(value: Any, text: str | None) -> None:
    assert joined(value, "|", plain) == text


@pytest.mark.parametrize("value", [{}, True, [{}], b"x"])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        joined(value, "|", plain)
