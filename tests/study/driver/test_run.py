"""One real study on Ray, from a study file to its export and final test."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from mmsr import load
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.evaluation import ranking_metrics
from mmsr.finalize.request import make_final_plan
from mmsr.study.results.export import export_best
from mmsr.study.results.finalized import read_final
from mmsr.study.results.held_out import rank
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import ranked, rows
from mmsr.training import train

pytestmark = pytest.mark.slow

STUDY = """
from mmsr.study import Choice, Float, Halving, Int, Study

study = Study(
    dataset="shop",
    name="small",
    trials=5,
    epochs=3,
    space={
        "graph.n_codes": Int(4, 8, step=2),
        "graph.links_per_item": Int(1, 6),
        "model.aggregator.name": Choice("dual_attention", "gcn"),
        "model.aggregator.order": Choice(
            "gated", "he", when={"model.aggregator.name": "dual_attention"}
        ),
        "training.learning_rate": Float(1e-3, 1e-1, log=True),
    },
    base={"model.width": 8, "training.batch_size": 32},
    enqueue=[{"graph.n_codes": 6, "graph.links_per_item": 2, "training.learning_rate": 1e-2}],
    pruner=Halving(first_rung=1, factor=2, startup_trials=3),
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture(scope="module")
def finished(shop_home, tmp_path_factory, driver_class):
    """The study, run while the test file was away."""
    folder = tmp_path_factory.mktemp("run")
    home = folder / "home"
    for part in ("datasets", "held-out"):
        shutil.copytree(shop_home / part, home / part)
    test_file = home / "held-out" / "shop" / "test.arrow"
    test_file.rename(folder / "test.arrow")
    script = folder / "small.py"
    script.write_text(STUDY)
    driver = driver_class(script, {**os.environ, "MMSR_HOME": str(home)})
    out, err = driver.run()
    assert not test_file.exists()
    shutil.copy(folder / "test.arrow", test_file)
    return SimpleNamespace(home=home, out=out, err=err, driver=driver)


@pytest.fixture
def known(finished, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(finished.home))
    return look_up("small")


def test_a_study_needs_no_test_file_and_says_what_it_did(finished):
    assert finished.err == ""
    lines = finished.out.splitlines()
    assert len([line for line in lines if line.startswith("[")]) == 5
    assert "leaderboard" in finished.out
    assert "mmsr ui small" in finished.out
    assert "mmsr best-config export small" in finished.out


def test_optuna_holds_every_trial(known):
    found = rows(known.study)
    assert len(found) == 5
    assert {row.state for row in found} <= {"finished", "pruned"}
    assert found[0].settings["graph.n_codes"] == 6
    assert found[0].settings["graph.links_per_item"] == 2
    for row in found:
        trial = known.study.trials[row.number]
        assert row.config.training.threads == 1
        assert row.config.training.select_by == "valid/mrr@20"
        assert len(trial.intermediate_values) == row.epochs
        if row.state == "finished":
            assert row.value == row.metrics["valid/mrr@20"]
            assert row.value == max(trial.intermediate_values.values())
        assert trial.user_attrs["code"]["version"]


def test_mlflow_holds_every_trial(finished, known, tracked_runs):
    runs = {
        int(run.data.tags["mmsr.optuna_number"]): run
        for run in tracked_runs(finished.home, "small")
    }
    found = rows(known.study)
    assert set(runs) == {row.number for row in found}
    for row in found:
        run = runs[row.number]
        assert run.info.status == ("FINISHED" if row.state == "finished" else "KILLED")
        assert run.data.params == {k: str(v) for k, v in row.config.flat().items()}
        assert run.data.tags["mmsr.dataset_hash"] == known.definition.dataset_hash
        assert run.data.tags["mmsr.protocol"] == "ratio"
        assert run.data.tags["mlflow.source.name"] == "small.py"
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.name == "shop"
        assert known.definition.dataset_hash.startswith(used.dataset.digest)
        assert run.data.metrics["best/valid/mrr_at_20"] == row.metrics["valid/mrr@20"]
        artifacts = finished.home / "mlartifacts" / "small" / run.info.run_id / "artifacts"
        assert Config.from_yaml(artifacts / "config.yaml") == row.config
        assert (artifacts / "best.safetensors").stat().st_size > 0


def test_export_replays_to_the_digit(known, tmp_path):
    path = tmp_path / "best.yaml"
    path.write_text(export_best(known))
    config = Config.from_yaml(path)
    row, expected = known.best()
    assert config == expected
    provenance = yaml.safe_load(path.read_text())["provenance"]
    assert provenance["trial"] == row.number
    assert provenance["dataset_hash"] == known.definition.dataset_hash
    assert provenance["finalized"] is None
    *_, last = train(config, Dataset.open("shop"), device="cpu")
    for name, value in provenance["metrics"].items():
        assert last.best_metrics[name] == pytest.approx(value, abs=1e-6)
    assert last.best_epoch == provenance["best_epoch"]


def test_the_same_command_again_runs_nothing(finished):
    out, _ = finished.driver.run_here()
    assert "nothing to do" in out
    assert "Ray" not in out


def test_another_definition_is_refused(finished):
    _, err = finished.driver.run_here("--epochs", "4", code=2)
    assert "training.epochs was 3 and is 4" in err
    assert err.count("\n") == 1
    _, err = finished.driver.run_here("--set", "graph.n_codes=4", code=2)
    assert "exists with another definition" in err


def test_dry_run_shows_and_schedules_nothing(finished):
    def files():
        """All but caches: codes and what was measured are kept there."""
        cache = finished.home / "cache"
        return sorted(path for path in finished.home.rglob("*") if cache not in path.parents)

    before = files()
    out, _ = finished.driver.run("--dry-run", "--name", "other")
    assert "5 trials of at most 3 epochs" in out
    assert "at once on this machine" in out
    assert "GB at the peak of the first known settings" in out
    assert "an epoch" in out or "one epoch" in out
    assert "for 5 trials of 3 epochs at this speed" in " ".join(out.split())
    assert "graph.n_codes" in out
    assert files() == before
    again, _ = finished.driver.run("--dry-run", "--name", "other")
    assert "timing" in out
    assert again == out.replace("timing a part of one epoch\n", ""), "it was measured once"


def runs_of_kind(known, kind):
    from mlflow import MlflowClient

    client = MlflowClient(known.tracking.reveal())
    experiment = client.get_experiment_by_name("small").experiment_id
    return client.search_runs([experiment], f"tags.`mmsr.kind` = '{kind}'")


def versions_of(name, known):
    from mlflow import MlflowClient

    client = MlflowClient(known.tracking.reveal())
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    return list(client.search_model_versions(f"name = '{name}'"))


def test_finalize_opens_test_once_and_records_it(finished, known, mmsr, mmsr_process, ray_here):
    test_file = finished.home / "held-out" / "shop" / "test.arrow"
    test_file.rename(test_file.with_name("away"))
    code, _, err = mmsr("study", "finalize", "small")
    assert (code, "lacks its test part" in err) == (2, True)
    test_file.with_name("away").rename(test_file)
    with known.folder.locked():
        code, _, err = mmsr("study", "finalize", "small", "--seeds", "1")
    assert (code, "is being run" in err) == (2, True)
    assert read_final(known.folder.finalized).opened == (), "neither has opened test"

    def run(*arguments, code=0):
        found, out, err = mmsr(*arguments)
        assert found == code, out + err
        return out, err

    arguments = ("study", "finalize", "small", "--top", "2", "--seeds", "2")
    out, _ = run(*arguments)
    record = read_final(known.folder.finalized)
    result = record.result
    assert (len(record.opened), len(record.opened[0].trials)) == (1, 4)
    row, config = known.best()
    assert (result.best.trial, result.best.epochs) == (row.number, row.best_epoch)
    assert result.seeds == (config.seed + 1, config.seed + 2)
    assert re.search(r"optimism: trial \d+ was chosen for valid/mrr@20", out)
    assert "this understates the luck" in out
    assert "test opened 1 time" in out
    assert "best so far" not in out
    (opening,) = openings(Dataset.open("shop"))
    chosen = ", ".join(str(one.trial) for one in result.configs)
    assert opening.who == "mmsr study finalize"
    assert opening.why == f"study small: trials {chosen}"

    # What was ranked is the refit on train + validation of the seed: trained again, it is the same.
    again = config.replace(
        {
            "seed": result.seeds[0],
            "graph.seed": result.seeds[0],
            "training.epochs": row.best_epoch,
        }
    )
    shop = Dataset.open("shop")
    *_, last = train(again, shop, part="development", device="cpu")
    ranks = rank(last.model, open_test(shop, who="tests", why="the oracle"), again)
    found = {f"test/{name}": value for name, value in ranking_metrics(ranks).items()}
    assert result.best.seeds[0].metrics == pytest.approx(found)

    (final,) = runs_of_kind(known, "finalize")
    assert final.data.metrics["test/mrr_at_20"] == result.best.mean["test/mrr@20"]
    assert final.data.metrics["optimism/luck"] == result.best.optimism.luck
    assert final.info.status == "FINISHED"
    configs = runs_of_kind(known, "final config")
    assert {run.data.tags["mlflow.parentRunId"] for run in configs} == {final.info.run_id}
    refits, reseeded = runs_of_kind(known, "refit"), runs_of_kind(known, "reseeded")
    assert (len(configs), len(refits), len(reseeded)) == (2, 4, 4)
    assert {run.data.tags["mlflow.parentRunId"] for run in refits} == {
        run.info.run_id for run in configs
    }
    artifacts = finished.home / "mlartifacts" / "small"
    assert (artifacts / final.info.run_id / "artifacts" / "finalized.md").exists()
    for refit in refits:
        assert refit.data.metrics["test/hr_at_5"] >= 0
        assert (artifacts / refit.info.run_id / "artifacts" / "best.safetensors").exists()
    # The winner is registered: the first refit, which recommends as the model trained again does.
    (version,) = registered = versions_of("small", known)
    assert (version.run_id, version.tags["mmsr.alias"]) == (final.info.run_id, "champion")
    logged = Path(version.source.removeprefix("file://"))
    champion = load(logged / "data" / "model")
    np.testing.assert_array_equal(champion.item_vectors(), last.model.item_vectors().detach())
    assert champion.facts.test.mean == result.best.mean

    out, _ = run(*arguments)
    assert "opened already" in out
    assert read_final(known.folder.finalized) == record
    out, _ = run("study", "finalize", "small", "--seeds", "1")
    assert "for other configs or seeds than those asked for now" in out
    # Of what is asked for now everything is known: --again opens nothing.
    run(*arguments[:3], "--top", "2", "--seeds", "1", "--no-optimism", "--again")
    narrower = read_final(known.folder.finalized)
    assert narrower.opened == record.opened
    assert narrower.result.best.seeds == result.best.seeds[:1]
    assert yaml.safe_load(export_best(known))["provenance"]["finalized"]["seeds"] == [2024]

    known.folder.write("finalized.json", json.dumps({"opened": ["2099-01-01"], "result": None}))
    _, err = run("study", "finalize", "small", "--seeds", "3", code=2)
    assert "that call was interrupted" in err

    known.folder.finalized.unlink()
    narrow = ("study", "finalize", "small", "--seeds", "1", "--no-optimism")
    run(*narrow)
    assert read_final(known.folder.finalized).opened == record.opened, "the storage knows"
    known.folder.finalized.unlink()  # as on another driver's machine
    ranks = known.folder.path / "finalize" / "tested"
    ranks.rename(ranks.with_name("away"))
    _, err = run(*narrow, code=2)
    assert "--again opens test once more, which is counted" in err
    assert not known.folder.finalized.exists()
    done = mmsr_process(finished.home, *narrow, "--again")  # on a Ray that it starts and stops
    assert (done.code, done.err) == (0, ""), done.out + done.err
    opened = read_final(known.folder.finalized).opened
    assert (opened[:1], len(opened)) == (record.opened, 2)
    assert [v.version for v in versions_of("small", known)] == [v.version for v in registered], (
        "the same model is registered once"
    )
    shutil.rmtree(ranks.with_name("away"))
    known.folder.finalized.unlink()


def test_finalize_refuses_other_data(known):
    other = known.definition.model_copy(update={"dataset_hash": "0" * 64})
    with pytest.raises(UserError, match="is not the one"):
        make_final_plan(dataclasses.replace(known, definition=other))


def test_the_leaderboard_puts_the_best_first(known):
    order = ranked(rows(known.study))
    states = [row.state for row in order]
    assert states == sorted(states, key=["finished", "pruned"].index)
    values = [row.value for row in order if row.state == "finished"]
    assert values == sorted(values, reverse=True)


@pytest.fixture
def mmsr(finished, mmsr_here):
    """Run the `mmsr` command in this process; returns its exit code and what it said."""

    def run(*arguments):
        done = mmsr_here(finished.home, *arguments)
        return done.code, done.out, done.err

    return run


def test_the_commands_that_look_at_a_study(mmsr):
    code, out, _ = mmsr("study", "list")
    assert code == 0
    assert "small" in out
    assert "5 of 5" in out
    code, out, _ = mmsr("study", "status", "small")
    assert code == 0
    assert "finished, 5 of 5 trials done" in out
    code, out, _ = mmsr("study", "leaderboard", "small", "--top", "2")
    assert code == 0
    assert out.count("n_codes") == 2


def test_the_commands_refuse_what_is_not_there(mmsr, tmp_path):
    for arguments, told in {
        ("study", "status", "smal"): "did you mean 'small'",
        ("study", "leaderboard", "../x"): "bad study name",
        ("study", "finalize", "nope"): "unknown study",
        ("best-config", "export", "nope"): "unknown study",
        ("study", "status", "small", "--storage", f"sqlite:///{tmp_path / 'x.db'}"): "no study",
    }.items():
        code, _, err = mmsr(*arguments)
        assert code == 2
        assert told in err
        assert err.count("\n") == 1


def test_export_from_the_command_line(mmsr, known, tmp_path):
    code, printed, _ = mmsr("best-config", "export", "small")
    assert code == 0
    path = tmp_path / "best.yaml"
    assert mmsr("best-config", "export", "small", "-o", str(path))[0] == 0
    written = yaml.safe_load(path.read_text())
    assert written["config"] == yaml.safe_load(printed)["config"]
    code, _, err = mmsr("best-config", "export", "small", "-o", str(path))
    assert (code, "--force" in err) == (2, True)
    assert mmsr("best-config", "export", "small", "-o", str(path), "--force")[0] == 0
    code, _, err = mmsr("best-config", "export", "small", "-o", str(tmp_path / "no" / "x"))
    assert (code, "cannot write" in err) == (2, True)
