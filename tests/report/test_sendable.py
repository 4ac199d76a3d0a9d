"""A report can be sent: it stays small, names no place of this machine, and labels its figures."""

from __future__ import annotations

import dataclasses
import random
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.format import listed, short
from mmsr.report.blocks import Chart, Code, Page, Table
from mmsr.report.charts import grid_map, learning_curves
from mmsr.report.facts import MOST_ROWS, gather
from mmsr.report.html import html_of
from mmsr.report.make import page_of
from mmsr.report.markdown import markdown_of
from mmsr.report.parallel import parallel_coordinates
from mmsr.report.sendable import hidden, without_paths
from mmsr.study.search.objectives import COSTS
from mmsr.study.storage.trials import TrialRow

OBJECTIVES = ("valid/mrr@20", COSTS[0])
MANY = 5000


def trial(number, value, state="finished", settings=None, **changes):
    row = TrialRow(
        number=number,
        state=state,
        value=value,
        best_epoch=1,
        epochs=1,
        seconds=1.0,
        params={"graph.n_codes": number} if settings is None else settings,
        metrics={} if value is None else {OBJECTIVES[0]: value, OBJECTIVES[1]: 1e6 * value},
        stored_config=None,
        error=None,
        mlflow_run_id=None,
        code={},
    )
    return dataclasses.replace(row, **changes)


def with_rows(known, rows, **changes):
    facts = gather(known, intervals=0)
    progress = dataclasses.replace(facts.progress, rows=tuple(rows))
    return dataclasses.replace(facts, progress=progress, **changes)


def tables(page):
    return [b for s in page.sections for b in s.blocks if isinstance(b, Table)]


def test_a_study_of_very_many_trials_gives_a_page_that_can_be_read(made_up):
    rng = random.Random(0)
    # More of the first objective costs more, so that every finished trial is on the front.
    rows = [trial(n, 0.1 + n / 1e5) for n in range(MANY - 1000)]
    rows += [
        trial(n, None, "failed", error=f"ValueError: {rng.choice('abcdef') * 30} is bad")
        for n in range(MANY - 1000, MANY)
    ]
    curves = {row.number: {e: rng.random() for e in range(1, 301)} for row in rows[:400]}
    facts = with_rows(made_up([0.1, 0.2], objective=list(OBJECTIVES)), rows, curves=curves)
    assert len(facts.front) == MANY - 1000
    page = page_of(facts)
    assert len(html_of(page).encode()) < 5_000_000
    text = markdown_of(page)
    assert len(text) < 60_000
    grown = [
        one for one in tables(page) if one.columns[-1] not in ("value", "searched", "how much")
    ]
    assert max(len(one.rows) for one in grown) <= MOST_ROWS + 3, "three are reference lines"
    assert (
        f"and {MANY - 1000 - MOST_ROWS:,} more: pareto_front.csv, written when the study ends"
        in text.replace("\\", "")
    )
    assert f"`mmsr study leaderboard made-up --top {MANY - 1000} --csv`" in text
    assert f"`mmsr study status made-up --last {MANY} --csv`" in text
    (failures,) = [one for one in tables(page) if "kind" in one.columns]
    assert all("more" in row[2] and len(row[2]) < 100 for row in failures.rows)


def test_curves_and_maps_are_thinned_out_but_keep_their_best():
    curve = dict.fromkeys(range(1, 40001), 0.1) | {12_345: 0.9}
    chart = learning_curves([trial(0, 0.9)], {0: curve}, "mrr@20")
    (trace,) = chart.traces
    assert len(trace["x"]) < 21_000
    assert {12_345, 40_000} <= set(trace["x"])
    cells = {(x, y): (x / 1000, 1) for x in range(100) for y in range(2)}
    (heat,) = grid_map(cells, "codes", "links", "mrr@20").traces
    assert heat["x"] == [str(x) for x in range(76, 100)]


def test_whole_numbers_are_shown_as_whole_numbers():
    rows = [
        trial(n, 0.5 - n / 100, settings={"width": 1020 + n, "rate": 1e-3 + n}) for n in range(9)
    ]
    chart = parallel_coordinates(rows, "mrr@20", ["width", "rate"])
    labels = {one["text"] for one in chart.layout["annotations"] if one["x"] == 0}
    assert labels == {"1020", "1024", "1028"}
    assert "width: 1020<br>" in chart.traces[-1]["hovertemplate"]
    given = (1020, True, 1020.4, 999.96, 12.345, 0.00123456, float("nan"), "a", None)
    shown = ["1020", "True", "1020", "1000", "12.3", "0.00123", "nan", "a", "None"]
    assert [short(value) for value in given] == shown
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert listed([1, 2]) == "1, 2"


UNHARMED = (
    "http://127.0.0.1:5000/#/home/1/runs/abc",
    "https://host/search?u=/home/d/e",
    "50%/30%/20%",
    "C++/Rust/Go",
    "(a)/home/c",
    "./data/x and ../data/x and ~/data/x",
    "/r/aww/best",
    "sqlite:///data/optuna.db",
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no file '/data/of ada/x/items.csv'", "no file '…/of ada/x/items.csv'"),
        ("[Errno 2] /mnt/a/b.txt: gone", "[Errno 2] …/b.txt: gone"),
        ("sqlite:////mnt/a/optuna.db", "sqlite:///…/optuna.db"),
        ("http://host/a/b and valid/mrr@20 and 3/4", "http://host/a/b and valid/mrr@20 and 3/4"),
        ("`$MMSR_HOME/studies/x`", "`$MMSR_HOME/studies/x`"),
        ("file:/mnt/ada/x.csv", "file:…/x.csv"),
        ("file:///mnt/ada/x.csv", "file://…/x.csv"),
        ("hdfs:///user/ada/x", "hdfs://…/x"),
        ("host:/export/ada/x", "host:…/x"),
        ("PATH=/opt/ada/bin:/usr/bin", "PATH=…/bin:…/bin"),
        ("/mnt//ada//x", "…/x"),
        (r"C:\Users\ada\x.csv: gone", r"…\x.csv: gone"),
        *((text, text) for text in UNHARMED),
    ],
)
def test_paths_are_cut(text, left, home):
    assert hidden(text) == left
    assert hidden(f"{home}/studies/x") == "$MMSR_HOME/studies/x"
    assert hidden(f"in {Path.home()}/x.py") == "in ~/x.py"
    assert hidden(f"in {Path.home()}.") == "in ~."


@pytest.mark.parametrize("home", ["/home/ada", "/home/ada b"])
def test_bash_reads_commands_as_they_were(home, monkeypatch):
    monkeypatch.setenv("HOME", home)
    words = [
        f"{home}/study.py",
        home,
        f"sqlite:///{home}/o.db",
        f"a={home}/q",
        f"a=it's {home}/q",
        f"{home}:{home}/bin",
        f"{home}-other/x",
    ]
    command = shlex.join(words)
    (sent,) = without_paths(Page("a", (Code(command),), (), "")).lead
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\n' {sent.text}"], capture_output=True, text=True, check=True
    )
    assert read.stdout.splitlines() == words
    assert sent.text.replace(f"{home}-other", "").count(home) == 0


def test_a_report_names_no_place_of_this_machine(made_up, study_home):
    known = made_up([0.1, 0.2, f"OSError: no file {Path.home()}/a/b.csv, nor /mnt/of/ada/c.csv"])
    facts = gather(known, intervals=0)
    facts = dataclasses.replace(facts, final_error=f"{known.folder.finalized} cannot be read")
    page = page_of(facts)
    for text in (html_of(page), markdown_of(page)):
        for place in (str(study_home), str(Path.home()) + "/", "/mnt/of", str(Path.cwd())):
            assert place not in text
    assert "nor …/c.csv" in markdown_of(page)


def test_how_to_replay_names_the_folder_alone(trained):
    record = trained.folder.read_record()
    assert Path(record.directory).is_absolute()
    text = markdown_of(page_of(gather(trained, intervals=0)))
    home = str(trained.folder.path.parents[1])
    assert home not in text
    assert f"in the folder {Path(record.directory).name}".replace("_", "\\_") in text


def test_what_was_selected_on_test_says_so_wherever_it_is_shown(made_up):
    known = made_up([0.1, 0.2, 0.3])
    definition = known.definition.model_copy(update={"objective": "test-selected/mrr@20"})
    page = page_of(gather(dataclasses.replace(known, definition=definition), intervals=0))
    assert page.title.endswith(": TEST-SELECTED")
    figures = [
        block
        for section in page.sections
        if section.name not in ("failures", "cost", "replay")
        for block in section.blocks
    ]
    charts = [block for block in figures if isinstance(block, Chart)]
    assert charts
    assert all(one.layout["title"]["text"] == "TEST-SELECTED" for one in charts)
    captions = [block.caption for block in figures if isinstance(block, Table)]
    assert captions
    assert all(caption.startswith("TEST-SELECTED") for caption in captions)
    text = markdown_of(page)
    assert text.count("TEST-SELECTED") > len(captions)
    assert text.startswith("# Study made-up: TEST-SELECTED")
    assert "TEST-SELECTED" not in html_of(page_of(gather(known, intervals=0)))


@pytest.mark.parametrize("name", ["made-up", "made-up:1"])
def test_what_was_selected_on_test_is_not_compared(made_up, monkeypatch, name):
    from mmsr.study.storage.definition import Definition

    made_up([0.1, 0.2])
    monkeypatch.setattr(Definition, "test_selected", True)
    done = CliRunner().invoke(app, ["study", "compare", name, "other"])
    assert isinstance(done.exception, UserError)
    assert "TEST-SELECTED" in str(done.exception)


def test_warm_and_cold_targets_stand_apart(made_up):
    known = made_up([0.1, 0.2])
    rows = [
        dataclasses.replace(
            row, metrics={**row.metrics, "valid/warm/mrr@20": 0.25, "valid/cold/mrr@20": 0.0123}
        )
        for row in gather(known, intervals=0).rows
    ]
    page = page_of(with_rows(known, rows))
    board = next(one for one in tables(page) if one.columns[0] == "place")
    at = board.columns.index("mrr@20")
    assert board.columns[at + 2 : at + 4] == ("warm/mrr@20", "cold/mrr@20")
    assert board.rows[0][at + 2 : at + 4] == ("25.000", "1.230")
    assert "cold: those that do not" in markdown_of(page)
    assert "warm" not in markdown_of(page_of(gather(known, intervals=0)))
