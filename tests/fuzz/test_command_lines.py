"""Command lines: any words end with exit code 0 or 2, and a refusal is one line."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsr.cli.app import app
from mmsr.errors import UserError
from mmsr.study.main import _parse

from .harness import refused, texts

USAGE_ERROR = typer.BadParameter.__mro__[1]
COMMAND = typer.main.get_command(app)
STARTS_WORK = [["data", "demo"], ["model", "describe"], ["model", "list"], ["ui"]]
"""Commands that work without a data set; `mmsr ui` serves until it is stopped."""


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[str]]:
    """The options of each command, by the words that lead to it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, inner in group.commands.items():
        if hasattr(inner, "commands"):
            found |= commands(inner, (*path, name))
        elif [*path, name] not in STARTS_WORK:
            options = [word for one in inner.params for word in one.opts if word.startswith("-")]
            found[*path, name] = options
    return found


COMMANDS = commands(COMMAND)
words = texts.filter(lambda word: "://" not in word and "\x00" not in word)
"""Words as a shell can pass them on, but no addresses that something might answer at."""


def lines_of(command: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    options = [*COMMANDS[command], "--nope", "--set=model.width=010", "--help="]
    option = st.sampled_from(options)
    pair = st.tuples(option, words).map(list)
    glued = st.tuples(option, words).map("=".join).map(lambda word: [word])
    rest = st.lists(pair | glued | words.map(lambda word: [word]), max_size=4)
    return rest.map(lambda parts: [*command, *(word for part in parts for word in part)])


def run(arguments: list[str]) -> None:
    """Run a command in this process, as `mmsr.cli.app.main` does; a refusal is a UserError."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = COMMAND.main(args=arguments, prog_name="mmsr", standalone_mode=False)
        except SystemExit as stop:
            code = stop.code
        except USAGE_ERROR as error:  # a command without any argument has shown its help
            code = error.format_message() or 2
    assert code in (None, 0, 2), said.getvalue()


@settings(max_examples=2500)
@given(st.sampled_from(sorted(COMMANDS)).flatmap(lines_of))
@example(["train", "x", "--set", "model.width=010"])
def test_options(arguments):
    refused(run, arguments)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(["data", "study", "import", "list", "run"]) | words, max_size=3))
def test_words(arguments):
    if arguments[:2] not in STARTS_WORK and arguments[:1] not in STARTS_WORK:
        refused(run, arguments)


STUDY = [
    "--trials",
    "--epochs",
    "--hours",
    "--set",
    "--sampler",
    "--pruner",
    "--name",
    "--seed",
    "--resume",
    "--warm-start",
    "--trial-hours",
    "--energy",
    "--nope",
    "--",
]


@settings(max_examples=800)
@given(st.lists(st.sampled_from(STUDY) | words, max_size=5))
def test_the_command_line_of_a_study(arguments):
    refused(_parse, [one for one in arguments if one not in ("-h", "--help")])


def test_what_is_run_is_checked():
    assert refused(run, ["train", "x"]) is not None
    assert len(COMMANDS) > 10
    assert issubclass(UserError, ValueError)
