"""`mmsr ui` and the pages of a study, as a user's browser shows them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.run_names import numbered, run_name

pytestmark = pytest.mark.slow

OF_MLFLOW = (
    # It asks who is logged in, and only a server with passwords knows.
    re.compile(
        r"status of 404 \(Not Found\) http://127.0.0.1:\d+/ajax-api/2.0/mlflow/users/current"
    ),
    # A chart changes its own size while it is drawn.
    re.compile(r"ResizeObserver loop completed with undelivered notifications"),
)
"""Errors that MLflow's pages report of themselves, whatever a study has recorded."""
DRAWN = "document.querySelectorAll('.main-svg .trace').length"


@pytest.fixture(scope="module")
def small(
    trained_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    """The study `small`: its home, name, best trials, and the names of their runs.

    Its report and its robustness are attached.
    """
    home = tmp_path_factory.mktemp("pages") / "home"
    shutil.copytree(trained_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for command in (
            ("study", "report", "small", "--intervals", "0"),
            ("robustness", "small", "--rates", "0.5,1", "--seeds", "1"),
        ):
            done = CliRunner().invoke(app, list(command))
            assert done.exit_code == 0, done.output
        known = look_up("small")
        best = known.rows([one.number for one in known.overview.standings])
        best.sort(key=lambda row: row.value or 0, reverse=True)
        yield SimpleNamespace(
            folder=known.folder.path, home=home, best=best, names=[name_of(row) for row in best]
        )


def name_of(row: TrialRow) -> str:
    assert row.config is not None
    return numbered(run_name(row.config, row.settings), row.number)


@pytest.fixture(scope="module")
def ui(small: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """`mmsr ui small`: its process, and the addresses that it has printed, by what they show."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsr.cli.app", "ui", "small"],
        # A shell's background job ignores SIGINT, and so would its children; a terminal's does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "MMSR_HOME": str(small.home), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        printed = [re.split(r"\s{2,}", line.strip()) for line in lines if "http://" in line]
        yield SimpleNamespace(process=process, at=dict(printed))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture
def visit(new_tab: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens an address in a tab; in the end, nothing went wrong and nobody else was asked."""
    tabs = []

    def opened(address: str, **options: Any) -> Any:
        tabs.append(new_tab(**options))
        tabs[-1].page.goto(address, wait_until="commit")  # tests wait for texts
        return tabs[-1]

    yield opened
    for tab in tabs:
        ours = [text for text in tab.wrong if not any(one.search(text) for one in OF_MLFLOW)]
        assert ours == []
        away = {url for url in tab.asked if urlsplit(url).hostname not in ("127.0.0.1", None)}
        assert away == set()


def shows(page: Any, *texts: str) -> None:
    """Wait until a page shows each of these texts."""
    for text in texts:
        page.get_by_text(text).locator("visible=true").first.wait_for()


def test_the_trials_are_compared_by_name_with_their_knobs_and_values(ui, small, visit):
    tab = visit(ui.at["MLflow, compare"])
    shows(tab.page, f"Comparing {len(small.best)} Runs", *small.names)
    tab.page.wait_for_function("document.querySelector('.parcoords') !== null")
    text = tab.page.inner_text("body")
    for row in small.best:
        for value in (
            f"{row.metrics['valid/mrr@20']:.3f}".rstrip("0"),
            row.settings["model.fusion"],
        ):
            assert value in text
    cells = [line.split("\t") for line in text.splitlines()]
    rates = next(row[1:] for row in cells if row[0] == "training.learning_rate" and row[1:])
    assert rates == [str(row.settings["training.learning_rate"]) for row in small.best]
    tab.shot("compare")


def test_the_curves_begin_with_the_objective_and_name_the_trials(ui, small, visit):
    tab = visit(ui.at["MLflow, curves"])
    shows(tab.page, *small.names, "Objective/valid", "matching runs")
    listed = tab.page.inner_text("body")
    places = [listed.index(f"\n{name}\n") for name in small.names]
    assert places == sorted(places), "the best trial is the first"
    sections = [
        listed.index(name) for name in ("\nObjective/valid\n", "\nbest/valid\n", "\ntrain\n")
    ]
    assert sections == sorted(sections)
    tab.page.wait_for_function(f"{DRAWN} >= {len(small.best)}")
    tab.shot("curves")


def test_the_study_s_run_describes_it_and_has_its_report(ui, small, visit):
    tab = visit(ui.at["MLflow, study"])
    best = small.best[0]
    shows(tab.page, "study small", *small.names, "Model training")
    shows(
        tab.page, f"Best: trial {best.number}", "graph.links_per_item", "best_config/graph.n_codes"
    )
    text = tab.page.inner_text("body")
    assert f"valid/mrr@20 {100 * best.metrics['valid/mrr@20']:.3f} %" in text
    for said in ("60 users, 40 items", "3 of 3 done: 3 finished", "no trial sees test"):
        assert said in text
    assert f"mmsr.best_trial\n: {best.number}" in text
    tab.shot("study")
    tab.page.goto("about:blank")  # else only the part behind # changes
    tab.page.goto(ui.at["MLflow, study"].replace("?", "/artifacts/report.html?"))
    report = tab.page.frame_locator("iframe")
    report.get_by_text(f"Best config: trial {best.number}").first.wait_for()
    report.locator("html[data-charts]").wait_for()
    tab.shot("study_report")


def test_robustness_curves_can_be_read_in_light_and_dark(small, visit):
    page_file = small.folder / "robustness" / "robustness-valid.html"
    for scheme in ("light", "dark"):
        tab = visit(page_file.as_uri(), color_scheme=scheme)
        shows(tab.page, "small: validation MRR@20 as items lose modalities", "image + text (area")
        shows(tab.page, f"best trial {small.best[0].number} of study small", "MRR@20, %")
        assert tab.page.title() == "small: validation MRR@20 as items lose modalities"
        assert tab.page.evaluate(DRAWN) >= 3
        tab.shot(f"robustness_{scheme}")


def test_the_dashboard_has_the_objective_and_the_best_trial(ui, small, visit):
    tab = visit(ui.at["optuna-dashboard"])
    best = small.best[0]
    shows(tab.page, "small (id=1)", f"Best Trial (number={best.number})", str(best.value))
    shows(tab.page, f"training.learning_rate: {best.settings['training.learning_rate']}")
    shows(tab.page, "Hyperparameter Importance", "valid/mrr@20", f"trial #{best.number}")
    tab.shot("dashboard")


def test_ctrl_c_stops_both_servers(ui):
    """The last test of the module: all others need the servers."""
    children = psutil.Process(ui.process.pid).children(recursive=True)
    assert list(ui.at) == [
        "MLflow, experiments",
        "MLflow, study",
        "MLflow, curves",
        "MLflow, compare",
        "optuna-dashboard",
    ]
    for address in ui.at.values():
        with urllib.request.urlopen(address.partition("#")[0]) as page:
            assert page.status == 200
    ui.process.send_signal(signal.SIGINT)
    out, _ = ui.process.communicate(timeout=60)
    assert (ui.process.returncode, out) == (0, "stopped\n")
    assert not [child for child in children if child.is_running()]
