"""The report: every kind of study has one, it asks no network, and texts stay texts."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.evaluation import ranking_metrics
from mmsr.report.blocks import Chart, Page, Points, Section, Table, Text
from mmsr.report.facts import gather
from mmsr.report.html import html_of
from mmsr.report.intervals import ValidRanks
from mmsr.report.make import page_of
from mmsr.report.markdown import markdown_of
from mmsr.report.sections.settings import codes_map
from mmsr.study import Choice, Float, Int
from mmsr.study.results.finalized import ConfigFigures, FinalRecord, FinalResult, SeedFigures
from mmsr.study.results.held_out import Opening
from mmsr.study.search.objectives import COSTS
from mmsr.tracking.energy import UNMEASURED, Energy

SECTIONS = {
    "leaderboard": "Leaderboard",
    "importance": "Which settings mattered",
    "modalities": "What each modality is worth",
    "curves": "Learning curves",
    "history": "Optimisation history",
    "parallel": "Parallel coordinates",
    "codes": "Codes × links",
    "robustness": "Robustness",
    "finals": "Test figures",
    "failures": "Failures",
    "cost": "Cost",
    "replay": "How to replay it",
}
EVIL = "</script><script>alert(1)</script>|`x`"


class Reader(HTMLParser):
    """What a browser sees: texts, scripts, and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self._script = False
        self.feed(page)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.addresses += [own[name] for name in ("src", "href", "action") if name in own]
        if self._script:
            raise AssertionError("a script within a script")
        if tag == "script":
            self.scripts.append((own, ""))
            self._script = True

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = False

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.texts.append(data)

    @property
    def charts(self):
        kind = "application/json"
        return [json.loads(text) for own, text in self.scripts if own.get("type") == kind]


def page_and_reader(known, **given):
    page = page_of(gather(known, **given))
    return page, Reader(html_of(page))


def section(page, name):
    return next(one for one in page.sections if one.name == name)


def words(one):
    """All texts of a section."""
    found = []
    for block in one.blocks:
        match block:
            case Text(text):
                found.append(text)
            case Points(lines):
                found += lines
            case Table():
                found += [block.caption, *block.columns, *(c for row in block.rows for c in row)]
    return " ".join(found)


def test_the_page_needs_nothing_from_outside_and_holds_plotly_once(trained):
    page = html_of(page_of(gather(trained)))
    assert len(page.encode()) < 5_000_000
    reader = Reader(page)
    assert {a for a in reader.addresses if not a.startswith("#")} == {"data:,"}
    assert "default-src 'none'" in page
    packed = [text for own, text in reader.scripts if own.get("id") == "plotly"]
    assert [gzip.decompress(base64.b64decode(text)).decode() for text in packed] == [get_plotlyjs()]
    assert "url(" not in page.partition("<body>")[0]
    assert "@import" not in page
    assert len(reader.charts) == page.count('class="chart"') >= 5


def test_a_trained_study_has_all_sections_with_figures(trained):
    page, reader = page_and_reader(trained)
    assert {one.name: one.title for one in page.sections} == SECTIONS
    best, _ = trained.best()
    assert f"Best config: trial {best.number}, mrr@20 {100 * best.value:.3f} %" in reader.text
    facts = gather(trained)
    for row in facts.ranked:
        low, high = facts.interval(row.number)
        assert low < row.value < high
        own = facts.measured.ranks[row.number]
        assert ranking_metrics(own.ranks)["mrr@20"] == pytest.approx(row.value, abs=1e-6)
        assert f"{100 * low:.2f} – {100 * high:.2f}" in reader.text
    assert "popularity" in words(section(page, "leaderboard"))
    assert "knock-out" in words(section(page, "modalities"))
    assert "`mmsr study finalize small`" in words(section(page, "finals"))
    assert "mmsr best-config export small" in markdown_of(page)


def test_markdown_has_the_same_tables(trained):
    page = page_of(gather(trained))
    text = markdown_of(page)
    for one in page.sections:
        assert f"\n## {one.title}\n" in text
    board = next(b for b in section(page, "leaderboard").blocks if isinstance(b, Table))
    for row in board.rows:
        cells = [cell.replace("_", "\\_").replace("*", "\\*") for cell in row]
        plain = "| " + " | ".join(cells) + " |"
        assert plain in text.replace("**", "")


def test_intervals_of_several_trials_are_asked_for(trained):
    assert len(gather(trained, intervals=1).measured.ranks) == 1
    facts = gather(trained, intervals=0)
    assert facts.interval(0) is None
    assert "There are no intervals" in html_of(page_of(facts))


def test_an_interval_narrows_with_users():
    rng = np.random.default_rng(0)

    def width(n):
        low, high = ValidRanks(rng.integers(1, 40, n), np.arange(n)).interval("mrr@20")
        return high - low

    assert width(50) > 2 * width(2000) > 0


def test_an_empty_study_says_why_and_what_brings_it(made_up):
    page, reader = page_and_reader(made_up())
    assert [one.name for one in page.sections] == list(SECTIONS)
    assert "0 of 1 trials done" in reader.text
    assert "No trial has finished" in reader.text
    assert reader.charts == []
    for name in ("leaderboard", "importance", "curves", "history", "parallel", "codes"):
        assert len(words(section(page, name))) > 20
    assert "Importance is not known: no trial has finished" in reader.text
    assert "No trial has run yet" in reader.text
    assert markdown_of(page).count("\n## ") == len(SECTIONS)


def test_a_running_study_shows_what_there_is(made_up):
    known = made_up([0.2, 0.1], running=1)
    with known.folder.locked():
        page, reader = page_and_reader(known)
        done = CliRunner().invoke(app, ["study", "report", known.name])
    assert "The study is running: 2 of 3 trials done (2 finished, 1 running)" in reader.text
    assert "While the study runs, none is measured anew" in words(section(page, "leaderboard"))
    assert done.exit_code == 0, done.output
    assert "not attached to the study's run in MLflow" in done.output


def test_failures_are_grouped_and_nothing_else_is_claimed(made_up):
    page, reader = page_and_reader(made_up(["ValueError: bad 1", "ValueError: bad 2", "other"]))
    told = words(section(page, "failures"))
    assert "3 trials of 3 failed" in told
    assert "2 0, 1 ValueError: bad 1" in told
    assert "no best config yet" in reader.text


def test_texts_stay_texts(made_up):
    known = made_up([0.1, 0.2, 0.3, 0.25, f"ValueError: {EVIL}"])
    facts = gather(known)
    # Settings and commands come from users too.
    rows = tuple(
        dataclasses.replace(row, params={EVIL: place, "%{x}": EVIL}, stored_config=None)
        for place, row in enumerate(facts.rows)
    )
    facts = dataclasses.replace(facts, progress=dataclasses.replace(facts.progress, rows=rows))
    page = html_of(page_of(facts))
    reader = Reader(page)
    assert EVIL in reader.text, "in the table of failures"
    assert "<script>alert" not in page
    kinds = [own.get("type") for own, _ in reader.scripts]
    assert kinds.count(None) == 1
    assert set(kinds) == {None, "text/plain", "application/json"}
    parallel = json.dumps([c for c in reader.charts if c["layout"].get("shapes")])
    assert "&lt;script&gt;alert(1)" in parallel, "plotly shows it as text"
    assert "<script>" not in parallel
    assert "%\u200b{x}" in json.loads(parallel)[0]["traces"][0]["hovertemplate"]
    text = markdown_of(page_of(facts))
    assert "<script>" not in text
    assert "\\|\\`x\\`" in text


@pytest.mark.parametrize("text", [EVIL, "<b>bold</b>", "a & b", '" onload="x'])
def test_every_block_escapes(text):
    chart = Chart(({"name": text, "x": [float("nan"), 1.0]},), {}, text)
    table = Table((text,), ((text,),), caption=text, closed=True)
    blocks = (Text(text), Points((text,)), table, chart)
    page = html_of(Page(text, blocks, (Section("a", text, blocks),), text))
    reader = Reader(page)
    assert len(reader.scripts) == 4
    assert [c["traces"][0] for c in reader.charts] == 2 * [{"name": text, "x": [None, 1.0]}]
    assert text in reader.text
    assert 'onload="' not in page.replace("&quot;", "")


def test_several_objectives_show_the_front(made_up):
    known = made_up([0.1, 0.2, 0.3], objective=["valid/mrr@20", COSTS[0]])
    page, reader = page_and_reader(known)
    board = section(page, "leaderboard")
    assert "Pareto front: " in words(board)
    assert any(c["layout"]["xaxis"]["title"]["text"] == COSTS[0] for c in reader.charts)
    assert "Best config in the first objective: trial 2" in reader.text


def test_several_models_are_judged_each_by_itself(made_up):
    space = {"training.learning_rate": Float(1e-3, 1e-1, log=True), "model.width": Choice(8, 16)}
    known = made_up(
        [0.1 + 0.01 * i for i in range(10)],
        space=None,
        enqueue=None,
        base={},
        models={"sasrec": dict(space), "gru4rec": dict(space)},
    )
    page, reader = page_and_reader(known)
    told = words(section(page, "importance"))
    assert "Among the 5 trials of sasrec that finished." in told
    assert "Among the 5 trials of gru4rec that finished." in told
    assert "Models by mrr@20" in words(section(page, "leaderboard"))
    heads = next(c["layout"]["xaxis"] for c in reader.charts if c["layout"].get("shapes"))
    assert heads["ticktext"][0] == "model"
    assert "varies neither" in words(section(page, "codes"))


def test_the_map_has_the_best_of_each_cell(made_up):
    space = {
        "graph.links_per_item": Int(1, 2),
        "training.learning_rate": Float(1e-3, 1e-1, log=True),
    }
    known = made_up([0.1, 0.3, 0.2, 0.25], space=space, enqueue=None)
    facts = gather(known)
    best = {}
    for row in facts.rows:
        links = row.settings["graph.links_per_item"]
        best[links] = max(best.get(links, 0), row.value)
    (table,) = [b for b in codes_map(facts).blocks if isinstance(b, Table)]
    assert {int(row[1]): float(row[2]) for row in table.rows} == {
        links: pytest.approx(100 * value) for links, value in best.items()
    }
    assert sum(int(row[3]) for row in table.rows) == 4


def test_test_figures_are_labelled(made_up):
    known = made_up([0.1, 0.2])
    figures = ConfigFigures(
        trial=1,
        epochs=2,
        config={},
        settings={"graph.n_codes": 4},
        validation={"valid/mrr@20": 0.2},
        seeds=(SeedFigures(seed=1, seconds=3600.0),),
        mean={"test/mrr@20": 0.15},
        std={"test/mrr@20": 0.01},
        low={"test/mrr@20": 0.12},
        high={"test/mrr@20": 0.18},
    )
    result = FinalResult(
        study=known.name,
        dataset="shop",
        dataset_hash="0" * 64,
        protocol="ratio",
        objective="valid/mrr@20",
        seeds=(1,),
        configs=(figures,),
    )
    opening = Opening(at="2026-01-01T00:00:00+00:00", trials=(1,))
    record = FinalRecord(opened=(opening,), result=result)
    known.folder.write("finalized.json", record.model_dump_json())
    page, reader = page_and_reader(known)
    told = words(section(page, "finals"))
    assert "These are figures of TEST" in told
    assert "15.00±1.00 [12.00–18.00]" in told
    assert "TEST, trial 1 refitted with 1 seed: mrr@20 15.000 %" in reader.text
    assert "refits for test, and runs with other seeds 1 h 00 min" in words(section(page, "cost"))
    known.folder.write("finalized.json", "damaged")
    page, _ = page_and_reader(known)
    assert "cannot be read" in words(section(page, "finals"))


def test_the_command_writes_both_files_and_attaches_them(trained, tmp_path):
    from mlflow import MlflowClient

    out = tmp_path / "page.html"
    client = MlflowClient(f"sqlite:///{trained.folder.path.parents[1] / 'mlflow.db'}")

    def study_run():
        experiment = client.get_experiment_by_name("small").experiment_id
        (run,) = client.search_runs([experiment], "tags.`mmsr.kind` = 'study'")
        return run

    ended = {study_run().info.end_time}
    for _ in range(2):
        done = CliRunner().invoke(app, ["study", "report", "small", "-o", str(out)])
        assert done.exit_code == 0, done.output + repr(done.exception)
        ended.add(study_run().info.end_time)
    assert len(ended) == 1, "it ends when the study has ended"
    assert "attached to the study's run in MLflow" in done.output
    assert out.read_text().startswith("<!doctype html>")
    assert out.with_suffix(".md").read_text().startswith("# Study small")
    run = study_run()
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "report.md"} <= files
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("output", "told"),
    [(".", "is a folder"), ("a.md", "name the page"), ("no/such/a.html", "there is no folder")],
)
def test_an_output_that_cannot_be_is_refused_first(output, told, home, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["study", "report", "nothing", "-o", output])
    assert isinstance(done.exception, UserError)
    assert told in str(done.exception)


def test_energy_is_summed_and_said_to_be_an_estimate(made_up):
    known = made_up([0.1, 0.2], energy=Energy(0.5, 0.2))
    page, _ = page_and_reader(known, intervals=0)
    told = words(section(page, "cost"))
    assert "energy of 2 trials 1 kWh" in told
    assert "CO2 equivalents of 2 trials 0.4 kg" in told
    assert "estimate" in told
    board = next(b for b in section(page, "leaderboard").blocks if isinstance(b, Table))
    at = board.columns.index("kWh")
    assert [row[at] for row in board.rows[:2]] == ["0.5", "0.5"]
    done = CliRunner().invoke(app, ["study", "leaderboard", known.name, "--json"])
    assert [row["energy_kwh"] for row in json.loads(done.stdout)["trials"]] == [0.5, 0.5]
    shown = CliRunner().invoke(app, ["study", "leaderboard", known.name, "--top", "1"]).stdout
    assert "energy of 2 trials: 1 kWh" in shown


@pytest.mark.parametrize(
    ("energy", "told"),
    [
        (UNMEASURED, ""),
        (Energy(lacking="none"), "Energy of 2 trials was not measured; reason of the first: none"),
    ],
)
def test_energy_that_was_not_measured_has_no_figure(made_up, energy, told):
    page, _ = page_and_reader(made_up([0.1, 0.2], energy=energy), intervals=0)
    cost = words(section(page, "cost"))
    assert "not measured (extra `energy`)" in cost
    assert told in cost
    assert "kWh" not in words(section(page, "leaderboard"))
