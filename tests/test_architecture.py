"""The floors: a package imports only from those below it, and no framework leaks downwards."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import mmsr

PACKAGE = Path(mmsr.__file__).parent

FLOORS = {
    "config": 0,
    "console": 0,
    "dimensions": 0,
    "errors": 0,
    "format": 0,
    "inner_names": 0,
    "masking": 0,
    "notices": 0,
    "numbers": 0,
    "pace": 0,
    "paths": 0,
    "provenance": 0,
    "remote": 0,
    "urls": 0,
    "version": 0,
    "data": 1,
    "tracking": 1,
    "graph": 2,
    "models": 3,
    "evaluation": 4,
    "training": 5,
    "study": 6,
    "care": 8,
    "finalize": 8,
    "robustness": 8,
    "serving": 7,
    "ui": 8,
    "trainings": 8,
    "report": 9,
    "reproduce": 9,
    "cli": 10,
    "__init__": 11,
}
"""Floor of each module and package right under `mmsr/`; those of floor 0 may use each other."""

ROOMS = {
    "workers": 0,
    "storage": 1,
    "search": 2,
    "planning": 3,
    "results": 3,
    "sizing": 4,
    "views": 5,
    "driver": 6,
    "reader": 6,
    "main": 7,
    "__init__": 8,
}
"""Floor of each module and package right under `mmsr/study/`."""

FRAMEWORKS = {"ray", "optuna", "mlflow"}
FOREIGN = {
    **{
        name: FRAMEWORKS | {"torch"}
        for name, floor in FLOORS.items()
        if floor == 0 or name == "data"
    },
    "inner_names": {"torch", "mlflow"},
    "dimensions": {"ray", "mlflow", "torch"},  # types of Optuna's stand in signatures
    **dict.fromkeys(("graph", "models", "training", "evaluation"), FRAMEWORKS),
    "tracking": {"ray", "optuna"},
}
"""Libraries that a part of mmsr must know nothing of."""
RUNS_NETWORKS = ("data", "encoders")
"""The one package of its part that runs networks: it may import torch inside functions."""

MOST_FILES = 14
MOST_LINES = 300


def origin(node: ast.ImportFrom, package: str) -> str:
    """Absolute name of what follows `from`; relative imports start from the dotted `package`."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, node.module or ""]).rstrip(".")


def imports_torch_late(path: str, source: str) -> bool:
    """Whether a file may import torch, and does so in functions alone."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    outside = imported_modules(ast.unparse(tree), "")
    late = "torch" not in {name.partition(".")[0] for name in outside}
    return late and Path(path).parts[:2] == RUNS_NETWORKS


def imported_modules(source: str, package: str) -> set[str]:
    """Absolute names of all that a source imports: at the top, in functions, for types alone.

    `from a import b` gives `a.b`, which may be a module or a name of one; `import a.b` the same.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{origin(node, package)}.{alias.name}" for alias in node.names}
    return names - {"mmsr"}


def forbidden(floors: dict[str, int], here: str, there: str) -> bool:
    """Whether one part imports another that is on a higher floor, or beside it."""
    if here == there or here not in floors or there not in floors:
        return False
    return floors[there] > floors[here] or floors[there] == floors[here] > 0


def violations(path: str, source: str) -> set[str]:
    """Parts and libraries that the file at `path`, relative to `mmsr/`, must not import."""
    parts = Path(path).with_suffix("").parts
    found = set()
    for name in imported_modules(source, ".".join(["mmsr", *parts[:-1]])):
        top, *inner = name.split(".")
        if top != "mmsr":
            late = top == "torch" and imports_torch_late(path, source)
            if top in FOREIGN.get(parts[0], set()) and not late:
                found.add(top)
        elif forbidden(FLOORS, parts[0], inner[0]):
            found.add(inner[0])
        elif parts[0] == "study" and inner[0] == "study":
            # `from mmsr.study import Study`, `import mmsr.study`
            room = inner[1] if inner[1:] and inner[1] in ROOMS else "__init__"
            found |= {f"study.{room}"} if forbidden(ROOMS, parts[1], room) else set()
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_go_down_only(file):
    path = file.relative_to(PACKAGE).as_posix()
    assert violations(path, file.read_text()) == set()


@pytest.mark.parametrize(("folder", "floors"), [("", FLOORS), ("study", ROOMS)])
def test_every_part_has_a_floor(folder, floors):
    parts = {path.stem for path in (PACKAGE / folder).glob("*.py")}
    parts |= {path.parent.name for path in (PACKAGE / folder).glob("*/*.py")}
    assert parts == floors.keys()


def imports_by_file(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which files of `mmsr/` each of them imports, whatever the import is for.

    A name that a package hands on counts as its `__init__.py`; a package that is only on the way
    to a module does not.
    """
    files = {
        ".".join(["mmsr", *Path(path).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in sources
    }
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        package = ".".join(["mmsr", *Path(path).parts[:-1]])
        names: set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = origin(node, package)
                inner = [f"{base}.{alias.name}" for alias in node.names]
                names |= {name if name in files else base for name in inner}
        graph[path] = {files[name] for name in names & files.keys()} - {path}
    return graph


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Files that import each other in a circle: those from which a way leads back."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(graph[start])
        while left:
            here = left.pop()
            if here not in seen:
                seen.add(here)
                left += graph[here]
        return seen

    return {file for file in graph if file in reached(file)}


def test_no_files_import_each_other_in_a_circle():
    files = PACKAGE.rglob("*.py")
    sources = {file.relative_to(PACKAGE).as_posix(): file.read_text() for file in files}
    graph = imports_by_file(sources)
    assert graph["study/main.py"] >= {"study/planning/make_plan.py", "study/driver/run.py"}
    assert circles(graph) == set()


@pytest.mark.parametrize(
    "hidden",
    [
        "from mmsr.a import f",
        "from mmsr import a",
        "import mmsr.a",
        "from . import a",
        "from .a import f",
        "def f():\n    from mmsr.a import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmsr.a import T",
    ],
)
def test_a_planted_circle_is_found(hidden):
    sources = {"a.py": "from mmsr.b import g", "b.py": hidden, "c.py": "from mmsr.a import f"}
    assert circles(imports_by_file(sources)) == {"a.py", "b.py"}
    assert circles(imports_by_file({**sources, "b.py": "import os"})) == set()


def test_folders_and_files_stay_small():
    for folder in {file.parent for file in PACKAGE.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text().splitlines()) <= MOST_LINES, file


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/dataset.py", "from mmsr.graph.codes import modality_codes"),
        ("data/dataset.py", "from mmsr import training"),
        ("data/dataset.py", "from .. import models"),
        ("data/dataset.py", "from ..graph import codes"),
        ("data/dataset.py", "def f():\n    import mmsr.study.driver.run"),
        ("data/dataset.py", "import torch.nn"),
        ("data/dataset.py", "def f():\n    import torch"),
        ("data/importers/encoding.py", "def f():\n    from torch import nn"),
        ("data/encoders.py", "def f():\n    import torch"),
        ("data/encoders/vision.py", "import torch"),
        ("data/encoders/vision.py", "if TYPE_CHECKING:\n    from torch import nn"),
        ("data/encoders/vision.py", "import torch.nn\ndef f():\n    import torch"),
        ("data/encoders/vision.py", "class A:\n    import torch"),
        ("data/encoders/vision.py", "def f():\n    import ray"),
        ("graph/encoders/vision.py", "def f():\n    import ray"),
        ("models/aggregators/gcn.py", "from mmsr.training.loop import train"),
        ("evaluation/ranking.py", "from mmsr.training import train"),
        ("training/loop.py", "import mlflow"),
        ("tracking/mlflow.py", "from optuna import Study"),
        ("config.py", "from mmsr.data import Dataset"),
        ("study/storage/trials.py", "from mmsr.study.planning.plan import Plan"),
        ("study/planning/plan.py", "from mmsr.study.results.export import export_best"),
        ("study/driver/run.py", "from mmsr.study import Study"),
        ("study/results/export.py", "import mmsr.study"),
        ("study/results/export.py", "from mmsr import study"),
        ("study/results/export.py", "from ... import study"),
        ("study/results/export.py", "import mmsr.study.driver.run"),
        ("study/views/tables.py", "def f():\n    import mmsr.study.driver.run"),
        ("finalize/run.py", "from mmsr.robustness.run import measure"),
        ("study/main.py", "from mmsr.cli import app"),
    ],
)
def test_a_planted_violation_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/train.py", "from mmsr.training import train\nfrom mmsr import paths"),
        ("training/loop.py", "from mmsr.evaluation import ranks_of\nimport torch"),
        ("data/encoders/vision.py", "class A:\n    def f(self):\n        import torch.nn"),
        ("models/aggregators/gcn.py", "from ..base import Aggregator\nfrom . import attention"),
        ("tracking/mlflow.py", "import mlflow"),
        ("config.py", "from mmsr.errors import UserError"),
        ("study/driver/run.py", "from mmsr.study.views import ending\nimport ray"),
        ("reproduce/run.py", "from mmsr.study import Study\nfrom mmsr.robustness.run import write"),
    ],
)
def test_allowed_imports_pass(path, source):
    assert violations(path, source) == set()


INNER_NAMES = "inner_names.py"
OTHERS_INNER_NAMES = {
    "os._exit",
    "torch._foreach_copy_",
    "torch._foreach_lerp_",
    "torch._softmax_backward_data",
    "torch.ops.mkldnn._is_mkldnn_bf16_supported",
}
"""What the system and torch have no other name for; each is there, or its test fails."""


def inner_names_in(source: str) -> set[str]:
    """Names with an underscore that a source takes from something that is not its own."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
            owner = ast.unparse(node.value)
            found |= {f"{owner}.{node.attr}"} if owner not in ("self", "cls", "super()") else set()
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = [keyword.arg or "" for keyword in node.keywords]
            found |= {f"{name}=" for name in names if re.match("_[^_]", name)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and re.match("_[^_]", str(name.value)):
                found.add(str(name.value))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if re.search(r"\._[^_]", alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name for name in names if re.search(r"\._[^_]", name)}
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_inner_names_of_others_stand_in_one_file(file):
    if file.relative_to(PACKAGE).as_posix() != INNER_NAMES:
        assert inner_names_in(file.read_text()) <= OTHERS_INNER_NAMES


@pytest.mark.parametrize(
    "source",
    [
        "study._storage",
        "from ray._private import services",
        "from mmsr.study.storage.database import _cause",
        "import ray._private.state",
        "def f(trial):\n    trial._trial_id = 3",
        "ray.init(_node_ip_address='127.0.0.1')",
        "getattr(study, '_storage')",
    ],
)
def test_a_planted_inner_name_is_found(source):
    assert len(inner_names_in(source)) == 1
    assert inner_names_in("self._storage\nfrom ray import tune\nx.__dict__") == set()


@pytest.mark.parametrize("name", sorted(OTHERS_INNER_NAMES))
def test_the_inner_names_of_others_are_there(name):
    module, *path = name.split(".")
    found = importlib.import_module(module)
    for part in path:
        found = getattr(found, part)
    assert callable(found)


IMPORTS_BY_NAME = {"study/workers/trial.py", "config/plugins.py"}
"""Who loads a module by a name that a user gives: the trainer, and models and encoders."""
NAMES_A_THING = {
    "config/models.py",
    "data/encoders/registry.py",
    "finalize/request.py",
    "reproduce/request.py",
    "study/planning/checks.py",
    "study/storage/definition.py",
}
"""Who may have an import path such as `mmsr.training:train` in a string, e.g. of models."""


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_mypy_knows_the_names_of_modules(file):
    """To mypy, a module with `__getattr__` has every name: it stands under `not TYPE_CHECKING`."""
    names = [node.name for node in ast.parse(file.read_text()).body if hasattr(node, "name")]
    assert "__getattr__" not in names


def test_nobody_goes_around_imports():
    assert who_names("import_module", "__import__") == IMPORTS_BY_NAME
    paths = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if import_paths_in(file.read_text())
    }
    assert paths == NAMES_A_THING


def import_paths_in(source: str) -> set[str]:
    """Import paths of things of mmsr in a source's strings."""
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    found = (re.findall(r"\bmmsr(?:\.\w+)+:\w+", text) for text in texts if isinstance(text, str))
    return {path for paths in found for path in paths}


def test_a_planted_import_path_is_found():
    assert import_paths_in("x = 'mmsr.study.driver.run:run_plan'") != set()
    assert "import_module" in names_in("import importlib\nimportlib.import_module('a')")
    assert "import_module" in names_in("from importlib import import_module as load")


@pytest.mark.parametrize(("path", "name"), [("study/driver/run.py", "run_plan")])
def test_the_road_of_a_run_stays_short(path, name):
    tree = ast.parse((PACKAGE / path).read_text())
    lengths = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert name in lengths
    assert max(lengths.values()) <= 40, lengths


OPENS_TEST = "data/held_out.py"
"""Where `open_test` and `open_test_table` are."""
EXPORTS_TEST = {"data/exporters/histories.py"}
READS_TEST = {"study/results/held_out.py"} | EXPORTS_TEST
"""Who calls them; nobody else may name them, and nobody hands them on."""
KNOWS_THE_FILE = {
    "care/datasets.py",
    "data/closed.py",
    "data/folders.py",
    "data/held_out.py",
    "data/importers/prepare.py",
    "data/mirror.py",
}
"""Who knows the file of a test part: to write it, to move it, to publish it, to remove it, to
refuse it."""
MARKS_TRIALS = {"data/closed.py", "study/sizing/probe.py", "study/workers/trial.py"}
"""Who names the mark of a trial's process; nobody takes it back."""


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
        names = imported_modules((PACKAGE / here).read_text(), package)
        for name in names | {name.rpartition(".")[0] for name in names}:
            inside = name.removeprefix("mmsr.").replace(".", "/")
            for there in (f"{inside}.py", f"{inside}/__init__.py"):
                if name.startswith("mmsr.") and (PACKAGE / there).exists() and there not in found:
                    left.append(there)
    return found


def test_who_may_open_the_test_part():
    assert who_names("open_test") == READS_TEST - EXPORTS_TEST
    assert who_names("open_test_table") == EXPORTS_TEST | {OPENS_TEST}


def test_who_may_know_the_file_of_a_test_part():
    files = who_names("TEST_FILE", "test_file", "waiting_test_file", "published_test")
    assert files - {"data/manifest.py"} == KNOWS_THE_FILE
    literal = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if '"test.arrow"' in file.read_text()
    }
    assert literal == {"data/closed.py"}


def test_who_may_mark_a_trial():
    assert who_names("enter_trial", "TRIAL", "MMSR_TRIAL") == MARKS_TRIALS


def test_a_trial_reaches_nothing_that_opens_the_test_part():
    # What a worker runs: the trial itself, and the trainers that it loads by name.
    reached = reached_from("study/workers/trial.py") | reached_from("training/__init__.py")
    reached |= reached_from("finalize/training.py") | reached_from("reproduce/training.py")
    assert {"training/loop.py", "data/dataset.py", "evaluation/ranking.py"} <= reached
    assert reached & ({OPENS_TEST} | READS_TEST) == set()
    caller = reached_from("reproduce/select_on_test.py")
    assert OPENS_TEST in caller, "the search does find the one that opens it"


@pytest.mark.parametrize(
    "source",
    [
        "from mmsr.data.held_out import open_test",
        "import mmsr.data.held_out\nmmsr.data.held_out.open_test(x)",
        "from mmsr.data.held_out import open_test as harmless",
        "getattr(held_out, 'open_test')",
        "trainer = 'mmsr.reproduce.open_test:train'",
    ],
)
def test_a_name_is_found_however_it_is_written(source):
    assert "open_test" in names_in(source)
