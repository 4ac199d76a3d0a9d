"""Shell completion: what the tab key suggests, and the scripts that ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsr.cli.options import known_datasets, known_studies
from mmsr.data import catalog
from mmsr.study.storage.folder import study_names

RUN = "import sys; from mmsr.cli.app import main; sys.argv[0] = 'mmsr'; main()"
LOADED = "import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
SHELLS = ("bash", "zsh", "fish", "powershell")


def mmsr(*words: str, code: str = RUN, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def typed(line: str, **variables: str) -> list[str]:
    """What bash gets to suggest after a line, whose last word may be unfinished or empty."""
    words = line.split(" ")
    done = mmsr(
        _MMSR_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **variables
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with names of data sets and studies, and with things that are none."""
    home = tmp_path_factory.mktemp("filled")
    for name in ("shop", "toys", ".toys.draft-1", "$(touch x)"):
        (home / "datasets" / name).mkdir(parents=True)
        (home / "datasets" / name / "manifest.json").write_text("not read")
    for name in ("first", "final", "second", "a b"):
        (home / "studies" / name).mkdir(parents=True)
        (home / "studies" / name / "study.json").write_text("not read")
    (home / "datasets" / "unfinished").mkdir()
    (home / "studies" / "finished").write_text("a file")
    return home


@pytest.mark.parametrize(
    ("line", "suggested"),
    [
        ("mmsr st", ["study"]),
        ("mmsr study le", ["leaderboard"]),
        ("mmsr study new first --da", ["--dataset"]),
        ("mmsr study new ", []),
        ("mmsr study new first --dataset ", ["shop", "toys"]),
        ("mmsr study status ", ["final", "first", "second"]),
        ("mmsr study status fi", ["final", "first"]),
        ("mmsr study status zzz", []),
        ("mmsr study leaderboard s", ["second"]),
        ("mmsr study finalize s", ["second"]),
        ("mmsr best-config export s", ["second"]),
        ("mmsr robustness s", ["second"]),
        ("mmsr data describe ", ["shop", "toys"]),
        ("mmsr train t", ["toys"]),
        ("mmsr model describe t", ["toys"]),
        ("mmsr reproduce table3 --dataset t", ["toys"]),
        ("mmsr study status --wrong s", ["second"]),
    ],
)
def test_bash_suggests(line, suggested, filled):
    assert typed(line, MMSR_HOME=str(filled)) == suggested


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_suggest(shell, filled):
    done = mmsr(
        _MMSR_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="mmsr study status fi",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        MMSR_HOME=str(filled),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "first" in done.stdout
    assert "final" in done.stdout
    assert "second" not in done.stdout


@pytest.mark.parametrize(
    "home", ["/dev/null/home", "~nobody-of-this-name/home", "s3://no-such-bucket/mmsr", "missing"]
)
def test_nothing_is_suggested_where_nothing_can_be_read(home, tmp_path, monkeypatch):
    copies = str(tmp_path / "copies")
    assert typed("mmsr study status ", MMSR_HOME=home, MMSR_COPIES=copies) == []
    assert typed("mmsr train ", MMSR_HOME=home, MMSR_COPIES=copies) == []
    assert list(tmp_path.iterdir()) == []


def test_suggestions_load_no_library_that_is_slow_to_load(filled):
    done = mmsr(
        code=RUN.replace("sys.argv", LOADED + "sys.argv"),
        _MMSR_COMPLETE="complete_bash",
        COMP_WORDS="mmsr study status ",
        COMP_CWORD="3",
        MMSR_HOME=str(filled),
    )
    assert done.stdout.split() == ["final", "first", "second"]
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert loaded & {"torch", "ray", "mlflow", "sklearn", "optuna", "numpy", "pyarrow"} == set()


def test_suggestions_are_the_names_that_commands_know(study_home):
    (study_home / "studies" / "first").mkdir(parents=True)
    (study_home / "studies" / "first" / "study.json").touch()
    assert known_datasets() == catalog.names() == ["shop"]
    assert known_studies() == study_names() == ["first"]


@pytest.mark.parametrize("shell", SHELLS)
def test_show_completion_prints_a_script(shell):
    done = mmsr("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "_MMSR_COMPLETE" in done.stdout
    assert f"complete_{shell}" in done.stdout


def test_a_strange_shell_is_bad_input():
    done = mmsr("--show-completion", "csh", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def in_bash(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs lines in bash, where `mmsr` is a command and the home folder is a new one."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    command = tmp_path / "bin" / "mmsr"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\n{RUN}\n")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"

    def run(lines: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [bash, "--norc", "-c", f"{lines}\nexit $?"],
            env={**os.environ, **own, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_bash_completes_after_installation(in_bash, tmp_path, filled):
    done = in_bash("mmsr --install-completion")
    assert done.returncode == 0, done.stderr
    assert "bash completion installed in" in done.stdout
    pressed = (
        "source ~/.bashrc\n"
        "COMP_WORDS=(mmsr study status fi); COMP_CWORD=3\n"
        "_mmsr_completion mmsr\n"
        'echo "${COMPREPLY[@]}"'
    )
    done = in_bash(pressed, MMSR_HOME=str(filled))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["final", "first"]


def test_a_home_folder_that_cannot_be_written_is_one_line(in_bash):
    done = in_bash("mmsr --install-completion", HOME="/dev/null")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
