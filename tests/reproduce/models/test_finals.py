"""From a search of several models to table 2, on made-up trials and ranks, without Ray."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.evaluation import ranking_metrics
from mmsr.evaluation.significance import crossed_test, holm, pooled_spread
from mmsr.reproduce.collect import make_results
from mmsr.reproduce.kept import read_kept, take_over, write_results
from mmsr.reproduce.models.finals import make_finals
from mmsr.reproduce.models.search import make_search
from mmsr.reproduce.models.seen_items import _LINES, LINES_FILE, measure_lines, read_lines
from mmsr.reproduce.models.view import models_markdown, notes, show_models
from mmsr.reproduce.results import LineFigures, Results
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.comparison import COMPARED
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

ROOT = Path(__file__).parents[3]
FACTORS = {"GRU4Rec": 3.0, "SASRec": 1.0, "NOVA": 1.1, "MMSR": 0.3}
SETTINGS = {"training.batch_size": 32, "graph.n_codes": 6, "graph.links_per_item": 2}


def of(results, label):
    return next(row for row in results.rows if row.label == label)


def shown(results):
    text = io.StringIO()
    show_models(results, Console(file=text, width=100))
    return text.getvalue()


def test_each_models_best_trial_by_validation_is_refitted(searched):
    search = searched()
    request = make_finals(search)
    assert [row.label for row in request.rows] == ["GRU4Rec", "SASRec", "NOVA", "MMSR"]
    found = {one.number: one for one in rows(look_up(search.plan.name).study)}
    for row in request.rows:
        config = request.config_of(row)
        best = found[row.settings["trial"]]
        own = [one for one in found.values() if one.model == best.model]
        assert best.value == max(one.value for one in own)
        assert config == best.config
        refit = request.plan.config_of({**row.settings, "seed": request.seeds[0]})
        assert refit.training.epochs == 2, "the epochs that the trial chose"
        assert refit.seed != config.seed
    assert len(request.runs) == 4 * 3
    assert request.best_baseline == "SASRec"


def test_figures_are_those_of_both_rankings(table_of, made_up):
    made = table_of()
    for label, factor in FACTORS.items():
        row = of(made.results, label)
        for seed in row.seeds:
            assert seed.test == ranking_metrics(made_up.ranks_of(seed.seed, factor))
            assert seed.test_masked == ranking_metrics(made_up.ranks_of(seed.seed, factor * 0.5))
            assert (seed.chosen_epoch, seed.epochs, seed.stopped_by) == (2, 4, "limit")
        assert row.mean["hr@5"] == pytest.approx(np.mean([one.test["hr@5"] for one in row.seeds]))
        assert row.mean_masked["hr@5"] > row.mean["hr@5"]


def test_rows_are_compared_with_the_own_model_and_the_best_baseline_once_each(table_of):
    made = table_of()
    results = made.results
    pairs = [
        *((label, "MMSR") for label in ("GRU4Rec", "NOVA", "SASRec")),
        *((label, "SASRec") for label in ("GRU4Rec", "NOVA")),
    ]
    stacked = {
        label: np.stack([made.runs[label, seed].users for seed in made.request.seeds], axis=1)
        for label in FACTORS
    }
    pooled = [
        pooled_spread([one[place].astype(float) for one in stacked.values()]) for place in range(4)
    ]
    p_values = [
        crossed_test(
            stacked[first][place].astype(float),
            stacked[second][place].astype(float),
            pooled=pooled[place],
        ).p
        for first, second in pairs
        for place in range(4)
    ]
    corrected = iter(holm(p_values))
    for first, second in pairs:
        row = of(results, first)
        found = row.comparisons if second == "MMSR" else row.against_baseline
        for name in COMPARED:
            assert found[name].p_corrected == pytest.approx(next(corrected))
    assert not of(results, "MMSR").comparisons
    assert not of(results, "MMSR").against_baseline
    assert not of(results, "SASRec").against_baseline
    assert of(results, "GRU4Rec").comparisons["hr@20"].significant
    line = next(line for line in shown(results).splitlines() if line.startswith("GRU4Rec"))
    assert "↓▽" in line


def test_nothing_is_compared_below_three_seeds(table_of):
    results = table_of(n_seeds=2).results
    assert not any(row.comparisons or row.against_baseline for row in results.rows)
    assert not {*"↓↑▽△"} & {*shown(results)}
    assert "no marks: they need 3 seeds of two rows" in shown(results)


def test_what_each_model_got_stands_under_the_table(table_of):
    results = table_of().results
    for row in results.rows:
        assert (row.search.trials, row.search.finished, row.search.epochs) == (2, 2, 8)
        assert row.search.seconds == 120.0
        assert 1 <= row.search.known <= 2
        assert "settings" in row.search.space
    text = " ".join(notes(results))
    assert "what a model did not get: a wider space" in text
    assert "the limit of 4 epochs ended the best trial" in text
    assert "the same number of trials" in text
    assert "do not have the same number" not in text
    out = shown(results)
    for title in ("seen items kept", "seen items masked", "published, Beauty", "search of each"):
        assert title in out


def test_reference_models_are_lines_of_both_tables(table_of, made_up):
    made = table_of()
    names = ("hr@5", "mrr@5", "hr@20", "mrr@20", "hr@10", "ndcg@10")
    lines = (
        LineFigures(
            label="popularity",
            kept=dict.fromkeys(names, 0.0123),
            masked=dict.fromkeys(names, 0.0456),
        ),
        LineFigures(label="EASE", left_out="too many items"),
    )
    path = made.request.plan.folder.path / LINES_FILE
    path.write_bytes(_LINES.dump_json(lines))
    results = make_results(made.request, made.runs, [], made_up.opened)
    assert results.lines == lines
    out = shown(results)
    assert [line.split()[1] for line in out.splitlines() if line.startswith("popularity")] == [
        "1.23",
        "4.56",
    ]
    assert "EASE: not measured (too many items)" in out
    path.write_text("nothing")
    with pytest.raises(UserError, match="restore it"):
        make_results(made.request, made.runs, [], made_up.opened)


def test_files_hold_the_whole_table_and_are_gone_on_from(table_of, tmp_path, made_up):
    made = table_of()
    paths = write_results(made.results, made.runs, tmp_path)
    assert [path.name for path in paths] == [
        "table2-shop.json",
        "table2-shop.md",
        "table2-shop.users.safetensors",
    ]
    assert Results.model_validate_json(paths[0].read_text()) == made.results
    kept, opened = read_kept(made.request, tmp_path)
    assert kept.keys() == made.runs.keys()
    assert opened == tuple(made_up.opened)
    text = paths[1].read_text()
    assert text == models_markdown(made.results)
    for heading in ("## Against MMSR", "## Against SASRec", "## Origin", "## Seen items masked"):
        assert heading in text
    assert take_over(made.request, tmp_path) == {}


def test_the_study_file_is_the_search_of_the_command(study_home):
    spec = importlib.util.spec_from_file_location("table2", ROOT / "studies" / "table2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.study.name == "table2-toys"
    here = dataclasses.replace(module.study, dataset="shop")
    of_file = make_plan(here, Options(settings=SETTINGS))
    of_command = make_search("shop", options=Options(settings=SETTINGS)).plan
    assert of_file.definition.difference(of_command.definition) is None
    assert set(of_command.names) <= set(of_file.names)
    assert of_file.trials / len(of_file.models) == of_command.trials / len(of_command.models)
    assert of_file.share == of_command.share


def test_a_best_baseline_with_few_seeds_marks_nothing_and_a_note_says_so(table_of, made_up):
    made = table_of()
    runs = {key: run for key, run in made.runs.items() if key != ("SASRec", made.request.seeds[0])}
    results = make_results(made.request, runs, [], made_up.opened)
    assert not any(row.against_baseline for row in results.rows)
    text = " ".join(notes(results))
    assert "no ▽ △: SASRec (best baseline on validation) has fewer than 3 seeds" in text
    assert "↓ ↑: lower, higher than MMSR; p <" in text


def test_the_own_models_row_is_bold_with_its_star(table_of, monkeypatch):
    styles = {}
    add = Table.add_row
    monkeypatch.setattr(
        Table,
        "add_row",
        lambda self, *cells, style="": (
            styles.setdefault(cells[0], style),
            add(self, *cells, style=style),
        ),
    )
    shown(table_of(labels=("SASRec", "MMSR")).results)
    assert styles["MMSR*"] == "bold"
    assert styles["SASRec*"] == ""


def test_reference_lines_that_fail_leave_the_ranks(table_of, monkeypatch):
    made = table_of(labels=("SASRec",))
    study = look_up(made.request.search.name).study
    known = made.request.plan.as_known(study)

    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("mmsr.evaluation.reference.measure", fail)
    measure_lines(known)(None)
    lines = read_lines(made.request.plan.folder)
    assert {line.left_out for line in lines} == {"CUDA out of memory"}
