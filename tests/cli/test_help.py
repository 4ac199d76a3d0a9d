"""What `--help` shows of options and arguments: values have a name, flags have none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from mmsr.cli.app import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups by the words that call them."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
OWN = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "mmsr")
def test_no_type_is_shown(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [*path, "--help"]).output
    assert "--help" in shown
    assert re.findall(r"<[a-z]|\b(TEXT|INTEGER|FLOAT|PATH|BOOLEAN)\b", shown) == []


@pytest.mark.parametrize("path", OWN, ids=" ".join)
def test_values_are_named_as_on_the_page(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [*path, "--help"]).output
    for parameter in OWN[path].params:
        is_option = parameter.param_type_name == "option"
        if getattr(parameter, "is_flag", False):
            (line,) = re.findall(rf"{parameter.opts[-1]} .*", shown)
            assert re.match(r"--[\w-]+( +--no-[\w-]+)?    +[A-Z][a-z]", line), line
            continue
        assert re.fullmatch(r"[A-Z]+(=[A-Z]+)?(,…)?", parameter.metavar or ""), parameter.name
        name = f"{parameter.opts[-1]} {parameter.metavar}" if is_option else parameter.metavar
        assert f"`{name}` |" in PAGE.partition(f"### mmsr {' '.join(path)}\n")[2], name
        if not is_option:
            (row,) = re.findall(rf"│[ *]+{parameter.metavar} .*", shown)
            assert row.count(parameter.metavar) == 1
