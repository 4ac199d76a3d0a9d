"""The README's commands exist, with the options that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from mmsr.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def commands_in(text: str) -> list[str]:
    """Inline code, and lines of bash blocks: continued lines joined, comments dropped."""
    fenced = r"```(\w+)\n(.*?)```"
    blocks = [code for kind, code in re.findall(fenced, text, re.DOTALL) if kind == "bash"]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`]+)`", re.sub(fenced, "", text, flags=re.DOTALL))
    return [" ".join(shlex.split(line, comments=True)) for line in lines] + inline


def mmsr_commands() -> list[str]:
    lines = [line for name in DOCUMENTS for line in commands_in((ROOT / name).read_text())]
    return sorted({line for line in lines if line.startswith("mmsr ")})


def problem(line: str) -> str | None:
    """What is wrong with an `mmsr …` line: a command or an option that does not exist."""
    words = shlex.split(line)[1:]
    path, command = ["mmsr"], typer.main.get_command(app)
    while hasattr(command, "commands") and not "".join(words[:1]).startswith("-"):
        if not words or words[0] not in command.commands:
            return f"no command {' '.join([*path, *words[:1]])!r}"
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        name = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", name) and name not in known | {"--help"}:
            return f"{' '.join(path)!r} has no option {name!r}"
    return None


def test_the_documents_name_commands():
    assert len(mmsr_commands()) >= 8


@pytest.mark.parametrize("line", mmsr_commands())
def test_command_exists(line):
    assert problem(line) is None


@pytest.mark.parametrize(
    "line",
    ["mmsr", "mmsr dat list", "mmsr data", "mmsr data lits", "mmsr train demo --sett a=b"],
)
def test_a_wrong_command_is_found(line):
    assert problem(line) is not None


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        for sub in getattr(command, "commands", {"": None}):
            assert f"mmsr {name} {sub}".strip() in text


def test_linked_files_exist():
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_help_names_all_groups():
    shown = CliRunner().invoke(app, ["--help"]).output
    for name in ("data", "train", "study", "best-config", "reproduce", "model"):
        assert name in shown
