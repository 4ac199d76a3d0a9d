"""What names a study is rewritten: records, tables, events."""

from __future__ import annotations

import json

import pytest

from mmsr import paths
from mmsr.care.study_files import command_for, rewrite
from mmsr.study.storage.folder import StudyFolder
from mmsr.tracking.base import Metrics, RunOpened, Upload
from mmsr.tracking.journal.file import Journal
from mmsr.tracking.journal.refused import RefusedEvents, read_refused


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("python small.py", "python small.py --name large"),
        ("python a.py --name small --trials 3", "python a.py --trials 3 --name large"),
        ("python a.py --name=small", "python a.py --name large"),
        (
            "python 'my file.py' --set model.width=8",
            "python 'my file.py' --set model.width=8 --name large",
        ),
        ("python a.py --dataset small", "python a.py --dataset small --name large"),
        ("mmsr study finalize small --top 3", "mmsr study finalize large --top 3"),
    ],
)
def test_the_command_that_resumes_a_study_names_it(before, after):
    assert command_for(before, "small", "large") == after


@pytest.fixture
def folder(home):
    folder = StudyFolder("small")
    (folder.path / "robustness" / "trial-00003").mkdir(parents=True)
    (folder.path / "study.json").write_text("{}")
    return folder


def test_records_and_tables_name_the_study_anew(folder):
    final = {
        "version": 2,
        "opened": [],
        "result": {"study": "small", "mean": 0.1, "dataset": "small"},
    }
    (folder.path / "finalized.json").write_text(json.dumps(final))
    swept = folder.path / "robustness" / "trial-00003" / "robustness-valid.json"
    swept.write_text(json.dumps({"name": "small", "origin": "best trial 3 of study small"}))
    (folder.path / "small.json").write_text(
        json.dumps({"study": "small", "table": "3", "é": 1e-300})
    )
    for end in (".md", ".users.safetensors"):
        (folder.path / f"small{end}").write_text("small")
    (folder.path / "smaller.json").write_text(json.dumps({"study": "smaller"}))
    (folder.path / "broken.json").write_text("{")
    for _ in range(2):  # the second time, nothing is left to do
        rewrite(folder, "large")
    read = {path.name: path.read_text() for path in folder.path.rglob("*") if path.is_file()}
    assert json.loads(read["finalized.json"])["result"] == final["result"] | {"study": "large"}
    assert json.loads(read["robustness-valid.json"])["name"] == "large"
    assert json.loads(read["large.json"]) == {"study": "large", "table": "3", "é": 1e-300}
    assert json.loads(read["smaller.json"]) == {"study": "smaller"}
    assert {"large.md", "large.users.safetensors", "broken.json"} <= read.keys()
    assert "small.md" not in read


@pytest.mark.parametrize("name", ["study", "finalized", "driver"])
def test_a_study_that_is_called_like_a_record_keeps_that(name, home):
    folder = StudyFolder(name)
    folder.path.mkdir(parents=True)
    for record in ("study.json", f"{name}.json"):
        (folder.path / record).write_text("{}")
    rewrite(folder, "large")
    assert (folder.path / f"{name}.json").exists()


def test_events_name_the_study_and_its_folder_anew(folder):
    inside, outside = folder.path / "ray" / "trial-1", paths.studies() / "smaller" / "ray"
    events = [
        RunOpened(
            key="study", time=1, name="study small", tags={"mmsr.study": "small", "a": "small"}
        ),
        Upload(key="a", time=2, folder=paths.recorded(inside), names=["small.yaml"]),
        Upload(key="a", time=2, folder=str(inside), names=["x"]),
        Upload(key="b", time=3, folder=paths.recorded(outside), names=["x"]),
        Metrics(key="a", time=4, step=1, values={"small": 0.1}),
    ]
    journal = Journal(folder.path / "tracking.jsonl")
    for event in events:
        journal.append(event)
    RefusedEvents(folder.path).add(2, events[1], "no place in small")
    damaged = b'{"n":6,"len":3,"crc":"00000000","data":small}\n'
    with (folder.path / "tracking.jsonl").open("ab") as file:
        file.write(damaged)
    for _ in range(2):
        rewrite(folder, "large")
    moved = "$MMSR_HOME/studies/large/ray/trial-1"
    wanted = [
        events[0].model_copy(
            update={"name": "study large", "tags": {"mmsr.study": "large", "a": "small"}}
        ),
        events[1].model_copy(update={"folder": moved}),
        events[2].model_copy(update={"folder": moved}),
        *events[3:],
    ]
    assert list(Journal(folder.path / "tracking.jsonl").all()) == list(enumerate(wanted, start=1))
    assert (folder.path / "tracking.jsonl").read_bytes().endswith(damaged)
    (refused,) = read_refused(folder.path).values()
    assert (refused.event, refused.why) == (wanted[1], "no place in small")
