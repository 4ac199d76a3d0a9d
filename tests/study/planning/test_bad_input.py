"""Bad input to a study: one line that says what to do, exit code 2, nothing scheduled."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mmsr.config import AGGREGATOR_NAMES
from mmsr.errors import UserError
from mmsr.study import DEFAULT_SPACE, Choice, Float, Grid, Halving, Int, Study, Tpe
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.database import default_storage
from mmsr.study.storage.folder import StudyFolder, StudyRecord
from mmsr.study.workers.resources import Node, Resources


@pytest.fixture
def refused(small_study, study_home, capsys, monkeypatch):
    """Run a study that is to be refused; returns what it said."""

    def run(*arguments, **changes):
        with monkeypatch.context() as patch:
            # Whatever would be written or started from here on is a failure of the test.
            patch.setattr("mmsr.study.driver.run.ray_cluster", lambda _: pytest.fail("scheduled"))
            with pytest.raises(SystemExit) as stop:
                dataclasses.replace(small_study, **changes).main(arguments)
        assert stop.value.code == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert not (study_home / "optuna.db").exists()
        return said.err

    return run


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": "shopp"}, "did you mean 'shop'"),
        ({"dataset": "toys"}, "mmsr data import toys"),
        ({"dataset": "demo"}, "mmsr data demo"),
        ({"objective": "valid/mrr@21"}, "valid/mrr@20"),
        ({"objective": "test/mrr@20"}, "test is closed to trials"),
        ({"trials": 0}, "at least 1"),
        ({"epochs": 0}, "at least 1"),
        ({"epochs": 2.5}, "at least 1"),
        ({"seed": -1}, "at least 0"),
        ({"name": "../up"}, "bad study name"),
        ({"resources": {"gpus": 1}}, "unknown resource"),
        ({"resources": {"cpu": -1}}, "at least 0"),
        ({"resources": {"cpu": float("inf")}}, "finite number"),
        ({"resources": 2}, "resources=2: give a mapping"),
        ({"dataset": None}, "dataset=None: give the name of a data set"),
        ({"trails": 3}, "unknown argument of Study(…) 'trails': did you mean 'trials'?"),
        ({"space": []}, "space=[]: give a mapping"),
        ({"base": None}, "base=None: give a mapping"),
        ({"base": {3: 4}}, "base: {3: 4}: give a mapping"),
        ({"enqueue": 3}, "enqueue=3: give a list"),
        ({"enqueue": [3]}, "enqueue: 3: give a mapping"),
        ({"enqueue": {"graph.n_codes": 4}}, "give a list of settings"),
        ({"sampler": "tpe"}, "give Tpe"),
        ({"pruner": "halving"}, "give Halving"),
        ({"trainer": "no.such.module:train"}, "no such module"),
        ({"trainer": "mmsr.training"}, "module:function"),
        ({"space": {"dataset": Choice("shop", "toys")}, "enqueue": ()}, "cannot be varied"),
        ({"space": {"training.select_by": Choice("valid/hr@5")}, "enqueue": ()}, "objective"),
        ({"space": {"model.width": Int(4, 8, when=3)}, "enqueue": ()}, "when=3"),
        ({"resources": {"cpu": 0}}, "some cpu or gpu"),
        ({"resources": {"cpu": "1"}}, "at least 0"),
        ({"resources": {"gpu": 1.5}}, "whole"),
        ({"resources": "all"}, "'auto' or a mapping"),
        ({"resources": {"cpu": 999}}, "this machine has"),
        ({"base": {"model.widht": 8}}, "did you mean 'model.width'"),
        ({"base": {"model.width": "wide"}}, "model.width"),
        ({"base": {"training.select_by": "valid/hr@5"}}, "objective="),
        ({"base": {"dataset": "other"}}, "dataset="),
        ({"space": {"graph.n_codes": Int(4, 1000)}, "enqueue": ()}, "1000"),
        ({"space": {"model.depth": Int(1, 2)}, "enqueue": ()}, "unknown config key"),
        ({"space": {"model.dropout": Float(0, 2)}, "enqueue": ()}, "model.dropout"),
        ({"space": {"graph.modalities": Choice(["sound"])}, "enqueue": ()}, "sound"),
        ({"enqueue": [{"graph.n_codes": 5}]}, "outside the space"),
        ({"enqueue": [{"graph.n_codes": 4, "graph.links_per_item": 5}]}, "more than n_codes"),
        ({"pruner": Halving(factor=1)}, "at least 2"),
        ({"sampler": Tpe(startup_trials=-1)}, "at least 0"),
        ({"sampler": Grid()}, "training.learning_rate is continuous"),
        ({"objective": ["valid/mrr@20", "cost/dollars"]}, "unknown objective"),
    ],
)
def test_a_wrong_study_file(refused, changes, told):
    assert told in refused(**changes)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trials", "0"], "at least 1"),
        (["--trials", "many"], "'many' is not a whole number"),
        (["--epochs", "-3"], "at least 1"),
        (["--epochs"], "--epochs"),
        (["--trails", "3"], "--trails"),
        (["--set", "graph.n_codes"], "KEY=VALUE"),
        (["--set", "graph.n_codes=ten"], "graph.n_codes"),
        (["--set", "graph.n_codes=0"], "graph.n_codes"),
        (["--set", "graph.codes=3"], "unknown config key"),
        (["--set", "dataset=toys"], "dataset="),
        (["--set", "training.learning_rate=-1"], "training.learning_rate"),
        (["--seed", "-1"], "at least 0"),
        (["--sampler", "grid"], "training.learning_rate is continuous"),
        (["--sampler", "tpee"], "--sampler"),
        (["--pruner", "half"], "--pruner"),
        (["--name", "a/b"], "bad study name"),
        (["--storage", "sqlite:////no/such/folder/optuna.db"], "make it, or name another place"),
        (["--tracking-uri", "sqlite:////no/such/folder/x.db"], "make it, or name another place"),
        (["--address", "here"], "HOST:PORT"),
        (["--address", "127.0.0.1:9"], "nothing answers there"),
        (["--storage", "optuna.db"], "no database URL"),
        (["--storage", "sqlite://"], "keeps nothing"),
        (["--storage", "nosuch://x/y"], "no database URL"),
        (["--storage", "sqlite:////proc/x/optuna.db"], "cannot be"),
        (["--storage", "postgresql://u:secret@127.0.0.1:9/db"], "--storage"),
        (["--tracking-uri", "mlruns"], "http://HOST:PORT"),
        (["--tracking-uri", "file:///tmp/mlruns"], "http://HOST:PORT"),
    ],
)
def test_a_wrong_command_line(refused, arguments, told):
    said = refused(*arguments)
    if "secret" not in str(arguments):
        assert told in said
    assert "secret" not in said


def test_a_ray_address_of_the_environment_is_tried_as_well(refused, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert "RAY_ADDRESS unset" in refused()


def test_a_damaged_database_is_refused(refused, tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("no database at all, " * 100)
    assert "cannot be used" in refused("--storage", f"sqlite:///{path}")
    assert "cannot be used" in refused("--tracking-uri", f"sqlite:///{path}")


def test_another_server_than_mlflow_is_refused(refused):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        said = refused("--tracking-uri", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "does not answer as an MLflow server" in said


def test_a_data_set_without_validation_is_refused(refused, study_home):
    path = study_home / "datasets" / "shop" / "manifest.json"
    text = path.read_text()
    start = text.index('"valid_targets"')
    path.write_text(text[:start] + '"valid_targets": 0,' + text[text.index(",", start) + 1 :])
    assert "no validation targets" in refused()


def test_resume_needs_a_study(small_study, study_home, capsys):
    with pytest.raises(SystemExit) as stop:
        small_study.main(["--resume"])
    assert stop.value.code == 2
    assert "no study 'shop'" in capsys.readouterr().err


def test_two_drivers_on_one_study(small_study, study_home, capsys):
    with StudyFolder("shop").locked(), pytest.raises(SystemExit) as stop:
        small_study.main([])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "is being run by process" in said
    assert said.count("\n") == 1
    with StudyFolder("shop").locked():
        pass


def test_a_study_that_its_storage_has_lost(small_study, study_home, capsys):
    folder = StudyFolder("shop")
    folder.path.mkdir(parents=True)
    folder.write_record(
        StudyRecord(
            name="shop",
            uid="1",
            dataset="shop",
            objective="valid/mrr@20",
            storage=default_storage(),
            tracking="",
            command="",
        )
    )
    for arguments, told in (
        ([], "has lost study 'shop': restore it, or remove"),
        (["--storage", f"sqlite:///{study_home / 'other.db'}"], "belongs to another study"),
    ):
        with pytest.raises(SystemExit) as stop:
            small_study.main(arguments)
        assert stop.value.code == 2
        assert told in capsys.readouterr().err


def test_a_home_that_cannot_be_written(small_study, study_home, capsys):
    (study_home / "studies").write_text("a file is in the way")
    with pytest.raises(SystemExit) as stop:
        small_study.main([])
    assert stop.value.code == 2
    assert "cannot write to" in capsys.readouterr().err


def test_set_fixes_a_key_and_takes_it_out_of_the_space(small_study, study_home):
    plan = make_plan(small_study, Options(settings={"graph.n_codes": 5}, epochs=7))
    assert plan.base.graph.n_codes == 5
    assert "graph.n_codes" not in plan.space
    assert plan.known == ({"graph.links_per_item": 2, "training.learning_rate": 1e-2},)
    assert plan.base.training.epochs == 7


def test_known_settings_leave_no_loss_to_chance(small_study, study_home):
    space = {
        "training.loss.name": Choice("bpr", "softmax"),
        "training.label_smoothing": Choice(0.0, 0.1, when={"training.loss.name": "softmax"}),
    }
    plan = make_plan(dataclasses.replace(small_study, space=space, enqueue=None), Options())
    assert [dict(one) for one in plan.known] == [
        {"training.label_smoothing": smoothing, "training.loss.name": "softmax"}
        for smoothing in (0.0, 0.1)
    ]


def test_set_takes_out_what_exists_only_under_another_value(small_study, study_home):
    space = {
        "model.fusion": Choice("adaptive", "early"),
        "model.aggregator.order": Choice("he", "ho", when={"model.fusion": "adaptive"}),
        "model.width": Int(4, 8),
    }
    study = dataclasses.replace(small_study, space=space, base={}, enqueue=None)
    assert set(make_plan(study, Options()).space) == set(space)
    fixed = make_plan(study, Options(settings={"model.fusion": "early"}))
    assert set(fixed.space) == {"model.width"}


@pytest.mark.parametrize("name", AGGREGATOR_NAMES)
def test_set_can_choose_any_aggregator_in_the_default_space(small_study, study_home, name):
    space = {key: value for key, value in DEFAULT_SPACE.items() if key.startswith("model.")}
    study = dataclasses.replace(small_study, space=space, base={}, enqueue=None)
    plan = make_plan(study, Options(settings={"model.aggregator.name": name}))
    knobs = {key for key in plan.base.flat() if key.startswith("model.aggregator.")}
    assert {key for key in plan.space if key.startswith("model.aggregator.")} == knobs - {
        "model.aggregator.name"
    }


def test_definition_tells_what_is_another_study(small_study, study_home):
    first = make_plan(small_study, Options()).definition
    assert first.difference(make_plan(small_study, Options(trials=99, seed=1)).definition) is None
    many = dataclasses.replace(small_study, resources={"cpu": 2})
    assert first.difference(make_plan(many, Options()).definition) is None
    for changes, told in {
        ("objective", "valid/hr@20"): "objective was valid/mrr@20 and is valid/hr@20",
        ("epochs", 4): "training.epochs was 3 and is 4",
        ("pruner", None): "pruner",
    }.items():
        other = dataclasses.replace(small_study, **dict([changes]))
        assert told in first.difference(make_plan(other, Options()).definition)
    before = {k: v for k, v in first.config.items() if k != "graph.seed"}
    older = first.model_copy(update={"config": before})
    assert older.difference(first) is None, "a key that came up later stood for its default"
    for value, told in ((1, "graph.seed was 0 and is 1"), (0, None)):
        other = dataclasses.replace(small_study, base={**small_study.base, "graph.seed": value})
        difference = older.difference(make_plan(other, Options()).definition)
        assert (difference is None) if told is None else (told in difference)
    narrow = {**small_study.space, "graph.n_codes": Int(4, 6, step=2)}
    other = dataclasses.replace(small_study, space=narrow)
    assert "graph.n_codes was 4 … 8 step 2" in first.difference(
        make_plan(other, Options()).definition
    )


def test_a_study_of_before_a_dimension_came_up_goes_on_without_it(small_study, study_home):
    before = make_plan(small_study, Options()).definition
    wider = dataclasses.replace(small_study, space={**small_study.space, "model.layers": Int(1, 2)})
    told = before.difference(make_plan(wider, Options()).definition)
    assert told is not None
    assert "--set model.layers=1" in told
    fixed = make_plan(wider, Options(settings={"model.layers": 1})).definition
    assert before.difference(fixed) is None


@pytest.mark.parametrize(
    ("cpu", "gpu", "node", "fit"),
    [
        (1, 0, (2, 0), 2),
        (2, 0, (3, 0), 1),
        (1, 0.5, (8, 1), 2),
        (1, 0.6, (8, 2), 2),
        (0, 2, (8, 3), 1),
        (0.1, 0, (1, 0), 10),
        (4, 0, (2, 8), 0),
    ],
)
def test_how_many_trials_fit_on_a_node(cpu, gpu, node, fit):
    assert Resources(cpu, gpu).fit(Node(*node)) == fit


def test_memory_is_set_aside_where_a_trial_asks_for_it():
    wanted = Resources(cpu=1, memory=2e9)
    assert wanted.fit(Node(8, 0, 5e9)) == 2
    assert wanted.fit(Node(1, 0, 5e9)) == 1
    assert wanted.fit(Node(8, 0, 1e9)) == 0


def test_help_and_bad_input_load_nothing_slow(study_home, tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys\n"
        "from mmsr.study import Study\n"
        "try:\n"
        "    Study(dataset='nope').main(sys.argv[1:])\n"
        "finally:\n"
        "    loaded = {'torch', 'ray', 'mlflow', 'optuna', 'sklearn'} & set(sys.modules)\n"
        "    assert not loaded, loaded\n"
    )
    for arguments, code in (["--help"], 0), ([], 2), (["--trials", "x"], 2):
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ([64, 128], r"write Choice\(64, 128\)"),
        ((64, 128), r"write Choice\(64, 128\)"),
        ({64}, r"write Choice\(64\)"),
        (range(8, 1000, 8), r"write Int\(8, 992, step=8\)"),
        (list(range(99)), r"write Choice\(0, 1, 2, 3, 4, …\)"),
        (64, r"base=\{'model.width': 64\}"),
        ("64", r"base=\{'model.width': '64'\}"),
        (None, r"write Int"),
        ([], r"write Int"),
        (Int, r"write Int"),
        (Choice(), r"space: model.width: there are no options: give"),
    ],
    ids=str,
)
def test_a_space_of_plain_values_says_what_to_write(small_study, study_home, value, hint):
    study = dataclasses.replace(small_study, space={"model.width": value}, enqueue=[])
    with pytest.raises(UserError, match=hint):
        make_plan(study, Options())


@pytest.mark.parametrize(
    ("field", "value"),
    [("trials", "x"), ("epochs", 0), ("seed", -1), ("trial_hours", "8h"), ("cpu_hours", -1)],
)
def test_an_error_names_the_argument_or_the_option(small_study, study_home, field, value):
    with pytest.raises(UserError, match=f"^{field}={value!r}: give"):
        make_plan(dataclasses.replace(small_study, **{field: value}), Options())
    with pytest.raises(UserError, match=f"^--{field.replace('_', '-')} {value!r}: give"):
        make_plan(small_study, Options(**{field: value}))


def test_a_driver_loads_torch_for_nothing():
    records = "mmsr.study.results.knockouts, mmsr.report.facts, mmsr.robustness.view"
    code = f"import sys, mmsr.study.driver.run, {records}; "
    code += "assert not {'torch', 'ray', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("setting", [{"seed": -1}, {"name": "bad name"}, {"trials": 0}])
def test_a_typo_is_found_before_any_server_is_asked(small_study, study_home, setting):
    away = Options(storage="postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(UserError) as caught:
        make_plan(dataclasses.replace(small_study, **setting), away)
    assert "storage" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cpu", "memory_gb"])
def test_a_number_beyond_all_floats_is_refused(small_study, study_home, kind):
    with pytest.raises(UserError, match="finite number"):
        make_plan(dataclasses.replace(small_study, resources={"cpu": 1, kind: 10**400}), Options())


@pytest.mark.parametrize("name", ["demo", "toys", "beauty"])
def test_the_study_files_are_studies(name):
    path = Path(__file__).parents[3] / "studies" / f"{name}.py"
    space: dict[str, object] = {"__name__": "read"}
    exec(compile(path.read_text(), str(path), "exec"), space)
    assert space["study"].dataset == name


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("Study(datset='shop')", "did you mean 'dataset'?"),
        ("Study(trials=3)", "Study(…) lacks dataset"),
        ("Study('shop')", "name every argument"),
    ],
)
def test_a_declaration_that_python_would_refuse_is_refused_in_a_line(declared, told, capsys):
    with pytest.raises(SystemExit) as stop:
        eval(declared, {"Study": Study}).main([])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert (said.startswith("error: "), said.count("\n")) == (True, 1)
