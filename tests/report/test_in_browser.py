"""The report in a browser: charts are drawn, nothing is asked for, nothing is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmsr.report.facts import gather
from mmsr.report.html import html_of
from mmsr.report.make import page_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_draws_its_charts_and_asks_for_nothing(trained, tmp_path: Path):
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    page_file = tmp_path / "report.html"
    page_file.write_text(html_of(page_of(gather(trained))))
    wrong: list[str] = []
    asked: list[str] = []
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(color_scheme="light", viewport={"width": 1200, "height": 900})
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-charts]", timeout=60_000)
        charts = page.locator(".chart").count()
        assert page.locator(".chart .main-svg").count() >= charts >= 5
        for text in ("Leaderboard", "Best config", "learning_rate", "best so far", "mrr@20, %"):
            assert page.get_by_text(text).first.is_visible(), text

        def back() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        def letters() -> str:
            return str(page.evaluate("document.querySelector('.xtick text').style.fill"))

        light = back(), letters()
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.querySelector('.xtick text').style.fill != ''")
        dark = back(), letters()
        assert light[0] != dark[0]
        assert light[1] != dark[1], "the charts follow"
        page.set_viewport_size({"width": 400, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400, "tables and charts scroll by themselves"
        browser.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
