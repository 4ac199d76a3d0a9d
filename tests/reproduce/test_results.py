"""From ranks to results: figures, comparisons and tables, on made-up ranks and without Ray."""

from __future__ import annotations

import io
import statistics

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file
from scipy.stats import wilcoxon

from mmsr.reproduce.collect import collect, runs_of
from mmsr.reproduce.results import Results
from mmsr.reproduce.run import write_results
from mmsr.reproduce.view import markdown, notes, show_results
from mmsr.study.driver.ledger import Ledger
from mmsr.study.results.comparison import COMPARED
from mmsr.study.storage import database
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report

N_USERS, PER_USER = 60, 2
USERS = np.repeat(np.arange(N_USERS), PER_USER).astype(np.int32)
BETTER, SAME, WORSE = 0.4, 1.0, 3.0


def ranks_of(seed, factor):
    """Ranks from 1 to 60; a factor above 1 makes them worse."""
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 40, size=len(USERS))
    return np.clip((base * factor).round(), 1, None).astype(np.int32)


@pytest.fixture
def results_of(request_of, study_home):
    """Results of a study whose trials failed, or finished with made-up ranks."""

    def make(factors, n_seeds=2):
        request = request_of(rows=list(factors), n_seeds=n_seeds)
        plan = request.plan
        study = database.open_study(
            database.open_storage(plan.storage),
            plan.name,
            plan.definition,
            known=plan.only,
            trials=plan.trials,
            sampler=plan.sampler.build(0, 0),
            pruner=None,
        )
        plan.folder.path.mkdir(parents=True)
        (plan.folder.path / "tested").mkdir()
        ledger = Ledger(study, plan.rules(), plan.folder.ray)
        for settings in plan.known:
            proposal = ledger.ask("a")
            assert proposal.settings == settings
            label = {row.settings["model.aggregator.name"]: row.label for row in request.rows}
            factor = factors[label[settings["model.aggregator.name"]]]
            if factor is None or (isinstance(factor, dict) and settings["seed"] not in factor):
                ledger.fail("a", Failure(error="out of memory", traceback=""))
                continue
            factor = factor[settings["seed"]] if isinstance(factor, dict) else factor
            metrics = {plan.objective: 0.1}
            report = Report(
                epoch=1,
                metrics=metrics,
                best_epoch=1,
                best_metrics=metrics,
                finished=True,
                seconds=5.0,
            )
            ledger.report("a", report)
            file = plan.folder.path / "tested" / f"trial-{proposal.number:05d}.safetensors"
            save_file({"ranks": ranks_of(settings["seed"], factor), "users": USERS}, file)
        known = look_up(plan.name, plan.storage)
        return collect(request, known, runs_of(request, rows(known.study)))

    return make


def shown(results, width):
    console = Console(width=width, record=True, file=io.StringIO())
    show_results(results, console)
    return console.export_text()


def row(results, label):
    return next(row for row in results.rows if row.label == label)


def contribution(rank, metric):
    name, k = metric.split("@")
    return (rank <= int(k)) * (1.0 if name == "hr" else 1 / rank)


def test_figures_are_means_over_seeds(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    for label, factor in (("GCN", WORSE), ("HAN-GNN", SAME)):
        for metric in COMPARED:
            values = [
                statistics.fmean(contribution(r, metric) for r in ranks_of(seed, factor).tolist())
                for seed in results.seeds
            ]
            assert row(results, label).mean[metric] == pytest.approx(statistics.fmean(values))
            assert row(results, label).std[metric] == pytest.approx(statistics.stdev(values))
        assert [seed.best_epochs["mrr@20"] for seed in row(results, label).seeds] == [1, 1]
        assert row(results, label).training_seconds == 10.0
    assert row(results, "GCN").published == {"hr@5": 5.6348, "mrr@5": 3.163}
    assert results.published_stands_in
    assert results.n_users == N_USERS
    assert results.selection == "validation"


def test_rows_are_compared_over_users_and_corrected_over_rows(results_of):
    results = results_of({"GCN": WORSE, "GAT": BETTER, "HAN-GNN": SAME})

    def per_user(factor, metric):
        ranks = np.array([ranks_of(seed, factor) for seed in results.seeds])
        values = np.vectorize(lambda r: contribution(r, metric))(ranks)
        return values.reshape(len(results.seeds), N_USERS, PER_USER).mean(axis=(0, 2))

    for metric in COMPARED:
        reference = per_user(SAME, metric)
        differences = {
            label: per_user(factor, metric) - reference
            for label, factor in (("GCN", WORSE), ("GAT", BETTER))
        }
        p = {
            label: wilcoxon(np.round(d[np.abs(d) > 1e-9], 9)).pvalue
            for label, d in differences.items()
        }
        smallest = min(p, key=p.get)
        for label, difference in differences.items():
            compared = row(results, label).comparisons[metric]
            assert compared.difference == pytest.approx(difference.mean())
            assert compared.low <= compared.difference <= compared.high
            assert compared.p == pytest.approx(p[label])
            corrected = 2 * p[label] if label == smallest else max(2 * p[smallest], p[label])
            assert compared.p_corrected == pytest.approx(min(corrected, 1))
    assert row(results, "HAN-GNN").comparisons == {}


def test_the_table_marks_what_differs(results_of):
    results = results_of({"GCN": WORSE, "GAT": BETTER, "HAN-GNN": SAME})
    lines = {line.split()[0]: line for line in shown(results, 100).splitlines() if line.strip()}
    assert (lines["GCN"].count("↓"), lines["GCN"].count("↑")) == (4, 0)
    assert (lines["GAT"].count("↓"), lines["GAT"].count("↑")) == (0, 4)
    assert "↓" not in lines["HAN-GNN"]
    assert f"{100 * row(results, 'GCN').mean['hr@5']:.2f}±" in lines["GCN"]
    assert lines["GCN"].rstrip().endswith("5.63   3.16")


def test_equal_rows_are_not_marked(results_of):
    results = results_of({"GCN": SAME, "HAN-GNN": SAME})
    assert {one.p_corrected for one in row(results, "GCN").comparisons.values()} == {1.0}
    assert "↓" not in shown(results, 100).split("best epochs")[0]


def test_rows_that_failed_are_shown_as_failed(results_of):
    results = results_of({"GCN": None, "GAT": {2024: WORSE}, "HAN-GNN": SAME})
    failed, partly = row(results, "GCN"), row(results, "GAT")
    assert (failed.mean, len(failed.failed), failed.comparisons) == ({}, 2, {})
    assert (len(partly.failed), len(partly.finished), partly.std) == (1, 1, {})
    for text in (shown(results, 120), markdown(results)):
        assert "GCN, seed 2023 failed: out of memory" in text
        assert "GAT, seed 2023 failed: out of memory" in text
        line = next(line for line in text.splitlines() if line.strip("| ").startswith("GCN"))
        assert "failed" in line
        assert "5.63" in line


def test_without_the_reference_nothing_is_compared(results_of):
    results = results_of({"GCN": WORSE, "GAT": BETTER})
    assert all(not row.comparisons for row in results.rows)
    assert any("no comparison" in line for line in notes(results))


def test_one_seed_has_no_spread(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME}, n_seeds=1)
    assert row(results, "GCN").std == {}
    assert "±" not in shown(results, 80).split("paper", 1)[1].split("best epochs")[0]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_terminal(results_of, width):
    results = results_of({"Graphormer": WORSE, "GraphSAGE": BETTER, "HAN-GNN": SAME})
    table = shown(results, width).split("paper", 1)[1].split("best epochs")[0]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width
    assert len([line for line in table.splitlines() if line.strip()]) == 1 + 1 + 3


def test_settings_are_shared_or_a_rows_own(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    assert results.config["model.width"] == 8
    assert not [key for key in results.config if key.startswith("model.aggregator")]
    assert row(results, "GCN").settings == {"model.aggregator.name": "gcn"}
    assert row(results, "HAN-GNN").settings["model.aggregator.order"] == "gated"
    assert {"dataset", "seed", "training.threads"}.isdisjoint(results.config)


def test_results_are_written_and_read_back(results_of, tmp_path):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    json_file, markdown_file = write_results(results, tmp_path / "new" / "folder")
    assert Results.model_validate_json(json_file.read_text()) == results
    text = markdown_file.read_text()
    assert "| GCN | HR@5 |" in text
    assert results.dataset_hash in text
    assert results.code["version"] in text


def test_test_selected_results_say_so(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    chosen = results.model_copy(update={"selection": "TEST-SELECTED"})
    assert "TEST-SELECTED" not in shown(results, 80) + markdown(results)
    assert shown(chosen, 80).count("TEST-SELECTED") == 2
    assert markdown(chosen).startswith("# table3 (graph aggregators) on shop: TEST-SELECTED")
