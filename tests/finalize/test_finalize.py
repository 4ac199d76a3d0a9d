"""From a study's best trials to final figures, on made-up trials and ranks, without Ray."""

from __future__ import annotations

import dataclasses
import io
import json
import statistics
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from mmsr.cli.app import main
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.evaluation.significance import holm, paired_wilcoxon, per_user_means
from mmsr.finalize import reporting, run
from mmsr.finalize.collect import collect, runs_of
from mmsr.finalize.request import DEVELOPMENT, TRAIN, make_final_plan
from mmsr.finalize.view import markdown, show_record
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.export import export_best
from mmsr.study.results.finalized import FinalRecord, read_final
from mmsr.study.results.held_out import Opening
from mmsr.study.storage import database
from mmsr.study.storage.budget import BUDGET, SPENT
from mmsr.study.storage.known_study import STUDY, look_up
from mmsr.study.storage.progress import failed, n_over, set_target, take_back
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Failure, Report

OBJECTIVE = "valid/mrr@20"
N_USERS = 40
USERS = np.repeat(np.arange(N_USERS), 1 + np.arange(N_USERS) % 3).astype(np.int32)


def report_of(value, epoch=2, best_epoch=2):
    return Report(
        epoch=epoch,
        metrics={OBJECTIVE: value},
        best_epoch=best_epoch,
        best_metrics={OBJECTIVE: value, "train/loss": 1.0},
        finished=True,
        seconds=60.0,
    )


@pytest.fixture
def known(small_study, study_home, opened_study):
    """A study whose three trials have finished, the last one with the best value."""
    plan = make_plan(small_study, Options(name="small", trials=3))
    study = opened_study(plan, command="python small.py")
    ledger = Ledger(study, plan.rules(), plan.folder.ray)
    for value in (0.2, 0.25, 0.3):
        ledger.ask("a")
        ledger.report("a", report_of(value, epoch=3))
    return look_up("small")


def ranks_of(trial, seed):
    base = np.random.default_rng(seed).integers(1, 30, size=len(USERS))
    return np.clip(base * (3 - trial), 1, None).astype(np.int32)


def ledger_of(plan, study, retries=False):
    return Ledger(study, plan.rules(retries=retries), plan.folder.ray)


@pytest.fixture
def finalized(known, opened_study):
    """Final figures of runs with made-up ranks and validation scores; some may have failed."""

    def make(plan, failing=()):
        study = opened_study(plan)
        (plan.folder.path / "tested").mkdir(parents=True)
        from mmsr.study.storage.progress import add_missing

        add_missing(study, plan.only)
        ledger = ledger_of(plan, study)
        for number in range(plan.trials):
            settings = ledger.ask("a").settings
            if number in failing:
                ledger.fail("a", Failure(error="out of memory", traceback=""))
                continue
            value = 0.1 + settings["trial"] / 100 + settings["seed"] / 1e5
            metrics = {plan.objective: 1.0}
            if settings["part"] == TRAIN:
                metrics[OBJECTIVE] = value
            ledger.report(
                "a",
                report_of(0).model_copy(update={"metrics": metrics, "best_metrics": metrics}),
            )
            ranks = ranks_of(settings["trial"], settings["seed"])
            file = plan.folder.path / "tested" / f"trial-{number:05d}.safetensors"
            save_file({"ranks": ranks, "users": USERS}, file)
        return collect(plan, runs_of(plan, rows(study)))

    return make


def test_the_best_trials_get_new_seeds_for_weights_and_codes(known):
    plan = make_final_plan(known, top=2, n_seeds=3)
    assert [one.number for one in plan.chosen] == [2, 1]
    assert plan.seeds == (2024, 2025, 2026)
    assert plan.resources.cpu == 2
    assert plan.trials == len(plan.only) == 2 * 3 * 2
    one = plan.chosen[0]
    refit = plan.config_of({"trial": 2, "seed": 2025, "part": DEVELOPMENT})
    again = plan.config_of({"trial": 2, "seed": 2025, "part": TRAIN})
    assert (refit.seed, refit.graph.seed, refit.training.threads) == (2025, 2025, 2)
    assert (refit.training.epochs, again.training.epochs) == (2, 3)
    back = {"seed": one.config.seed, "graph.seed": 0, "training.threads": 1}
    assert again.replace(back) == one.config
    assert plan.training_seconds == pytest.approx(2 * 3 * (60 * 2 / 3 + 60))
    assert make_final_plan(known, top=2, optimism=False).trials == 2 * 3


def test_trials_can_be_named(known):
    plan = make_final_plan(known, trials=[0, 1], n_seeds=1)
    assert [one.number for one in plan.chosen] == [1, 0], "best first"
    with pytest.raises(UserError, match=r"--trial 7: it is not there.*2, 1, 0"):
        make_final_plan(known, trials=[7])
    with pytest.raises(UserError, match="at least 1"):
        make_final_plan(known, n_seeds=0)


def test_a_study_with_trials_left_to_run_is_refused(known):
    set_target(known.study, 4)
    with pytest.raises(UserError) as refused:
        make_final_plan(known)
    for told in ("3 of 4 trials are done", "best may change", "`python small.py`", "--force"):
        assert told in str(refused.value)
    assert make_final_plan(known, force=True).trials_wanted == 4
    with known.folder.locked(), pytest.raises(UserError, match="wait until it ends"):
        make_final_plan(known)


def test_a_used_up_budget_finishes_a_study(known):
    set_target(known.study, 4)
    known.study.set_user_attr(BUDGET, {"hours": 1.0})
    known.study.set_user_attr(SPENT, {"hours": 1.0})
    assert make_final_plan(known).trials_over == 3


def test_no_more_configs_are_asked_for_than_have_finished(known):
    with pytest.raises(UserError, match=r"--top 5: study 'small' has 3 finished configs.*--top 3"):
        make_final_plan(known, top=5)
    assert len(make_final_plan(known, trials=[0], top=5).chosen) == 1, "trials were named"
    opened = (Opening(at="2026-01-01T00:00:00+00:00", trials=(0,)),)
    known.folder.write("finalized.json", FinalRecord(opened=opened).model_dump_json())
    assert len(make_final_plan(known, top=5).chosen) == 3, "an older version opened test for them"


def test_a_study_with_a_trainer_of_its_own_is_refused(known):
    own = known.definition.model_copy(update={"trainer": "mine:train"})
    with pytest.raises(UserError, match="has a trainer of its own, mine:train, but refits are by"):
        make_final_plan(dataclasses.replace(known, definition=own))


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `mmsr study finalize small` with more options; returns its exit code, out and err."""

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["mmsr", "study", "finalize", "small", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return call


def test_a_dry_run_refuses_what_a_run_refuses(known, command, monkeypatch):
    monkeypatch.setattr(run, "run_plan", Mock(side_effect=AssertionError("nothing may run")))
    assert command("--dry-run")[0] == 0
    set_target(known.study, 4)
    for options in ((), ("--dry-run",)):
        code, _, err = command(*options)
        assert (code, err.count("\n")) == (2, 1)
        assert "study 'small' is not finished: 3 of 4 trials" in err
    assert command("--dry-run", "--force")[0] == 0
    assert command("--force", "--top", "5")[0] == 2


def test_figures_that_are_there_are_shown_though_the_study_goes_on(known, finalized, command):
    result = finalized(make_final_plan(known, n_seeds=3))
    opened = (Opening(at="2026-01-01T00:00:00+00:00", trials=(0,)),)
    record = FinalRecord(opened=opened, result=result)
    known.folder.write("finalized.json", record.model_dump_json())
    set_target(known.study, 4)
    code, out, _ = command()
    assert (code, "test was opened already" in out) == (0, True)
    code, _, err = command("--again")
    assert (code, "is not finished" in err) == (2, True)


def test_figures_are_over_seeds_and_intervals_over_users(known, finalized):
    result = finalized(make_final_plan(known, top=2, n_seeds=3))
    assert (result.n_users, result.n_targets) == (N_USERS, len(USERS))
    for config in result.configs:
        hits = [np.mean(ranks_of(config.trial, seed) <= 20) for seed in result.seeds]
        assert config.mean["test/hr@20"] == pytest.approx(statistics.fmean(hits))
        assert config.std["test/hr@20"] == pytest.approx(statistics.stdev(hits))
        for name, mean in config.mean.items():
            assert config.low[name] <= mean <= config.high[name]
    assert [one.trial for one in result.configs] == [2, 1], "the order is that of validation"
    assert result.trials == (3, 3)


def test_optimism_is_the_validation_score_less_that_of_other_seeds(known, finalized):
    result = finalized(make_final_plan(known, top=1, n_seeds=3))
    one = result.best.optimism
    values = [0.12 + seed / 1e5 for seed in result.seeds]
    assert one.selected == 0.3
    assert one.mean == pytest.approx(statistics.fmean(values))
    assert one.std == pytest.approx(statistics.stdev(values))
    assert one.luck == pytest.approx(0.3 - statistics.fmean(values))
    assert one.error == pytest.approx(statistics.stdev(values) / 3**0.5)


def test_optimism_can_be_left_out(known, finalized):
    result = finalized(make_final_plan(known, top=1, n_seeds=1, optimism=False))
    assert (result.best.optimism, result.best.reseeded) == (None, ())
    assert result.best.std == {}


def test_the_studys_own_run_is_not_resumed(known, finalized, monkeypatch):
    tracker = Mock()
    monkeypatch.setattr(reporting, "open_journal", lambda known: tracker)
    plan = make_final_plan(known, n_seeds=1, optimism=False)
    reporting.FinalsReporter(plan, tracker)
    reporting.report_results(known, FinalRecord(result=finalized(plan)), [])
    opened = [call for call in tracker.open_run.call_args_list if call.args[0] == STUDY]
    assert [call.kwargs["resume"] for call in opened] == [False, False]


def test_every_two_configs_are_compared_over_users(known, finalized):
    result = finalized(make_final_plan(known, top=3, n_seeds=2))
    assert [(pair.first, pair.second) for pair in result.pairs] == [(2, 1), (2, 0), (1, 0)]
    means = {
        trial: np.mean(
            [per_user_means(1.0 * (ranks_of(trial, s) <= 5), USERS) for s in result.seeds], axis=0
        )
        for trial in (0, 1, 2)
    }
    expected = [paired_wilcoxon(means[p.first], means[p.second]) for p in result.pairs]
    for pair, p, corrected in zip(result.pairs, expected, holm(expected), strict=True):
        one = pair.metrics["hr@5"]
        assert (one.p, one.p_corrected) == pytest.approx((p, corrected))
        assert one.difference == pytest.approx((means[pair.first] - means[pair.second]).mean())
        assert one.low <= one.difference <= one.high
        assert one.p_bootstrap <= one.p_bootstrap_corrected <= 1


def test_a_run_that_failed_is_told_and_the_others_count(known, finalized):
    result = finalized(make_final_plan(known, top=1, n_seeds=2), failing={0, 3})
    refit, reseeded = result.best.failed
    assert (refit.seed, refit.error) == (2024, "out of memory")
    assert reseeded.seed == 2025
    assert result.best.mean["test/hr@20"] == np.mean(ranks_of(2, 2025) <= 20)
    assert result.best.optimism.n == 1
    text = shown(FinalRecord(result=result))
    assert "trial 2, seed 2024 failed: out of memory" in text


def test_runs_that_failed_are_tried_again(known, finalized, monkeypatch):
    plan = make_final_plan(known, top=1, n_seeds=2)
    finalized(plan, failing={0, 3})
    monkeypatch.setattr(run, "run_plan", run_plan := Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.finalize(plan, Console(file=io.StringIO()))
    assert list(run_plan.call_args.kwargs["retried"]) == list(plan.only)
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    assert failed(study, plan.only) == [0, 3]
    assert failed(study, plan.only[1:]) == [3]
    take_back(study, failed(study, plan.only))
    assert failed(study, plan.only) == [], "what has been taken back is not taken back once more"
    assert n_over(study, plan.only) == plan.trials - 2
    ledger = ledger_of(plan, study, retries=True)
    assert ledger.reclaim() == 2
    assert ledger.reclaim() == 0


def test_runs_that_fail_alike_each_time_stop_nobody(known, finalized):
    plan = make_final_plan(known, top=1, n_seeds=3)
    finalized(plan, failing={1, 2, 3, 4})
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    for retries in (True, True, False):
        take_back(study, failed(study, plan.only))
        ledger = ledger_of(plan, study, retries=retries)
        assert ledger.reclaim() == 4
        for _ in range(4):
            ledger.ask("a")
            ledger.fail("a", Failure(error="out of memory", traceback=""))
        assert (ledger.fatal_error is None) == retries
        assert n_over(study, plan.only) == plan.trials - (0 if retries else 3)


def test_failed_runs_are_left_alone_once_test_is_open(known, finalized, monkeypatch):
    plan = make_final_plan(known, top=1, n_seeds=2)
    finalized(plan, failing={0})
    opening = Opening(at="2026-01-01T00:00:00+00:00", trials=(1,))
    known.folder.write("finalized.json", FinalRecord(opened=(opening,)).model_dump_json())
    monkeypatch.setattr(run, "run_plan", run_plan := Mock(return_value=0))
    assert run.finalize(plan, Console(file=io.StringIO())).record.opened == (opening,)
    retried = run_plan.call_args.kwargs["retried"]
    assert [one["part"] for one in retried] == [TRAIN, TRAIN]
    monkeypatch.setattr(run, "run_plan", run_plan := Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.finalize(plan, Console(file=io.StringIO()), again=True)
    assert list(run_plan.call_args.kwargs["retried"]) == list(plan.only)


@pytest.mark.parametrize("left", ["voided", "running"])
def test_a_refit_that_is_tried_again_is_new_to_test(known, finalized, left):
    """`--again` was cut off hard: before the successor was queued, or while it trained."""
    plan = make_final_plan(known, top=1, n_seeds=2)
    finalized(plan, failing={0})
    opening = Opening(at="2026-01-01T00:00:00+00:00", trials=(1,))
    known.folder.write("finalized.json", FinalRecord(opened=(opening,)).model_dump_json())
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    take_back(study, [0])
    if left == "running":
        ledger = ledger_of(plan, study)
        ledger.reclaim()
        ledger.ask("a")
    with pytest.raises(UserError, match="--again opens test once more"):
        run.finalize(plan, Console(file=io.StringIO()))


def test_going_on_twice_is_going_on(known, finalized, monkeypatch):
    plan = make_final_plan(known, top=1, n_seeds=2)
    finalized(plan)
    openings = [
        Opening(at=f"2026-01-0{n}T00:00:00+00:00", trials=t) for n, t in ((1, (0, 1)), (2, (1,)))
    ]
    known.folder.write("finalized.json", FinalRecord(opened=tuple(openings)).model_dump_json())
    monkeypatch.setattr(run, "run_plan", Mock(return_value=0))
    found = run.finalize(plan, Console(file=io.StringIO()))
    assert (found.opened, found.complete, len(found.record.opened)) == (False, True, 2)


def test_openings_of_another_machine_ask_for_a_word(known, finalized, monkeypatch):
    plan = make_final_plan(known, top=1, n_seeds=2)
    finalized(plan)
    monkeypatch.setattr(run, "run_plan", Mock(return_value=0))
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    refits = [row.number for row in rows(study) if row.settings["part"] == DEVELOPMENT]
    study.set_user_attr("test_opened", [{"at": "2026-01-01T00:00:00+00:00", "trials": refits}])
    console = Console(file=io.StringIO())
    with monkeypatch.context() as away:
        away.setattr(run, "is_ranked", lambda folder, number: False)
        with pytest.raises(UserError, match="--again opens test once more, which is counted"):
            run.finalize(plan, console)
    found = run.finalize(plan, console)
    assert (len(found.record.opened), found.opened) == (1, False), "the ranks are here"


def shown(record, width=120):
    console = Console(width=width, file=io.StringIO())
    show_record(record, console)
    return console.file.getvalue()


def test_what_is_shown_says_what_it_takes_to_read_it(known, finalized):
    set_target(known.study, 4)
    result = finalized(make_final_plan(known, top=2, n_seeds=2, force=True))
    opened = (Opening(at="2026-01-01T00:00:00+00:00", trials=(0, 1)),)
    record = FinalRecord(opened=opened, result=result)
    for text in (shown(record), markdown(record)):
        assert "test of 2 configs × 2 seeds, chosen on validation" in text
        assert "trial 2 was chosen for valid/mrr@20 30.000 %" in text
        assert "of it is luck" in text
        assert "this understates the luck" in text
        assert "the study was not finished: 3 of 4 trials were done" in text
        assert "test opened 1 time for this study, first 2026-01-01" in text
        assert "2 – 1" in text
    table = shown(record, 80).splitlines()[2:8]
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(table)


def test_the_exported_config_has_its_final_figures(known, finalized):
    result = finalized(make_final_plan(known, top=2, n_seeds=2))
    record = FinalRecord(opened=(Opening(at="then", trials=(0,)),), result=result)
    known.folder.write("finalized.json", record.model_dump_json())
    assert read_final(known.folder.finalized) == record
    found = yaml.safe_load(export_best(known))["provenance"]["finalized"]
    best = result.best
    assert (found["opened"], found["seeds"], found["epochs"]) == (["then"], [2024, 2025], 2)
    assert (found["mean"], found["std"]) == (best.mean, best.std)
    assert found["interval_95"]["test/hr@5"] == [best.low["test/hr@5"], best.high["test/hr@5"]]
    assert found["optimism"]["luck"] == best.optimism.luck
    assert "hr@5" in found["compared"]["trial 2 minus trial 1"]


OLD = {
    "opened": ["2025-01-01T00:00:00+00:00"],
    "result": {
        "study": "small",
        "trial": 2,
        "dataset": "shop",
        "dataset_hash": "0" * 64,
        "protocol": "ratio",
        "epochs": 2,
        "config": {"dataset": "shop"},
        "validation": {OBJECTIVE: 0.3},
        "seeds": [
            {"seed": 2023, "metrics": {"test/mrr@20": 0.2}},
            {"seed": 2024, "metrics": {"test/mrr@20": 0.3}},
        ],
        "mean": {"test/mrr@20": 0.25},
        "std": {"test/mrr@20": 0.07},
    },
}


def test_a_record_of_before_is_read(tmp_path, known):
    path = tmp_path / "finalized.json"
    path.write_text(json.dumps(OLD))
    record = read_final(path)
    assert [opening.at for opening in record.opened] == OLD["opened"]
    assert (record.result.best.trial, record.result.seeds) == (2, (2023, 2024))
    assert record.result.best.mean == {"test/mrr@20": 0.25}
    assert "25.00±7.00" in shown(record)
    assert "test opened 1 time" in markdown(record)
    known.folder.write("finalized.json", path.read_text())
    assert yaml.safe_load(export_best(known))["provenance"]["finalized"]["mean"] == {
        "test/mrr@20": 0.25
    }


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 3}', '{"result": {"seeds": 1}}'])
def test_a_record_that_cannot_be_read_is_no_empty_one(tmp_path, text):
    path = tmp_path / "finalized.json"
    path.write_text(text)
    with pytest.raises(UserError, match="restore the file"):
        read_final(path)
    assert read_final(tmp_path / "none").opened == ()
