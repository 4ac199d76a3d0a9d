"""New study files: they plan as they are, and with each of their alternatives."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmsr.data import Dataset
from mmsr.study import DEFAULT_SPACE, Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.study_file import study_file, write_study_file

ROOT = Path(__file__).resolve().parents[3]
ALTERNATIVE = re.compile(r"^( +)# ((\"[\w.]+\": |\w+=)\S.*)$", re.MULTILINE)
"""A line to uncomment: a dimension of the space, or an argument."""


def alternatives(text: str) -> list[str]:
    """Lines that are there to be uncommented."""
    return [found[0] for found in ALTERNATIVE.finditer(text)]


def uncommented(text: str, *lines: str) -> str:
    """The text with these lines as code."""
    for line in lines:
        assert text.count(line) == 1
        text = text.replace(line, ALTERNATIVE.sub(r"\1\2", line))
    return text


def plan_of(path: Path) -> Plan:
    """Plan of a study file, imported as a module."""
    spec = importlib.util.spec_from_file_location("new_study_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.study, Study)
    return make_plan(module.study, Options())


def planned(text: str, folder: Path) -> Plan:
    """Plan of a study file's text."""
    path = folder / "changed.py"
    path.write_text(text)
    return plan_of(path)


def ruff(*words: str, text: str) -> str:
    """What ruff says against a text."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--stdin-filename", "new.py", "-"],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr if done.returncode else ""


TEXT = study_file("first", "shop", 30)
ALTERNATIVES = alternatives(TEXT)
IN_SPACE = [line for line in ALTERNATIVES if line.lstrip(" #").startswith('"')]


@pytest.fixture
def written(study_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file on the shop, in the current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder / write_study_file("first", "shop")


def test_it_plans_as_it_is(written):
    plan = plan_of(written)
    assert written.name == "first.py"
    assert (plan.name, plan.site.dataset.name) == ("first", "shop")
    assert plan.objective == "valid/mrr@20"
    assert plan.known, "the known settings are in its space"


def test_alternatives_are_found():
    starts = {line.split("=")[0].strip(" #") for line in ALTERNATIVES if line not in IN_SPACE}
    assert starts == {
        "base",
        "cpu_hours",
        "enqueue",
        "hours",
        "pruner",
        "sampler",
        "trial_hours",
    }
    assert len(IN_SPACE) >= 5
    assert {line.split('"')[1] for line in IN_SPACE} <= DEFAULT_SPACE.keys()


@pytest.mark.parametrize("line", ALTERNATIVES, ids=lambda line: line.strip(" #")[:40])
def test_each_alternative_plans(line, written, tmp_path):
    text = written.read_text()
    before, after = planned(text, tmp_path), planned(uncommented(text, line), tmp_path)
    changed = [
        name
        for name in ("space", "base", "budget", "known", "sampler", "pruner", "time_limit")
        if getattr(before, name) != getattr(after, name)
    ]
    assert changed, "an alternative changes something"


def test_the_alternatives_of_the_space_go_together(written, tmp_path):
    plan = planned(uncommented(written.read_text(), *IN_SPACE), tmp_path)
    assert plan.space.keys() >= {line.split('"')[1] for line in IN_SPACE}


@pytest.mark.parametrize("lines", [[], *([line] for line in ALTERNATIVES)], ids=len)
def test_ruff_has_nothing_against_it(lines):
    text = uncommented(TEXT, *lines)
    assert ruff("check", text=text) == ""
    assert ruff("format", "--check", text=text) == ""


def test_it_runs_as_a_program(written):
    done = subprocess.run(
        [sys.executable, written.name, "--trials", "none"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: argument --trials: 'none' is not a whole number")


@pytest.mark.parametrize(("most", "range_"), [(19, "10, 10"), (38, "10, 30"), (5000, "10, 50")])
def test_codes_are_no_more_than_the_data_allow(most, range_):
    assert f'"graph.n_codes": Int({range_}, step=10)' in study_file("first", "shop", most)


def test_codes_follow_the_data_set(written, shop: Dataset):
    fewest = min(len(shop.features(name).items) for name in shop.modalities)
    assert fewest - 10 < plan_of(written).space["graph.n_codes"].high <= fewest


def test_names_that_are_words_of_the_file_stay(tmp_path):
    text = study_file("DATASET", "NAME")
    assert 'dataset="NAME",\n    name="DATASET",' in text
