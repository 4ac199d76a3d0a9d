"""What the package promises from outside: light commands, true metadata, exact versions."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = {"torch", "ray", "mlflow", "sklearn"}
"""Libraries that take a second or more to import."""
NAMED_OTHERWISE = {"open_clip": ["open-clip-torch"]}
"""Distributions of imports that may not be installed, where the names differ."""
IMPORTED_BY_OPTUNA = {"cmaes"}
"""What its sampler of this name asks for."""


def normal(name: str) -> str:
    """Comparable name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    return normal(re.split(r"[\[<>=!~;\s]", requirement, maxsplit=1)[0])


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins}


def run_mmsr(tmp_path: Path, *words: str) -> tuple[int, set[str], str]:
    """Run the command line in a fresh interpreter: exit code, modules loaded, stderr."""
    code = (
        "import sys\n"
        "from mmsr.cli.app import main\n"
        f"sys.argv = {['mmsr', *words]!r}\n"
        "code = 0\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    code = stop.code or 0\n"
        "print()\n"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules})\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MMSR_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "loaded", done.stderr
    return done.returncode, set(last[1:]), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("data", "--help"),
        ("data", "import", "--help"),
        ("train", "--help"),
        ("study", "--help"),
        ("study", "new", "--help"),
        ("study", "finalize", "--help"),
        ("best-config", "--help"),
        ("reproduce", "--help"),
        ("model", "--help"),
        ("model", "describe", "--help"),
    ],
    ids=" ".join,
)
def test_help_is_light(tmp_path, words):
    code, loaded, stderr = run_mmsr(tmp_path, *words)
    assert code == 0, stderr
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(
    "words",
    [
        ("train", "no-such-dataset"),
        ("train", "no-such-dataset", "--set", "graph.n_coeds=3"),
        ("data", "describe", "no-such-dataset"),
        ("study", "status", "no-such-study"),
        ("study", "new", "first", "--dataset", "no-such-dataset"),
        ("study", "new", "no/name", "--dataset", "no-such-dataset"),
        ("study", "new", "torch", "--dataset", "no-such-dataset"),
        ("reproduce", "table3", "--dataset", "no-such-dataset"),
        ("model", "describe", "--set", "model.widht=8"),
        ("model", "describe", "no-such-dataset"),
        ("reproduce", "table3", "--dataset", "no-such-dataset", "--seeds", "0"),
        ("best-config", "export", "no-such-study", "-o", "best.yaml"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_light_line(tmp_path, words):
    code, loaded, stderr = run_mmsr(tmp_path, *words)
    assert code == 2
    assert stderr.startswith("error: ")
    assert "Traceback" not in stderr
    assert loaded & HEAVY == set()


def test_every_requirement_is_pinned():
    extras = METADATA["optional-dependencies"].values()
    required = {requirement_name(r) for rs in [METADATA["dependencies"], *extras] for r in rs}
    assert required - pinned().keys() == set()


def test_no_extra_repeats_a_requirement_of_the_core():
    core = {requirement_name(r) for r in METADATA["dependencies"]}
    extras = METADATA["optional-dependencies"].items()
    optional = {(name, requirement_name(r)) for name, rs in extras for r in rs}
    repeated = {(name, required) for name, required in optional if required in core}
    allowed = {("cluster", "ray"), ("server", "mlflow")}
    assert repeated == allowed, "with more of its own extras, or newer"


def test_the_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    for requirement in METADATA["dependencies"]:
        name = requirement_name(requirement)
        assert version(name).partition("+")[0] == pinned()[name], name


def imported_tops(folder: Path) -> set[str]:
    """First parts of all absolute imports of a folder's Python files."""
    tops: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops.add((node.module or "").partition(".")[0])
    return tops - sys.stdlib_module_names


def test_what_is_imported_is_required_and_the_reverse():
    owners = NAMED_OTHERWISE | packages_distributions()
    imported = [
        {normal(owner) for owner in owners.get(top, [top])}
        for top in imported_tops(ROOT / "mmsr") - {"mmsr"}
    ]
    core = {requirement_name(r) for r in METADATA["dependencies"]}
    extras = METADATA["optional-dependencies"].items()
    optional = {requirement_name(r) for name, rs in extras if name != "dev" for r in rs}
    missing = [names for names in imported if not names & (core | optional)]
    assert missing == [], "imported but not required"
    assert core - set().union(*imported) == IMPORTED_BY_OPTUNA, "required but never imported"
