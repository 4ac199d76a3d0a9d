"""What other Optuna clients keep in the same storage, or add to a study: checked like input."""

from __future__ import annotations

import itertools
import sqlite3

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.study import Choice, Float, Int
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.proposals import Exhausted
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.existing import check_existing, find_existing
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.rules import Rules
from mmsr.study.storage import database
from mmsr.study.storage.attributes import INVALID
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.outside import PASSED_OVER, screened
from mmsr.study.storage.progress import counted
from mmsr.study.storage.single_writer import SingleWriterStorage
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Report
from mmsr.tracking.databases import sqlite_file
from mmsr.urls import Url

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = "valid/mrr@20"
DROPOUT = next(key for key in Config(dataset="d").flat() if "dropout" in key)
SPACE = {
    "model.width": Int(8, 64, step=8),
    DROPOUT: Float(0.0, 0.5),
    "training.batch_size": Choice(32, 64),
}


def contents(storage: Url) -> list[tuple]:
    """All that the tables of studies and trials hold."""
    with sqlite3.connect(sqlite_file(storage)) as connection:
        tables = ("studies", "study_user_attributes", "trials", "trial_user_attributes")
        return [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]


@pytest.fixture
def foreign(small_study, study_home):
    """The plan of a study, and the user's own study of its name in the same storage."""
    plan = make_plan(small_study, Options(name="mine"))
    own = optuna.create_study(
        study_name="mine", storage=database.open_storage(plan.storage), direction="minimize"
    )
    own.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    own.set_user_attr("uid", "1")
    return plan


def test_a_study_that_mmsr_did_not_make_is_refused_before_anything_is_written(
    foreign, opened_study
):
    before = contents(foreign.storage)
    storage = SingleWriterStorage(database.open_storage(foreign.storage))
    calls = (
        lambda: check_existing(foreign, storage),
        lambda: find_existing(foreign, storage, ()),
        lambda: opened_study(foreign),
        lambda: look_up("mine", foreign.storage),
        lambda: look_up("mine", foreign.storage).overview,
    )
    for call in calls:
        with pytest.raises(UserError, match=r"'mine' that mmsr did not make .*another --name"):
            call()
    with pytest.raises(UserError, match="minimize, 2 trials of x"):
        check_existing(foreign, storage)
    assert contents(foreign.storage) == before


@pytest.mark.parametrize(
    "words",
    [
        ["study", "status", "mine"],
        ["study", "leaderboard", "mine"],
        ["best-config", "export", "mine", "-o", "-"],
        ["robustness", "mine"],
        ["study", "finalize", "mine"],
    ],
)
def test_no_command_shows_it_as_its_own(foreign, words):
    done = CliRunner().invoke(app, [*words, "--storage", foreign.storage])
    assert isinstance(done.exception, UserError)
    assert "that mmsr did not make" in str(done.exception)
    listed = CliRunner().invoke(app, ["study", "list"])
    assert "mine" not in listed.stdout


def test_no_study_starts_from_it(foreign, small_study):
    with pytest.raises(UserError, match="that mmsr did not make"):
        make_plan(small_study, Options(name="other", warm_start="mine"))


def test_a_study_gets_its_mark_with_its_first_row(small_study, study_home, monkeypatch):
    plan = make_plan(small_study, Options())
    storage = SingleWriterStorage(database.open_storage(plan.storage))
    monkeypatch.setattr(database.uuid, "uuid4", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        database.open_study(
            storage,
            plan.name,
            plan.definition,
            known=(),
            trials=1,
            sampler=plan.sampler.build(0, 0),
            pruner=None,
        )
    assert database.load_study(storage, plan.name) is None


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def drive(url, tmp_path):
    """Makes the ledger of a driver that opens the study anew."""

    seeds = itertools.count()

    def make() -> Ledger:
        storage = SingleWriterStorage(database.open_storage(url), screened)
        sampler = optuna.samplers.RandomSampler(next(seeds))
        if database.load_study(database.open_storage(url), "s") is None:
            study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
            study.set_user_attr("uid", "0" * 32)
        study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        return Ledger(study, Rules(SPACE, Config(dataset="shop"), OBJECTIVE), tmp_path)

    return make


def outsider(url) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=database.open_storage(url))


def finish(ledger, runner, value):
    metrics = {OBJECTIVE: value}
    ledger.report(
        runner,
        Report(epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=True),
    )


IN_SPACE = {"model.width": 16, DROPOUT: 0.25, "training.batch_size": 64}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"model.width": 9999}, r"model.width=9999 is outside the space: 8 … 64 step 8"),
        ({"model.width": 12}, "model.width=12 is outside"),
        ({"model.width": "16"}, "model.width='16' is outside"),
        ({"model.width": True}, "model.width=True is outside"),
        ({"model.width": [16]}, "is outside"),
        ({"model.width": None}, "model.width=None is outside"),
        ({"training.batch_size": 48}, r"training.batch_size=48 is outside the space: 32 \| 64"),
        ({"training.batch_size": "y" * 10_000}, "is outside the space"),
        ({DROPOUT: float("nan")}, "nan is outside"),
        ({**IN_SPACE, "model.widht": 16}, "model.widht.*did you mean 'model.width'"),
    ],
)
def test_a_trial_enqueued_outside_the_space_is_refused_and_the_study_goes_on(
    drive, url, given, reason
):
    drive()
    outsider(url).enqueue_trial(given)
    ledger = drive()
    proposal = ledger.ask("a")
    assert proposal.number == 1, "the refused one is passed"
    finish(ledger, "a", 0.5)
    drive().ask("b")  # a later driver goes on
    trials = outsider(url).trials
    assert [trial.state for trial in trials] == [
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.RUNNING,
    ]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(trials[0].user_attrs[INVALID])
    assert len(trials[0].user_attrs[INVALID]) < 300
    assert [trial.number for trial in counted(outsider(url))] == [1]


@pytest.mark.parametrize(
    "given",
    [IN_SPACE, {"model.width": 24}, {"model.width": 24.0, DROPOUT: 0}],
)
def test_a_trial_enqueued_in_the_space_is_run(drive, url, given):
    drive()
    outsider(url).enqueue_trial(given)
    proposal = drive().ask("a")
    assert proposal.number == 0
    assert proposal.origin == "outside"
    assert {key: proposal.settings[key] for key in given} == given
    assert proposal.settings.keys() == SPACE.keys(), "what was not given is proposed"


def test_a_trial_that_is_enqueued_while_the_study_runs_is_run_next(drive, url):
    ledger = drive()
    ledger.ask("a")
    finish(ledger, "a", 0.1)
    outsider(url).enqueue_trial(IN_SPACE)
    assert ledger.ask("b").number == 2, "its number is the storage's"
    assert ledger.ask("c").settings == IN_SPACE
    assert [trial.number for trial in outsider(url).trials] == [0, 1, 2]
    assert outsider(url).trials[2].user_attrs["key"] == "trial-00002"


def test_waiting_trials_with_distributions_of_their_own(drive, url):
    ledger = drive()
    ledger.ask("a")
    finish(ledger, "a", 0.1)
    wide = {"model.width": IntDistribution(1, 9999)}
    for width in (9000, 32):
        outsider(url).add_trial(
            create_trial(
                state=TrialState.WAITING, params={"model.width": width}, distributions=wide
            )
        )
    proposal = drive().ask("b")
    assert (proposal.number, proposal.settings["model.width"]) == (2, 32)
    assert "9000 is outside" in outsider(url).trials[1].user_attrs[INVALID]


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.COMPLETE, TrialState.WAITING])
@pytest.mark.parametrize("while_it_runs", [False, True])
def test_a_trial_that_the_storage_holds_ours_to_stops_the_study_with_its_name(
    drive, url, state, while_it_runs
):
    ledger = drive()
    if while_it_runs:
        ledger.study.get_trials()  # read before the other one is there
    outsider(url).add_trial(create_trial(state=TrialState.FAIL))
    outsider(url).add_trial(
        create_trial(
            state=state,
            value=1.0 if state == TrialState.COMPLETE else None,
            params={"training.batch_size": 32},
            distributions={"training.batch_size": CategoricalDistribution([32, 64, 128])},
        )
    )
    for one in (ledger, drive(), drive()):  # each resumption says the same
        with pytest.raises(UserError, match=r"trial 1, which .* has training.batch_size .*--name"):
            one.ask("a")
    trials = outsider(url).trials
    assert len(trials) == 2, "none of ours is left behind"


def test_an_enqueued_trial_is_not_refused_for_what_another_one_has(drive, url):
    drive()
    outsider(url).add_trial(
        create_trial(value=1.0, params={DROPOUT: 1}, distributions={DROPOUT: IntDistribution(0, 1)})
    )
    outsider(url).enqueue_trial({"model.width": 16})
    with pytest.raises(UserError, match=f"trial 0, which another client added, has {DROPOUT}"):
        drive().ask("a")
    assert outsider(url).trials[1].state == TrialState.WAITING


def test_a_trial_refused_in_an_exhausted_space_stays_refused(drive, url, monkeypatch):
    monkeypatch.setitem(SPACE, DROPOUT, Choice(0.0))
    monkeypatch.setitem(SPACE, "model.width", Choice(8))
    monkeypatch.setitem(SPACE, "training.batch_size", Choice(32))
    ledger = drive()
    ledger.ask("a")
    finish(ledger, "a", 0.5)
    outsider(url).enqueue_trial({"model.width": 9999})
    with pytest.raises(Exhausted):
        ledger.ask("b")
    assert ledger.exhausted
    refused = outsider(url).trials[1]
    assert refused.state == TrialState.FAIL
    assert "model.width=9999 is outside the space" in refused.user_attrs[INVALID]
    assert outsider(url).get_trials(states=(TrialState.WAITING,)) == []


def test_trials_refused_in_a_space_without_a_valid_config_stay_refused(drive, url, monkeypatch):
    monkeypatch.setitem(SPACE, "model.width", Choice(0))
    drive()
    outsider(url).enqueue_trial({"model.width": 9999})
    with pytest.raises(UserError, match="in a row were no new valid config"):
        drive().ask("a")
    assert "9999 is outside" in outsider(url).trials[0].user_attrs[INVALID]


def test_trials_that_others_run_are_passed_over(drive, url):
    drive()
    study = outsider(url)
    theirs = study.ask()  # still running
    study.add_trial(create_trial(value=7.0))
    study.add_trial(create_trial(state=TrialState.PRUNED, value=9.0))
    study.add_trial(create_trial(state=TrialState.FAIL))
    ledger = drive()
    assert ledger.reclaim() == 0, "a running trial of somebody else is not taken from them"
    proposal = ledger.ask("a")
    assert proposal.number == 4
    finish(ledger, "a", 0.5)
    for shown in (ledger.study, outsider(url)):
        assert [trial.number for trial in counted(shown)] == [4]
        assert [(row.number, row.value) for row in rows(shown)] == [(4, 0.5)]
    assert ledger.study.best_value == 0.5, "the search method does not see them"
    study.tell(theirs, 3.0)  # and they can go on
    assert outsider(url).trials[0].value == 3.0


def test_a_waiting_trial_that_somebody_else_takes_is_not_run_twice(drive, url):
    drive()
    outsider(url).enqueue_trial(IN_SPACE)
    ledger = drive()
    ledger.study.get_trials()  # read while it waits
    study = outsider(url)
    study.tell(study.ask(), 0.9)
    assert ledger.ask("a").number == 1
    assert [row.number for row in rows(ledger.study)] == [1]


def test_status_says_why_trials_of_others_do_not_count(small_study, study_home, opened_study):
    plan = make_plan(small_study, Options())
    study = opened_study(plan, "python small.py")
    study.enqueue_trial({"graph.n_codes": 5})
    study.add_trial(create_trial(value=0.99))
    storage = SingleWriterStorage(database.open_storage(plan.storage), screened)
    sampler = plan.sampler.build(0, 0)
    ledger = Ledger(
        optuna.load_study(study_name=plan.name, storage=storage, sampler=sampler),
        plan.rules(),
        plan.folder.ray,
    )
    ledger.ask("a")
    finish(ledger, "a", 0.5)
    said = CliRunner().invoke(app, ["study", "status", plan.name], catch_exceptions=False).stdout
    assert "1 of 4 trials done" in said
    assert "trial 0 is another client's and does not count: graph.n_codes=5 is outside" in said
    assert f"trial 1 is another client's and does not count: {PASSED_OVER}" in said
    listed = CliRunner().invoke(app, ["study", "list"], catch_exceptions=False).stdout
    assert "1 of 4" in listed
    assert "50.000" in listed
