"""From ranks to results: figures, comparisons and tables, on made-up ranks and without Ray."""

from __future__ import annotations

import io
import json
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.evaluation.significance import crossed_test, holm, pooled_spread
from mmsr.reproduce.collect import failed_run, finished_run, make_results, trials_of
from mmsr.reproduce.kept import read_kept, take_over, write_results
from mmsr.reproduce.results import Results
from mmsr.reproduce.run import _Table, reproduce
from mmsr.reproduce.view import markdown, notes, show_results
from mmsr.study.driver.ledger import Ledger
from mmsr.study.results.comparison import COMPARED
from mmsr.study.results.held_out import Opening
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report

N_USERS, PER_USER = 60, 2
USERS = np.repeat(np.arange(N_USERS), PER_USER).astype(np.int32)
OPENED = [Opening(at=f"2026-01-0{day}", trials=(day,)) for day in (2, 1)]
BETTER, SAME, WORSE = 0.4, 1.0, 3.0
SEEDS = (2023, 2024)


def ranks_of(seed, factor):
    """Ranks from 1 to 60; a factor above 1 makes them worse."""
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 40, size=len(USERS))
    return np.clip((base * factor).round(), 1, None).astype(np.int32)


@pytest.fixture
def table_of(request_of, study_home, opened_study):
    """Request, runs and results of a study whose trials failed, or finished with made-up ranks."""

    def make(factors, n_seeds=2, table="table3", epochs=4, best=2, **options):
        request = request_of(table, rows=list(factors), n_seeds=n_seeds, epochs=epochs, **options)
        plan = request.plan
        study = opened_study(plan, known=plan.only, command="mmsr reproduce")
        (plan.folder.path / "tested").mkdir(parents=True)
        ledger = Ledger(study, plan.rules(), plan.folder.ray)
        for (label, seed), settings in request.runs.items():
            proposal = ledger.ask("a")
            assert proposal.settings == settings
            factor = factors[label]
            factor = factor.get(seed) if isinstance(factor, dict) else factor
            if factor is None:
                ledger.fail("a", Failure(error="out of memory", traceback=""))
                continue
            metrics = {plan.objective: 0.1}
            report = Report(
                epoch=epochs + best,
                metrics=metrics,
                best_epoch=best,
                best_metrics=metrics,
                finished=True,
                seconds=5.0,
            )
            ledger.report("a", report)
            file = plan.folder.path / "tested" / f"trial-{proposal.number:05d}.safetensors"
            save_file({"ranks": ranks_of(seed, factor), "users": USERS}, file)
        known = plan.as_known(study)
        trials = trials_of(request, rows(known.study))
        runs = {
            key: finished_run(request, known, trial)
            for key, trial in trials.items()
            if trial.state == "finished"
        }
        failed = [
            (key[0], failed_run(request, trial))
            for key, trial in trials.items()
            if trial.state == "failed"
        ]
        results = make_results(request, runs, failed, OPENED)
        return SimpleNamespace(request=request, runs=runs, results=results)

    return make


@pytest.fixture
def results_of(table_of):
    """Only the results."""
    return lambda *arguments, **options: table_of(*arguments, **options).results


def test_two_machines_add_to_one_folder(table_of, tmp_path):
    made = table_of({"GCN": WORSE, "HAN-GNN": SAME})
    first, second = (_Table(made.request, tmp_path, "cpu") for _ in range(2))
    first.runs = {key: run for key, run in made.runs.items() if key[0] == "GCN"}
    second.runs = {key: run for key, run in made.runs.items() if key[0] == "HAN-GNN"}
    first.write()
    results, _ = second.write()
    assert {row.label: len(row.finished) for row in results.rows if row.seeds} == {
        "GCN": 2,
        "HAN-GNN": 2,
    }
    kept, _ = read_kept(made.request, tmp_path)
    assert kept.keys() == made.runs.keys()


def test_a_study_of_other_settings_is_not_read_though_nothing_is_left_to_run(
    table_of, request_of, tmp_path
):
    made = table_of({"GCN": WORSE, "HAN-GNN": SAME}, epochs=4)
    other = request_of(epochs=8)
    write_results(make_results(other, made.runs, [], OPENED), made.runs, tmp_path)
    with pytest.raises(UserError, match=r"training.epochs was 4 and is 8"):
        reproduce(other, Console(file=io.StringIO()), tmp_path)


def shown(results, width):
    console = Console(width=width, file=io.StringIO())
    show_results(results, console)
    return console.file.getvalue()


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
                for seed in SEEDS
            ]
            assert row(results, label).mean[metric] == pytest.approx(statistics.fmean(values))
            assert row(results, label).std[metric] == pytest.approx(statistics.stdev(values))
        assert [seed.best_epochs["mrr@20"] for seed in row(results, label).seeds] == [2, 2]
        assert [(one.epochs, one.chosen_epoch) for one in row(results, label).seeds] == [(4, 2)] * 2
        assert row(results, label).training_seconds == 10.0
    assert row(results, "GCN").published == {"hr@5": 5.6348, "mrr@5": 3.163}
    assert results.published_stands_in
    assert results.n_users == N_USERS
    assert results.selection == "validation"


def test_rows_are_compared_over_users_and_seeds_and_corrected_all_together(results_of):
    factors = {"GCN": WORSE, "GAT": BETTER, "HAN-GNN": SAME, "HGAT": {2023: WORSE, 2024: SAME}}
    results = results_of(factors, n_seeds=3)

    def per_user(factor, metric):
        by_seed = factor if isinstance(factor, dict) else dict.fromkeys((*SEEDS, 2025), factor)
        ranks = np.array([ranks_of(seed, one) for seed, one in by_seed.items()])
        values = np.vectorize(lambda r: contribution(r, metric))(ranks)
        return values.reshape(len(by_seed), N_USERS, PER_USER).mean(axis=2)

    expected = {
        (label, metric): crossed_test(
            per_user(factors[label], metric),
            per_user(SAME, metric),
            pooled=pooled_spread([per_user(factor, metric) for factor in factors.values()]),
        )
        for label in ("GCN", "GAT")
        for metric in COMPARED
    }
    corrected = holm([one.p for one in expected.values()])
    for (label, metric), p in zip(expected, corrected, strict=True):
        compared, one = row(results, label).comparisons[metric], expected[label, metric]
        assert compared.difference == pytest.approx(one.difference, rel=1e-5)
        assert compared.low < compared.difference < compared.high
        assert compared.p == pytest.approx(one.p, rel=1e-3)
        assert compared.p_corrected == pytest.approx(p, rel=1e-3)
    assert row(results, "HAN-GNN").comparisons == {}
    assert row(results, "HGAT").comparisons == {}, "two seeds are too few"


@pytest.mark.parametrize("two_seeds", ["GCN", "HAN-GNN"])
def test_nothing_is_compared_with_two_seeds(results_of, two_seeds):
    factors = {"GCN": WORSE, "HAN-GNN": SAME, two_seeds: dict.fromkeys(SEEDS, WORSE)}
    results = results_of(factors, n_seeds=3)
    assert len(row(results, two_seeds).finished) == 2
    assert all(not row.comparisons for row in results.rows)
    assert "no arrows: they need 3 seeds of HAN-GNN and of a row" in notes(results)


def test_the_table_marks_what_differs(results_of):
    factors = {"GCN": WORSE, "GAT": BETTER, "HAN-GNN": SAME}
    results = results_of(factors, n_seeds=3, settings={"training.patience": 2})
    lines = {line.split()[0]: line for line in shown(results, 100).splitlines() if line.strip()}
    assert (lines["GCN"].count("↓"), lines["GCN"].count("↑")) == (4, 0)
    assert (lines["GAT"].count("↓"), lines["GAT"].count("↑")) == (0, 4)
    assert "↓" not in lines["HAN-GNN"]
    assert f"{100 * row(results, 'GCN').mean['hr@5']:.2f}±" in lines["GCN"]
    assert lines["GCN"].rstrip().endswith("5.63   3.16")


def test_equal_rows_are_not_marked(results_of):
    results = results_of({"GCN": SAME, "HAN-GNN": SAME}, n_seeds=3)
    assert {one.p_corrected for one in row(results, "GCN").comparisons.values()} == {1.0}
    assert "↓" not in shown(results, 100).split("best epochs")[0]


def test_rows_that_failed_are_shown_as_failed(results_of):
    results = results_of({"GCN": None, "GAT": {2024: WORSE}, "HAN-GNN": SAME})
    failed, partly = row(results, "GCN"), row(results, "GAT")
    assert (failed.mean, len(failed.failed), failed.comparisons) == ({}, 2, {})
    assert (len(partly.failed), len(partly.finished), partly.std) == (1, 1, {})
    assert (partly.failed[0].epochs, partly.failed[0].stopped_by) == (0, None)
    for text in (shown(results, 120), markdown(results)):
        assert "GCN, seed 2023 failed: out of memory" in text
        assert "GAT, seed 2023 failed: out of memory" in text
        line = next(line for line in text.splitlines() if line.strip("| ").startswith("GCN"))
        assert "failed" in line
        assert "5.63" in line


def test_without_the_reference_nothing_is_compared(results_of):
    results = results_of({"GCN": WORSE, "GAT": BETTER})
    assert all(not row.comparisons for row in results.rows)
    assert any("no arrows" in line for line in notes(results))


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
    assert len([line for line in table.splitlines() if line.strip()]) == 1 + 1 + 8


def test_settings_are_shared_or_a_rows_own(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    assert results.config["model.width"] == 8
    assert not [key for key in results.config if key.startswith("model.aggregator")]
    assert row(results, "GCN").settings == {"model.aggregator.name": "gcn"}
    assert row(results, "HAN-GNN").settings["model.aggregator.order"] == "gated"
    assert {"dataset", "seed", "training.threads"}.isdisjoint(results.config)


def test_rows_that_were_not_run_are_listed_with_the_published_figures(results_of):
    results = results_of({"HAN-GNN": SAME}, n_seeds=1)
    for text in (shown(results, 100), markdown(results)):
        lines = [line for line in text.splitlines() if "not run yet" in line]
        assert len(lines) == 7
        assert "5.63" in next(line for line in lines if "GCN" in line)


@pytest.mark.parametrize(("best", "marked"), [(4, True), (3, True), (2, False)])
def test_a_row_that_the_limit_ended_is_marked(results_of, best, marked):
    settings = {"training.patience": 2}
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME}, best=best, settings=settings)
    for text in (shown(results, 100), markdown(results)):
        assert ("GCN*" in text) == marked
        assert ("*: a run was ended by the limit of 4 epochs, so" in text) == marked


@pytest.mark.parametrize(("best", "marked"), [(4, True), (3, False)])
def test_a_row_that_is_best_in_the_last_kept_epoch_is_marked(results_of, best, marked):
    results = results_of({"GCN": WORSE}, settings={"training.patience": 2})
    gcn = row(results, "GCN")
    seeds = [s.model_copy(update={"best_epochs": {"hr@5": 1, "mrr@5": best}}) for s in gcn.seeds]
    rows = [gcn.model_copy(update={"seeds": seeds})]
    chosen = results.model_copy(update={"selection": "TEST-SELECTED", "rows": rows})
    assert ("GCN*" in shown(chosen, 100)) == marked
    assert any("in the last epoch that was kept" in line for line in notes(chosen)) == marked


def test_a_run_ends_by_patience_or_by_the_limit(results_of):
    settings = {"training.patience": 2}
    results = results_of({"HAN-GNN": SAME}, n_seeds=1, epochs=4, best=2, settings=settings)
    assert row(results, "HAN-GNN").seeds[0].stopped_by == "patience"


def test_the_number_of_seeds_may_differ(results_of):
    results = results_of({"GCN": {2024: WORSE}, "GAT": SAME, "HAN-GNN": SAME}, n_seeds=3)
    assert "3 seeds: GAT, HAN-GNN; 1 seed: GCN" in notes(results)
    assert row(results, "GAT").comparisons
    assert not row(results, "GCN").comparisons


def test_what_limps_is_said(results_of):
    text = "\n".join(notes(results_of({"HAN-GNN": SAME}, n_seeds=1)))
    assert "features: image 12 numbers" in text
    assert "its Beauty column, chosen on test; table3 has none for shop" in text
    assert "no row was tuned" in text
    assert "test: opened 2 times by study table3-shop, first 2026-01-01" in text


def test_files_are_the_state_of_a_table(table_of, tmp_path):
    table = table_of({"GCN": WORSE, "GAT": {2023: SAME}, "HAN-GNN": SAME}, n_seeds=3)
    folder = tmp_path / "new" / "folder"
    json_file, markdown_file, _ = write_results(table.results, table.runs, folder)
    assert Results.model_validate_json(json_file.read_text()) == table.results
    text = markdown_file.read_text()
    assert "| GCN | HR@5 |" in text
    assert table.results.dataset_hash in text
    assert table.results.code["version"] in text
    runs, opened = read_kept(table.request, folder)
    assert runs.keys() == table.runs.keys()
    again = make_results(table.request, runs, [], opened)
    assert again.rows[0] == table.results.rows[0], "figures and comparisons are the same"
    assert again.test_opened == table.results.test_opened
    assert row(again, "GAT").failed == (), "what failed is to be run again"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"settings": {"model.width": 16}}, "model.width was 8 and is 16"),
        ({"epochs": 5}, "training.epochs was 4 and is 5"),
    ],
)
def test_files_of_other_results_are_not_overwritten(table_of, request_of, tmp_path, changes, told):
    table = table_of({"HAN-GNN": SAME}, n_seeds=1)
    write_results(table.results, table.runs, tmp_path)
    with pytest.raises(UserError, match=told):
        read_kept(request_of(**{"epochs": 4, **changes}), tmp_path)


def test_config_keys_that_are_newer_than_a_file_have_what_they_were_before(table_of, tmp_path):
    table = table_of({"GCN": SAME, "HAN-GNN": SAME}, n_seeds=1)
    json_file, *_ = write_results(table.results, table.runs, tmp_path)
    older = json.loads(json_file.read_text())
    assert older["config"].pop("training.loss.name") == "softmax"
    json_file.write_text(json.dumps(older))
    assert read_kept(table.request, tmp_path)[0].keys() == table.runs.keys()
    older["config"] |= {"training.loss.name": "softmax", "training.of_a_newer_version": 1}
    json_file.write_text(json.dumps(older))
    with pytest.raises(UserError, match=r"of_a_newer_version was 1 and is None"):
        read_kept(table.request, tmp_path)


def test_damaged_files_are_not_overwritten(table_of, tmp_path):
    table = table_of({"HAN-GNN": SAME}, n_seeds=1)
    json_file, _, means = write_results(table.results, table.runs, tmp_path)
    means.unlink()
    with pytest.raises(UserError, match="lacks HAN-GNN/2023"):
        read_kept(table.request, tmp_path)
    for content in (b"{}", b"\xff\xfe"):
        json_file.write_bytes(content)
        with pytest.raises(UserError, match="another version of mmsr wrote it: move it away"):
            read_kept(table.request, tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"HAN-GNN": np.zeros((4, N_USERS), np.float32)},
        {"HAN-GNN/2023": np.zeros((4, 3), np.float32)},
        {"HAN-GNN/2023": np.zeros((4, N_USERS), np.float16)},
    ],
)
def test_damaged_means_are_refused(table_of, tmp_path, arrays):
    table = table_of({"HAN-GNN": SAME}, n_seeds=1)
    *_, means = write_results(table.results, table.runs, tmp_path)
    save_file(arrays, means)
    with pytest.raises(UserError, match="is damaged"):
        read_kept(table.request, tmp_path)


def test_unrelated_files_are_skipped(table_of, tmp_path):
    table = table_of({"HAN-GNN": SAME}, n_seeds=1)
    (tmp_path / "notes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "list.json").write_text("[]")
    assert take_over(table.request, tmp_path) == {}


def test_a_row_of_another_table_is_taken_over(table_of, request_of, tmp_path):
    table = table_of({"GCN": WORSE, "HAN-GNN": SAME})
    write_results(table.results, table.runs, tmp_path)
    ablation = request_of("table4", ["HAN-GNN", "he"], epochs=4)
    found = take_over(ablation, tmp_path)
    assert found.keys() == {("HAN-GNN", 2023), ("HAN-GNN", 2024)}
    results = make_results(ablation, found, [], ())
    assert row(results, "HAN-GNN").mean == row(table.results, "HAN-GNN").mean
    told = "HAN-GNN, seeds 2023, 2024: from study table3-shop, which ran the same settings"
    assert told in notes(results)
    assert take_over(table.request, tmp_path) == {}, "its own file is none of another table"
    for other in ({"epochs": 5}, {"epochs": 4, "select_on": "test"}):
        assert take_over(request_of("table4", ["HAN-GNN"], **other), tmp_path) == {}


def test_test_selected_results_say_so(results_of):
    results = results_of({"GCN": WORSE, "HAN-GNN": SAME})
    chosen = results.model_copy(update={"selection": "TEST-SELECTED"})
    assert "TEST-SELECTED" not in shown(results, 80) + markdown(results)
    assert shown(chosen, 80).count("TEST-SELECTED") == 2
    assert markdown(chosen).startswith("# table3 (graph aggregators) on shop: TEST-SELECTED")
