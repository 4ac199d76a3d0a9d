"""What is shown of a study of several models: the dry run, its leaderboard, each model's best."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.study import Float, ModelHalving, Study
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.export import export_best
from mmsr.study.storage.database import open_storage
from mmsr.study.storage.known_study import look_up
from mmsr.study.views import dry_run
from mmsr.study.workers.messages import Failure, Report

SPACE = {"training.learning_rate": Float(1e-4, 1e-2, log=True)}
VALUES = {"gru4rec": 0.1, "sasrec": 0.3, "sr_gnn": 0.2}
METRICS = [f"valid/{name}@{k}" for name in ("mrr", "hr", "ndcg") for k in (5, 10, 20)]


@pytest.fixture
def plan(study_home):
    study = Study(dataset="shop", name="many", models=dict.fromkeys(VALUES, SPACE), trials=7)
    made = make_plan(study, Options())
    made.folder.path.mkdir(parents=True)
    return made


@pytest.fixture
def done(plan):
    """The study with seven trials: three of the first model, of which one has failed."""
    ledger = Ledger(open_study_of(plan, open_storage(plan.storage)), plan.rules(), plan.folder.ray)
    for number in range(7):
        name = ledger.ask("r").config.model.name
        if number == 6:
            ledger.fail("r", Failure(error="no luck", traceback=""))
            continue
        metrics = dict.fromkeys(METRICS, VALUES[name] - number / 100)
        ledger.report(
            "r",
            Report(
                epoch=1,
                metrics=metrics,
                best_epoch=1,
                best_metrics=metrics,
                finished=True,
                seconds=3600.0,
            ),
        )
    return look_up("many")


def test_the_leaderboard_has_a_line_for_each_model_best_first(done):
    run = CliRunner().invoke(app, ["study", "leaderboard", "many"])
    assert run.exit_code == 0, run.output
    lines = [line.replace("│", " ").split() for line in run.output.splitlines()]
    by_model = [line for line in lines if line[:1] and line[0] in VALUES]
    assert [line[:4] for line in by_model] == [
        ["sasrec", "29.00", "1", "2"],
        ["sr_gnn", "18.00", "2", "2"],
        ["gru4rec", "10.00", "0", "3"],
    ]
    assert by_model[2][-4:] == ["2", "finished,", "1", "failed"]
    places = [line[:3] for line in lines if line[:1] and line[0].isdecimal()]
    assert places[:3] == [["1", "1", "sasrec"], ["2", "4", "sasrec"], ["3", "2", "sr_gnn"]]


def test_the_best_config_is_exported_of_all_models_or_of_one(done):
    for model, trial in ((None, 1), ("sasrec", 1), ("gru4rec", 0)):
        words = ["best-config", "export", "many", *(["--model", model] if model else [])]
        run = CliRunner().invoke(app, words)
        assert run.exit_code == 0, run.output
        tree = yaml.safe_load(run.output)
        assert tree["provenance"]["trial"] == trial
        assert tree["config"]["model"]["name"] == (model or "sasrec")


def test_a_model_that_the_study_lacks_is_refused(done):
    with pytest.raises(UserError, match="did you mean 'sasrec'"):
        export_best(done, model="sasreq")
    with pytest.raises(UserError, match="model gru4rec' has no finished trial of this number"):
        done.best(6, "gru4rec")


@pytest.mark.parametrize(
    ("share", "told"),
    [
        ("trials", "3, 2 trials for each, 1 model one more"),
        ("hours", "3, the same hours of training for each"),
        (ModelHalving(first_round=1), "3, 1 trial in the first round of halving over models"),
    ],
)
def test_the_dry_run_says_what_each_model_gets(plan, monkeypatch, capsys, share, told):
    monkeypatch.setattr(dry_run, "expect", lambda plan, console, left: {})
    study = Study(
        dataset="shop", models=dict.fromkeys(VALUES, SPACE), trials=7, share=share, name="dry"
    )
    dry_run.show_plan(make_plan(study, Options()))
    out = " ".join(capsys.readouterr().out.split())
    assert told in out
    for one in plan.models:
        assert f"search space of {one.model}" in out
        size = f"{one.model} ({len(one.known)} tried first, 1 setting × 1 continuous dimension)"
        assert size in out
    assert out.count("tried first") == 3 + sum(len(one.known) for one in plan.models)


def test_one_trial_of_each_model_is_timed(plan, monkeypatch, capsys):
    from mmsr.console import Console
    from mmsr.study.sizing.probe import Measured, Probe

    monkeypatch.setattr(Probe, "known", lambda self: None)
    seconds = {"gru4rec": 1.0, "sasrec": 2.0, "sr_gnn": 6.0}

    def measure(self, say):
        return Measured(
            train_seconds=seconds[self.config.model.name], evaluate_seconds=0, share=1, memory=2**30
        )

    monkeypatch.setattr(Probe, "measure", measure)
    monkeypatch.setattr(dry_run, "_at_once", lambda plan: 1)
    found = dry_run.expect(plan, Console(), 7)
    assert found["epoch"].count("training") == 3
    epochs = plan.base.training.epochs
    assert found["expected"].startswith(f"about {dry_run.seconds(7 * epochs * 3.0)}, for 7 trials")
