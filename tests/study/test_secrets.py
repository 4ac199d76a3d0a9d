"""No secret of a URL is written, printed, recorded or exported: bad commands, and a whole study."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from typer.testing import CliRunner

from mmsr.cli.app import app
from mmsr.study import Int, Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan

SECRET = "s3cr3tW0rd"
"""What all passwords here have in common, however they are written."""

STUDY = """
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="hush",
    trials=3,
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
    ("--tracking-uri", f"http://u:{SECRET}@127.0.0.1:9"),
    ("--tracking-uri", f"http://u:{SECRET}@no.such.host.invalid"),
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


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_whole_study_keeps_its_secrets(
    storage, faked_place, guarded_mlflow, request, monkeypatch, tmp_path, capsys
):
    """Storage and server get their passwords on the command line, which is the hardest case."""
    server = guarded_mlflow("ada", f"/{SECRET}@")
    tracking = f"http://ada:{quote(f'/{SECRET}@', safe='')}@127.0.0.1:{server.server_address[1]}"
    ray = Path(tempfile.mkdtemp(prefix="mmsr-ray-"))  # sockets have short paths
    place = faked_place("hush", STUDY, RAY_TMPDIR=str(ray), HOME=str(tmp_path))
    if storage == "sqlite":
        urls = [str(f"sqlite:///{tmp_path}/a%3Fb%23.db")]
        database = urls[0]
    else:
        database = request.getfixturevalue("postgres")
        urls = forms(database)
    told = place.driver.run("--storage", urls[0], "--tracking-uri", tracking)
    assert "12" in told[0]
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    monkeypatch.syspath_prepend(str(place.folder))
    exported = ""
    for number, url in enumerate(urls):
        for command in (
            ["study", "status", "hush", "--storage", url],
            ["study", "leaderboard", "hush", "--storage", url],
            ["best-config", "export", "hush", "--storage", url],
        ):
            result = CliRunner().invoke(app, command, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            exported += result.output
        if number % 4 == 1:  # nothing is left to run, so no Ray is started
            study = Study(
                dataset="shop",
                name="hush",
                trials=3,
                epochs=2,
                space={"model.width": Int(12, 13)},
                enqueue=[{"model.width": 12}, {"model.width": 13}],
                trainer="fake_training:train",
            )
            assert study.run(Options(storage=url, tracking_uri=tracking)) == 0
    said = capsys.readouterr()
    assert SECRET not in f"{told}{said}{exported}"
    assert "hush" in exported
    assert files_with("hush", place.home), "the search itself finds what is there"
    assert files_with(SECRET, place.home, place.folder, tmp_path, ray) == []
    assert rows_with(SECRET, database) == []
    assert any("runs/create" in path for path, _ in server.asked)
    assert SECRET not in str(server.asked)
    shutil.rmtree(ray, ignore_errors=True)
