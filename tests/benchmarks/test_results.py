"""Kept results: each names a commit of this history and a command that can be given again."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main

from mmsr.cli.app import app
from mmsr.config import Config, parse_settings

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
KEYS = {"name", "command", "commit", "machine", "figures", "bars"}
MACHINE = {"cpu", "cores", "threads", "memory_gb", "torch", "gemm_fp32_gflops"}
"""What a machine must be known by; later versions tell more."""
_USAGE_ERROR = typer.BadParameter.__mro__[1]


def is_table(file: Path) -> bool:
    """Whether `mmsr reproduce` wrote the result; all others are a benchmark's."""
    return file.parent.name == "tables"


def kept(pattern: str):
    """Parametrizes a test over the files."""
    files = sorted(RESULTS.glob(pattern))
    assert files
    return pytest.mark.parametrize("file", files, ids=lambda f: f.relative_to(RESULTS).as_posix())


def git(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def history():
    """Skips where the commits are not at hand."""
    try:
        top = git("rev-parse", "--show-toplevel")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if top.returncode or Path(top.stdout.strip()).resolve() != ROOT:
        pytest.skip("these files are no clone: an archive has no history to look commits up in")
    if git("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        pytest.skip("a shallow clone lacks older commits; `git fetch --unshallow` gets them")


def commit_problem(commit: str) -> str | None:
    """What is wrong with a result's commit; None if it is HEAD or older."""
    if commit.endswith("+"):
        return f"{commit}: files were changed since that commit"
    done = git("merge-base", "--is-ancestor", commit, "HEAD")
    return None if done.returncode == 0 else f"{commit} is not in the history of HEAD"


def command_problem(command: str, load) -> str | None:
    """What is wrong with a result's command, by the parser of what it runs; None if nothing is."""
    tool, *words = shlex.split(command)
    if tool == "mmsr":
        return mmsr_problem(words)
    script, *arguments = words
    if tool != "python" or not (ROOT / script).is_file():
        return f"{command} runs no file of this repository"
    try:
        load(Path(script).stem).parser().parse_args(arguments)
    except SystemExit:
        return f"{command} is refused"
    return None


def mmsr_problem(words: list[str]) -> str | None:
    name, command = "mmsr", typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    settings = [value for option, value in pairwise(words) if option == "--set"]
    try:
        command.make_context(name, list(words))
    except _USAGE_ERROR as error:
        return error.format_message()
    Config(dataset="any").replace(parse_settings(settings))
    return None


@kept("*.json")
def test_a_benchmark_tells_all_that_its_figures_need(file):
    result = json.loads(file.read_text())
    assert result.keys() >= KEYS
    assert result["machine"].keys() >= MACHINE
    model = result.get("model", "mmsr")
    parts = (result["name"], result.get("dataset"), model if model != "mmsr" else None)
    assert file.stem == "_".join(part for part in parts if part is not None)
    assert Path(shlex.split(result["command"])[1]).stem == result["name"]
    for bar in result["bars"].values():
        assert bar.keys() == {"limit", "value", "met"}


def test_tables_tell_all_that_their_figures_need():
    for file in sorted(RESULTS.glob("tables/*.json")):
        result = json.loads(file.read_text())
        assert result.keys() >= {"command", "code", "dataset_hash", "config", "rows"}
        assert result["code"].keys() >= {"version", "commit", "package.torch"}
        assert any(row["seeds"] for row in result["rows"])


@kept("**/*.json")
def test_the_commit_is_in_the_history(file, history):
    result = json.loads(file.read_text())
    parts = [part["commit"] for part in result.get("made", {}).values()]
    commit = result["code"]["commit"] if is_table(file) else result["commit"]
    problems = [commit_problem(one) for one in dict.fromkeys([commit, *parts])]
    assert not any(problems), problems


@kept("**/*.json")
def test_the_command_can_be_given_again(file, load):
    result = json.loads(file.read_text())
    parts = [part["command"] for part in result.get("made", {}).values()]
    for command in dict.fromkeys([result["command"], *parts]):
        assert command_problem(command, load) is None


@pytest.mark.parametrize("commit", ["0123456789ab", "HEAD+"])
def test_a_wrong_commit_is_found(commit, history):
    assert commit_problem("HEAD") is None
    assert commit_problem(commit) is not None


@pytest.mark.parametrize(
    "command",
    [
        "python benchmarks/train_stop.py",
        "python benchmarks/train_step.py --quik",
        "python benchmarks/quality.py --seeds first",
        "python benchmarks/study_overhead.py --parts 7",
        "mmsr reproduce table3 --epoch 6",
        "mmsr reproduce table3 --seeds one",
    ],
)
def test_a_wrong_command_is_found(command, load, capsys):
    assert command_problem(command, load) is not None


def test_every_benchmark_shows_its_parser(load):
    scripts = [f for f in sorted(RESULTS.parent.glob("*.py")) if "__main__" in f.read_text()]
    assert {json.loads(f.read_text())["name"] for f in RESULTS.glob("*.json")} <= {
        script.stem for script in scripts
    }
    for script in scripts:
        assert load(script.stem).parser().parse_args(["--quick"]).quick
