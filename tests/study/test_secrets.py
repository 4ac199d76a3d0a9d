"""No secret of a URL is written, printed, recorded or exported: bad commands, and a whole study."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.study import Study
from mmsr.study.driver.opening import open_study_of
from mmsr.study.driver.reporting import StudyReporter
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.storage.attributes import CONFIG, OUTCOME
from mmsr.study.storage.database import open_storage
from mmsr.study.storage.known_study import open_journal
from mmsr.study.storage.single_writer import SingleWriterStorage
from mmsr.tracking import RunState, Unshipped

SECRET = "s3cr3tW0rd"
"""What all passwords here have in common, however they are written."""

STUDY = """
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="hush",
    trials=2,
    epochs=2,
    space={"model.width": Int(12, 13)},
    enqueue=[{"model.width": 12}, {"model.width": 13}],
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""

REFUSED = [
    ("--storage", f"postgresql://u:{SECRET}@{SECRET}@127.0.0.1:9/d"),
    ("--storage", f"postgresql://u:{SECRET}@127.0.0.1:9x/d"),
    ("--storage", f"postgresql://u:{SECRET}@127.0.0.1:99999/d"),
    ("--storage", f"postgresql:/u:{SECRET}@127.0.0.1/d"),
    ("--storage", f"postgresql//u:{SECRET}@127.0.0.1/d"),
    ("--storage", f"postgre://u:{SECRET}@127.0.0.1/d"),
    ("--storage", f"postgresql://u:/{SECRET}#@127.0.0.1:9/d"),
    ("--storage", f"postgresql://127.0.0.1:9/d?password={SECRET}"),
    ("--storage", f"postgresql://127.0.0.1:9/d?sslpassword={SECRET}"),
    ("--storage", f"postgresql://u:ä {SECRET}@127.0.0.1:9/d"),
    ("--storage", f"sqlite:////a?{SECRET}"),
    ("--storage", f"http://u:{SECRET}@127.0.0.1:9"),
    ("--tracking-uri", f"http://u:12/{SECRET}@127.0.0.1:9"),
    ("--tracking-uri", f"htp://u:{SECRET}@127.0.0.1:9"),
    ("--tracking-uri", f"http://{SECRET}@127.0.0.1:9"),
    ("--address", f"ray://u:{SECRET}@127.0.0.1:9"),
    ("--addres", f"ray://u:{SECRET}@127.0.0.1:9"),
    ("--trials", f"postgresql://u:{SECRET}@h/d"),
]


@pytest.mark.parametrize(("option", "given"), REFUSED)
@pytest.mark.parametrize("equals", [False, True])
def test_a_refused_command_repeats_no_secret(
    option, given, equals, small_study, study_home, capsys
):
    with pytest.raises(SystemExit) as stop:
        small_study.main([f"{option}={given}"] if equals else [option, given])
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("error: ")
    assert SECRET not in told.err
    assert not (study_home / "studies").exists()


@pytest.mark.parametrize(
    "name", ["MMSR_STORAGE", "MLFLOW_TRACKING_URI", "MMSR_HOME", "RAY_ADDRESS"]
)
@pytest.mark.parametrize(
    "given", [f"s3://AK:{SECRET}@bucket", f"postgresql:/u:{SECRET}@h", f"http://u:{SECRET}/@h:1"]
)
def test_a_refused_variable_repeats_no_secret(
    name, given, small_study, study_home, capsys, monkeypatch
):
    monkeypatch.setenv(name, given)
    with pytest.raises(SystemExit) as stop:
        small_study.main([])
    assert stop.value.code == 2
    assert SECRET not in capsys.readouterr().err
    for command in (["study", "list"], ["study", "status", "x"], ["data", "list"]):
        result = CliRunner().invoke(app, command)
        assert SECRET not in f"{result.output}{result.exception!r}"


def test_what_a_plan_and_its_options_show(small_study, study_home):
    options = Options(tracking_uri=f"databricks://{study_home.name}")
    assert SECRET not in repr(make_plan(small_study, options))
    assert SECRET not in repr(Options(storage=SECRET, tracking_uri=SECRET))


def forms(server: str) -> list[str]:
    """URLs of a PostgreSQL server that asks for no password, with passwords in many forms."""
    place = server.partition("@")[2]
    return [
        *(f"postgresql://mmsr:{text}@{place}" for text in (SECRET, f"/{SECRET}/", f"#{SECRET}#")),
        *(
            f"postgresql://mmsr:{quote(text, safe='')}@{place}"
            for text in (f"@{SECRET}", f"{SECRET}%?")
        ),
        *(
            f"postgres://mmsr:{text}@{place}"
            for text in (f"ä {SECRET}", f"{SECRET}'\"", f"a:{SECRET}")
        ),
        f"postgresql+psycopg://mmsr@{place}?password={SECRET}",
        f"postgresql://{place}?user=mmsr&password={SECRET}%40",
        f"postgresql://mmsr@{place}?sslpassword={SECRET}",
        f"postgresql://mmsr:{SECRET}@{place}?sslmode=prefer&sslpassword={SECRET}",
    ]


def files_with(text: str, *folders: Path) -> list[str]:
    """Files of the folders that hold the text."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if text.encode() in path.read_bytes()]


def rows_with(text: str, url: str) -> list[str]:
    """Rows of a database that hold the text."""
    engine = sqlalchemy.create_engine(url)
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = [
            repr(row)
            for table in tables.sorted_tables
            for row in connection.execute(table.select())
        ]
    engine.dispose()
    assert rows
    return [row for row in rows if text in row]


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request, tmp_path):
    """URLs of one storage, whose passwords have many forms."""
    if request.param == "sqlite":
        return [f"sqlite:///{tmp_path}/a%3Fb%23.db"]
    return forms(request.getfixturevalue("postgres").url)


@pytest.fixture
def hush(study_home, tmp_path, monkeypatch, fake_training_code):
    """The study of `STUDY`, here and as a file."""
    (tmp_path / "fake_training.py").write_text(fake_training_code)
    (tmp_path / "hush.py").write_text(STUDY)
    monkeypatch.syspath_prepend(str(tmp_path))
    space: dict[str, object] = {"__name__": "read"}
    exec(STUDY, space)
    return space["study"]


@pytest.fixture
def tracking(guarded_mlflow):
    """A server with a password, and its URI."""
    server = guarded_mlflow("ada", f"/{SECRET}@")
    quoted = quote(f"/{SECRET}@", safe="")
    return server, f"http://ada:{quoted}@127.0.0.1:{server.server_address[1]}"


def use(study: Study, urls: list[str], uri: str) -> str:
    """Look at a study by all URLs of its storage, and run it again; returns what is exported."""
    exported = ""
    for url in urls:
        for command in (["study", "status"], ["study", "leaderboard"], ["best-config", "export"]):
            words = [*command, "hush", "--storage", url]
            result = CliRunner().invoke(app, words, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            exported += result.output
    # Nothing is left to run, so no Ray is started.
    result = study.run(Options(storage=urls[-1], tracking_uri=uri))
    assert result.ended == "finished"
    exported += repr(result) + result._repr_html_()
    return exported


def check_nothing_leaked(server, said: str, urls: list[str], *folders: Path) -> None:
    assert SECRET not in said
    assert files_with("hush", *folders), "the search finds what is there"
    assert files_with(SECRET, *folders) == []
    assert rows_with(SECRET, urls[0]) == []
    assert any("runs/create" in path for path, _ in server.asked)
    assert SECRET not in str(server.asked)


def test_what_a_driver_records_has_no_secret(hush, urls, tracking, study_home, monkeypatch, capsys):
    """All that a driver does but for running trials: these know no URL."""
    server, uri = tracking
    monkeypatch.setattr("sys.argv", ["hush.py", "--storage", urls[0], f"--tracking-uri={uri}"])
    plan = make_plan(hush, Options(storage=urls[0], tracking_uri=uri))
    with plan.folder.locked():
        study = open_study_of(plan, SingleWriterStorage(open_storage(plan.storage)))
    tracker = open_journal(plan.as_known(study), print)
    reporter = StudyReporter(plan, study, tracker)
    for value in (0.25, 0.5):
        trial = study.ask()
        trial.set_user_attr(CONFIG, plan.base.replace({"model.width": 12}).to_dict())
        trial.set_user_attr(OUTCOME, {})
        study.tell(trial, value)
    reporter.close(RunState.FINISHED, None, plan.progress(study))
    assert tracker.close(60) == Unshipped()
    exported = use(hush, urls, uri)
    said = capsys.readouterr()
    check_nothing_leaked(server, f"{said}{exported}", urls, study_home)
    record = (study_home / "studies" / "hush" / "study.json").read_text()
    assert "***" in record


@pytest.mark.slow
def test_a_whole_study_keeps_its_secrets(
    hush, urls, tracking, study_home, tmp_path, monkeypatch, capsys, driver_class
):
    """Storage and server get their passwords on the command line, which is the hardest case."""
    server, uri = tracking
    ray = Path(tempfile.mkdtemp(prefix="mmsr-ray-"))  # sockets have short paths
    monkeypatch.setenv("RAY_TMPDIR", str(ray))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    driver = driver_class(tmp_path / "hush.py", {**os.environ, "PYTHONPATH": path})
    told = driver.run("--storage", urls[0], "--tracking-uri", uri)
    exported = use(hush, urls, uri)
    said = capsys.readouterr()
    check_nothing_leaked(server, f"{told}{said}{exported}", urls, study_home, ray)
    shutil.rmtree(ray, ignore_errors=True)
