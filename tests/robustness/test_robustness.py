"""Robustness of a run, a config and a study, as a user asks for it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.evaluation.robustness import links_of
from mmsr.robustness.request import RATES, make_sweep, parse_rates, parse_subsets
from mmsr.study import Study
from mmsr.study.results.knockouts import some_targets
from mmsr.study.results.measured_model import find_subject
from mmsr.training import read_checkpoint_state, train

SMALL = {
    "graph.n_codes": 5,
    "graph.links_per_item": 2,
    "model.width": 8,
    "model.scoring": "item_and_codes",
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.threads": 1,
}


def trained(shop: Dataset, folder: Path, part: str = "train", **settings: object) -> Config:
    config = Config(dataset="shop").replace({**SMALL, **settings})
    for result in train(config, shop, part=part):
        result.save_checkpoint(folder)
    return config


def ask(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["robustness", *map(str, arguments)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["robustness", *map(str, arguments)])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_rates_and_subsets_in_words():
    assert parse_rates(RATES) == (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    assert parse_rates("1, 0.5,0.5") == (0.0, 0.5, 1.0)
    for bad in ("0", "", "a", "1.1", "-0.1", "nan", "0.1;0.2"):
        with pytest.raises(UserError, match="--rates"):
            parse_rates(bad)
    two, three = ("image", "text"), ("image", "noise", "text")
    assert parse_subsets(None, two) == (("image",), ("text",), two)
    assert parse_subsets(None, ("text",)) == (("text",),)
    assert parse_subsets("both,text", two) == (two, ("text",))
    assert parse_subsets("text+image,all", three) == (("image", "text"), three)
    with pytest.raises(UserError, match=r"both: the model has image, noise, text; say all"):
        parse_subsets("both", three)
    with pytest.raises(UserError, match=r"'imgae'.*did you mean 'image'"):
        parse_subsets("imgae", two)
    given = {"subsets": None, "rates": RATES, "metric": "mrr@20"}
    with pytest.raises(UserError, match="--way"):
        make_sweep(two, way="positon", seeds=1, **given)
    with pytest.raises(UserError, match="--seeds 0"):
        make_sweep(two, way="item", seeds=0, **given)
    with pytest.raises(UserError, match="no modalities"):
        make_sweep((), way="item", seeds=1, **given)


def test_a_run_from_the_command_to_its_files(shop: Dataset, tmp_path: Path):
    trained(shop, tmp_path / "run")
    folder = tmp_path / "found"
    out = ask(tmp_path / "run", "--rates", "0.5,1", "--seeds", "2", "-o", folder)
    assert "image + text" in out
    assert "no modality" in out
    found = json.loads((folder / "robustness-valid.json").read_text())
    state = read_checkpoint_state(tmp_path / "run")
    assert found["curves"]["clean"]["mrr@20"] == state.best_metrics["valid/mrr@20"]
    assert (folder / "robustness-valid.png").read_bytes()[1:4] == b"PNG"
    page = (folder / "robustness-valid.html").read_text()
    assert "image + text" in page
    assert 'src="http' not in page, "it needs no network"
    kept = {path: path.stat().st_mtime_ns for path in (folder / "ranks").iterdir()}
    again = ask(tmp_path / "run", "--rates", "0.5,1", "--seeds", "2", "-o", folder)
    assert again == out
    assert {path: path.stat().st_mtime_ns for path in (folder / "ranks").iterdir()} == kept
    by_access = ask(tmp_path / "run", "--rates", "0.5", "--way", "access", "-o", folder)
    assert "the authors' way" in by_access


def test_a_run_that_is_saved_again_is_not_mixed_up(shop: Dataset, tmp_path: Path):
    trained(shop, tmp_path / "run")
    subject = find_subject(str(tmp_path / "run"))
    assert subject.load("cpu").training
    trained(shop, tmp_path / "run", seed=7)
    with pytest.raises(UserError, match="was saved again meanwhile"):
        subject.load("cpu")


def test_a_config_is_trained_first_and_once(shop: Dataset, tmp_path: Path):
    config = Config(dataset="shop").replace(SMALL)
    (tmp_path / "best.yaml").write_text(config.to_yaml())
    folder = tmp_path / "found"
    arguments = (tmp_path / "best.yaml", "--rates", "1", "--seeds", "1", "-o", folder)
    first = ask(*arguments)
    subject = find_subject(str(tmp_path / "best.yaml"))
    written = (subject.checkpoint / "state.json").stat().st_mtime_ns
    assert ask(*arguments) == first
    assert (subject.checkpoint / "state.json").stat().st_mtime_ns == written


def test_a_model_trained_on_gaps_is_tested_from_no_gaps_on(shop: Dataset, tmp_path: Path):
    keys = {"graph.missing.rate": 0.5, "graph.missing.modalities": ["image"]}
    trained(shop, tmp_path / "run", **keys)
    model = find_subject(str(tmp_path / "run")).load("cpu")
    assert (links_of(model)["image"] >= 0).all(axis=1).sum() == 38


def test_what_was_never_there_in_training_stays_away_and_cannot_be_asked_for(shop, tmp_path):
    keys = {"graph.missing.rate": 0.99, "graph.missing.modalities": ["image"]}  # all, rounded
    trained(shop, tmp_path / "never", **keys)
    subject = find_subject(str(tmp_path / "never"))
    assert subject.modalities == ("text",)
    assert (links_of(subject.load("cpu"))["image"] == -1).all()
    trained(shop, tmp_path / "without", **{"graph.modalities": ["text"]})
    for run in ("never", "without"):
        told = refused(tmp_path / run, "--modalities", "image")
        assert "trained without 'image'" in told
        assert "text" in told
    trained(shop, tmp_path / "none", **{"graph.modalities": []})
    assert "no modalities" in refused(tmp_path / "none")


def test_what_validation_is_not_new_to_is_refused(shop: Dataset, tmp_path: Path):
    trained(shop, tmp_path / "refit", part="development")
    assert "would flatter it" in refused(tmp_path / "refit")
    trained(shop, tmp_path / "run")
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(tmp_path / "run", "-o", tmp_path / "file" / "below")
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    state["dataset_hash"] = "0" * 64
    (tmp_path / "run" / "state.json").write_text(json.dumps(state))
    assert "other data" in refused(tmp_path / "run")
    (tmp_path / "run" / "state.json").write_text("{")
    assert "damaged" in refused(tmp_path / "run")
    assert "is a file" in refused("nothing", "-o", tmp_path / "file")


def test_bad_names_end_in_a_line_before_torch_is_loaded(shop_home: Path):
    code = (
        "import sys\nfrom mmsr.cli.app import main\nsys.argv = ['mmsr', 'robustness', 'nothing']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        "    print(stop.code, 'torch' in sys.modules, 'ray' in sys.modules)\n"
    )
    environment = {"MMSR_HOME": str(shop_home), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "2 False False\n", done.stderr
    assert "unknown study 'nothing'" in done.stderr


def test_some_targets_are_those_of_whole_users(shop: Dataset):
    valid = shop.valid()
    assert some_targets(valid, len(valid)) is valid
    some = some_targets(valid, 30)
    assert 0 < len(some) < len(valid)
    whole = np.isin(valid.users, some.users)
    assert np.array_equal(some.targets, valid.targets[whole])


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, without_ray: Callable[..., None]) -> None:
    """Trials run one after the other in this process, Ray is not started."""
    without_ray(monkeypatch)


@pytest.mark.usefixtures("in_process")
def test_a_study_says_what_modalities_are_and_keeps_its_robustness_as_a_nested_run(
    study_home: Path, small_study: Study, capsys: pytest.CaptureFixture[str]
):
    from mlflow import MlflowClient

    study = dataclasses.replace(small_study, trials=1, epochs=2)
    assert study.run().ended == "finished"
    told = capsys.readouterr().out
    assert "modalities of trial 0, each shuffled among items, on validation" in told
    assert "  image: " in told
    kept = (study_home / "studies" / "shop" / "knockouts.json").read_text()
    assert study.run().ended == "finished"
    assert "knocking out" not in capsys.readouterr().out, "it is worked out once"
    board = CliRunner().invoke(app, ["study", "leaderboard", "shop"])
    assert "  image: " in board.output
    client = MlflowClient(f"sqlite:///{study_home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("shop").experiment_id

    def ends() -> set[tuple[str, int]]:
        found = client.search_runs([experiment])
        return {(run.info.run_id, run.info.end_time) for run in found}

    before = ends()
    ask("shop", "--rates", "0.5,1", "--seeds", "1")
    assert before < (between := ends()), "runs end when they have ended"
    (run,) = client.search_runs([experiment], "tags.`mmsr.kind` = 'robustness'")
    client.set_tag(run.info.run_id, "mmsr.error", "it was killed")
    ask("shop", "--rates", "0.5,1", "--seeds", "1")
    assert {run_id for run_id, _ in between - ends()} == {run.info.run_id}, "it is measured again"
    assert (study_home / "studies" / "shop" / "knockouts.json").read_text() == kept
    found = json.loads(
        (study_home / "studies" / "shop/robustness/robustness-valid.json").read_text()
    )
    (run,) = client.search_runs([experiment], "tags.`mmsr.kind` = 'robustness'")
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["mmsr.kind"] == "study"
    assert (run.info.run_name, run.info.status) == ("robustness", "FINISHED")
    assert "mmsr.error" not in run.data.tags
    curve = client.get_metric_history(run.info.run_id, "valid/missing_image/mrr_at_20")
    points = found["curves"]["curves"][0]["points"]
    assert {m.step: m.value for m in curve} == {round(100 * p["rate"]): p["value"] for p in points}
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {f"robustness-valid{end}" for end in (".json", ".png", ".html")}
