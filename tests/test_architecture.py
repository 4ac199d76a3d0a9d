"""The floors: a package imports only from those below it, and no framework leaks downwards."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mmsr

PACKAGE = Path(mmsr.__file__).parent

FLOORS = {
    "__init__": 0,
    "errors": 0,
    "paths": 0,
    "remote": 0,
    "config": 0,
    "model_config": 0,
    "graph_config": 0,
    "data": 1,
    "graph": 2,
    "models": 3,
    "evaluation": 4,
    "training": 4,
    "tracking": 5,
    "numbers": 0,
    "study": 6,
    "robustness": 7,
    "finalize": 7,
    "reproduce": 8,
    "cli": 9,
}
"""Floor of each module and package right under `mmsr/`."""

NEIGHBOURS = {("training", "evaluation")}
"""Imports within one floor that are meant: the training loop evaluates after each epoch."""

FRAMEWORKS = {"ray", "optuna", "mlflow"}
FOREIGN = {
    **{
        name: FRAMEWORKS | {"torch"}
        for name in (
            "__init__",
            "errors",
            "paths",
            "remote",
            "config",
            "model_config",
            "graph_config",
            "data",
        )
    },
    **dict.fromkeys(("graph", "models", "training", "evaluation"), FRAMEWORKS),
    "tracking": {"ray", "optuna"},
}
"""Libraries that a part of mmsr must know nothing of."""


def imported_modules(source: str, package: str) -> set[str]:
    """Absolute names of all modules that a source imports, at the top or inside functions.

    `package` is the dotted package that relative imports start from.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            # `from mmsr import data` imports mmsr.data.
            names |= {f"{base}.{alias.name}" for alias in node.names} if base == "mmsr" else {base}
    return names


def violations(path: str, source: str) -> list[str]:
    """Forbidden imports of the file at `path`, relative to `mmsr/`."""
    parts = Path(path).with_suffix("").parts
    here = parts[0]
    package = ".".join(["mmsr", *parts[:-1]])
    found = []
    for name in sorted(imported_modules(source, package)):
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "mmsr" and there in FLOORS and there != here:
            upwards = FLOORS[there] > FLOORS[here]
            sideways = FLOORS[there] == FLOORS[here] > 0 and (here, there) not in NEIGHBOURS
            if upwards or sideways:
                found.append(f"mmsr/{path} (floor {FLOORS[here]}) imports {name}")
        elif top in FOREIGN.get(here, set()):
            found.append(f"mmsr/{path} imports {top}")
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_go_down_only(file):
    path = file.relative_to(PACKAGE).as_posix()
    assert violations(path, file.read_text()) == []


def test_every_part_has_a_floor():
    parts = {path.stem for path in PACKAGE.glob("*.py")}
    parts |= {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert parts <= FLOORS.keys()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/dataset.py", "from mmsr.graph.codes import modality_codes"),
        ("data/dataset.py", "from mmsr import training"),
        ("data/dataset.py", "from .. import models"),
        ("data/dataset.py", "from ..graph import codes"),
        ("data/dataset.py", "def f():\n    import mmsr.study.driver.run"),
        ("data/dataset.py", "import torch.nn"),
        ("models/aggregators/gcn.py", "from mmsr.training.loop import train"),
        ("evaluation/ranking.py", "from mmsr.training import train"),
        ("training/loop.py", "import mlflow"),
        ("tracking/mlflow.py", "from optuna import Study"),
        ("config.py", "from mmsr.data import Dataset"),
    ],
)
def test_a_planted_violation_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/train.py", "from mmsr.training import train\nfrom mmsr import paths"),
        ("training/loop.py", "from mmsr.evaluation import ranks_of\nimport torch"),
        ("models/aggregators/gcn.py", "from ..base import Aggregator\nfrom . import attention"),
        ("tracking/mlflow.py", "import mlflow"),
        ("config.py", "from mmsr.errors import UserError"),
    ],
)
def test_allowed_imports_pass(path, source):
    assert violations(path, source) == []


READS_TEST = {
    "data/__init__.py",
    "data/dataset.py",
    "reproduce/select_on_test.py",
    "study/results/held_out.py",
}
"""Where `open_test` is defined, handed on and called; nobody else may name it."""

NAMES_THE_TRAINER = {
    "study/planning/plan.py",
    "reproduce/collect.py",
    "reproduce/request.py",
}
"""Who may name the trainer that chooses on test: to refuse it, to run it, to read what it kept."""


def names_in(source: str) -> set[str]:
    """All names, attributes, imported modules and strings of a source, but its docstrings."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found |= set(node.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            found |= set((node.module or "").split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.split(r"[.:]", node.value)) if "\n" not in node.value else set()
    return found


def who_names(*names: str) -> set[str]:
    return {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if names_in(file.read_text()) & set(names)
    }


def reached_from(path: str) -> set[str]:
    """Files that a file imports, those that they import, and so on; no implied `__init__`."""
    found, left = set(), [path]
    while left:
        here = left.pop()
        found.add(here)
        package = ".".join(["mmsr", *Path(here).parts[:-1]])
        for name in imported_modules((PACKAGE / here).read_text(), package):
            inside = name.removeprefix("mmsr.").replace(".", "/")
            for there in (f"{inside}.py", f"{inside}/__init__.py"):
                if name.startswith("mmsr.") and (PACKAGE / there).exists() and there not in found:
                    left.append(there)
    return found


def test_who_may_open_the_test_part():
    assert who_names("open_test", "test_file") - {"data/manifest.py"} == READS_TEST


def test_who_may_name_the_trainer_that_chooses_on_test():
    trainer = who_names("select_on_test", "train_selecting_on_test", "TEST_SELECTING")
    assert trainer - {"reproduce/select_on_test.py"} == NAMES_THE_TRAINER


def test_a_trial_reaches_nothing_that_opens_the_test_part():
    # What a worker runs: the trial itself, and the trainer that it loads by name.
    reached = reached_from("study/workers/trial.py") | reached_from("training/__init__.py")
    reached |= reached_from("finalize/training.py")
    assert {"training/loop.py", "data/dataset.py", "evaluation/ranking.py"} <= reached
    assert reached & (READS_TEST | NAMES_THE_TRAINER) == {"data/__init__.py", "data/dataset.py"}
    caller = reached_from("reproduce/select_on_test.py")
    assert "study/results/held_out.py" in caller, "the search does find those that open it"


@pytest.mark.parametrize(
    "source",
    [
        "from mmsr.data import open_test",
        "import mmsr.data\nmmsr.data.open_test(x)",
        "from mmsr.data.dataset import open_test as harmless",
        "getattr(data, 'open_test')",
        "trainer = 'mmsr.reproduce.open_test:train'",
    ],
)
def test_a_name_is_found_however_it_is_written(source):
    assert "open_test" in names_in(source)
