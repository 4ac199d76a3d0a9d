"""The reference lines of leaderboards: measured once, cached, and left out where they cannot be."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import optuna
import pytest

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.evaluation import reference
from mmsr.models.reference.settings import LINES, EaseSettings
from mmsr.study.results import references
from mmsr.study.results.references import cached_lines, measured_lines
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy

CONFIG = Config(dataset="shop")
MASKED = CONFIG.replace({"training.seen": "masked"})


@pytest.fixture
def known(study_home):
    """A study of the shop."""
    return study_of("valid/mrr@20")


def study_of(objective, **changes):
    shop = Dataset.open("shop")
    parts = {"dataset_hash": shop.content_hash, "protocol": shop.protocol, "pruner": "None"}
    parts |= {"dataset": "shop", "objective": objective, "space": {}, "config": {}, **changes}
    return KnownStudy(
        StudyFolder("small"), optuna.create_study(), Definition(**parts), storage="", tracking=""
    )


@pytest.fixture
def said():
    return []


@pytest.fixture
def measure(said):
    """Measures the lines of a study; what it says is in `said`."""

    def run(known, config=CONFIG, most_seconds=60.0):
        said.clear()
        return measured_lines(known, config, most_seconds, said.append)

    return run


def test_lines_are_measured_once_for_all_studies_of_the_data_set(known, measure, said):
    assert cached_lines(known, CONFIG) == []
    lines = measure(known)
    assert [line.label for line in lines] == ["popularity", "item-kNN", "EASE"]
    assert said == ["measuring popularity, item-kNN, EASE on shop, once …"]
    shop = Dataset.open("shop")
    for line in lines:
        arguments = (line.label, shop.train(), shop.valid(), shop.n_items)
        assert line.metrics == reference.measure(*arguments, seen="kept")
    other = study_of("valid/hr@5")
    assert measure(other) == lines == cached_lines(other, CONFIG)
    assert said == []


def test_the_cache_is_read_without_the_data_set(known, measure):
    lines = measure(known)
    paths.datasets().rename(paths.home() / "away")
    assert measure(known) == lines


@pytest.mark.parametrize(
    "change",
    ["masking", "settings", "version", "data"],
)
def test_figures_of_something_else_are_not_taken(known, measure, said, monkeypatch, change):
    lines = measure(known)
    config, study = CONFIG, known
    if change == "masking":
        config = MASKED
    elif change == "settings":
        monkeypatch.setitem(LINES, "EASE", EaseSettings(l2=3.0))
    elif change == "version":
        monkeypatch.setattr(references, "VERSION", references.VERSION + 1)
    else:
        study = study_of("valid/mrr@20", dataset_hash="0" * 64)
    there = cached_lines(study, config)
    assert there == (lines[:2] if change == "settings" else [])
    if change != "data":
        measure(study, config)
        assert said == [f"measuring {', '.join(list(LINES)[len(there) :])} on shop, once …"]
        assert cached_lines(known, CONFIG) == (lines if change == "masking" else measure(known))


def test_masked_figures_differ(known, measure):
    for plain, masked in zip(measure(known), measure(known, MASKED), strict=True):
        assert plain.metrics != masked.metrics


def damaged(text, how):
    """The text of a file of the cache, damaged."""
    figures = json.loads(text)
    if how == "not a number":
        figures["metrics"]["hr@5"] = math.nan
    elif how == "out of range":
        figures["metrics"]["hr@5"] = 1.5
    elif how == "incomplete":
        del figures["metrics"]["ndcg@20"]
    elif how == "of another data set":
        figures["dataset_hash"] = "0" * 64
    return {"empty": "", "cut": text[:-40]}.get(how, json.dumps(figures))


@pytest.mark.parametrize(
    "how", ["empty", "cut", "not a number", "out of range", "incomplete", "of another data set"]
)
def test_a_damaged_file_is_measured_again(known, measure, said, how):
    lines = measure(known)
    [file] = paths.references_cache().glob("*-ease-*")
    whole = file.read_text()
    file.write_text(damaged(whole, how))
    assert cached_lines(known, CONFIG) == lines[:2]
    assert measure(known) == lines
    assert said == ["measuring EASE on shop, once …"]
    assert file.read_text() == whole


def test_a_cache_that_cannot_be_written_costs_time_alone(known, measure, said):
    paths.references_cache().parent.mkdir(parents=True, exist_ok=True)
    paths.references_cache().write_text("a file where the folder should be")
    lines = measure(known)
    assert all(line.metrics for line in lines)
    assert measure(known) == lines
    assert len(said) == 1


def test_what_is_too_large_is_left_out(known, measure, monkeypatch):
    monkeypatch.setattr(reference, "MEMORY", 3 * 4 * 40**2 - 1)
    lines = measure(known)
    assert [line.label for line in lines if line.metrics is None] == ["EASE"]
    assert "40 items take 0.0 GB, more than" in lines[2].left_out


def test_what_is_too_slow_is_left_out(known, measure, said, monkeypatch):
    about = dict(zip(LINES, (0.1, 12.3, 300.0), strict=True))
    monkeypatch.setattr(reference, "estimated_seconds", lambda label, *_: about[label])
    _, knn, ease = measure(known, most_seconds=5.0)
    assert knn.left_out == "it takes about 12 s: mmsr study leaderboard small does it, once"
    assert ease.left_out == "it takes about 5 min 00 s"
    assert said == ["measuring popularity on shop, once …"]
    assert [line.metrics is None for line in measure(known)] == [False, False, True]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "there is too little memory"),
        (FloatingPointError("a matrix to invert is not positive definite"), "positive definite"),
    ],
)
def test_a_line_that_cannot_be_measured_is_left_out(known, measure, monkeypatch, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(reference, "measure", fail)
    for line in measure(known):
        assert line.metrics is None
        assert told in line.left_out
    assert list(paths.references_cache().glob("*")) == []


def test_without_the_data_set_lines_are_left_out(known, measure):
    other = study_of("valid/mrr@20", dataset_hash="0" * 64)
    for line in measure(other):
        assert line.metrics is None
        assert "is not the one that study 'small' was made with" in line.left_out


def test_studies_whose_epochs_were_chosen_on_test_have_no_lines(known, measure):
    measure(known)
    other = study_of("test-selected/mrr@20")
    assert measure(other) == cached_lines(other, CONFIG) == []


PROCESS = """
from mmsr.data import Dataset
from mmsr.config import Config
from mmsr.study.results.references import measured_lines
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy

shop = Dataset.open("shop")
definition = Definition(
    dataset="shop", dataset_hash=shop.content_hash, protocol=shop.protocol,
    objective="valid/mrr@20", pruner="None", space={}, config={},
)
known = KnownStudy(StudyFolder("small"), None, definition, storage="", tracking="")
for _ in range(20):
    for file in __import__("mmsr.paths").paths.references_cache().glob("*"):
        file.unlink(missing_ok=True)
    lines = measured_lines(known, Config(dataset="shop"), 60.0, lambda _: None)
    print([line.metrics for line in lines])
"""


def test_processes_that_measure_at_once_agree(known, measure):
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    said = {line for output in outputs for line in output.splitlines()}
    assert said == {str([line.metrics for line in measure(known)])}
    assert all(file.suffix == ".json" for file in paths.references_cache().glob("*"))
