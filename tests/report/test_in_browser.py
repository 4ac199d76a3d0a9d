"""The report in a browser: charts are drawn, nothing is asked for, nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsr.report.facts import gather
from mmsr.report.html import html_of
from mmsr.report.make import page_of


@pytest.mark.slow
def test_the_page_draws_its_charts_and_asks_for_nothing(trained, new_tab, tmp_path: Path):
    page_file = tmp_path / "report.html"
    page_file.write_text(html_of(page_of(gather(trained))))
    tab = new_tab()
    page = tab.page
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-charts]")
    charts = page.locator(".chart").count()
    assert page.locator(".chart .main-svg").count() >= charts >= 5
    for text in ("Leaderboard", "Best config", "learning_rate", "best so far", "mrr@20, %"):
        assert page.get_by_text(text).first.is_visible(), text

    def back() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def letters() -> str:
        return str(page.evaluate("document.querySelector('.xtick text').style.fill"))

    light = back(), letters()
    tab.shot("report_light")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.querySelector('.xtick text').style.fill != ''")
    dark = back(), letters()
    tab.shot("report_dark")
    assert light[0] != dark[0]
    assert light[1] != dark[1], "the charts follow"
    page.set_viewport_size({"width": 400, "height": 900})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 400, "tables and charts scroll by themselves"
    assert (tab.wrong, tab.said) == ([], [])
    assert [url for url in tab.asked if not url.startswith(("file:", "data:", "blob:"))] == []
