"""Groups of commands: how they report wrong words, and what their help shows of values."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from mmsr.errors import UserError, shown
from mmsr.paths import NAME
from mmsr.urls import hidden_words

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""Typer's base class of errors in options and arguments, which it does not export."""
_RUNNING = ("run", "start", "resume")
"""What users try in order to run a study."""


class Studies(TyperGroup):
    """Commands that say how a study is run, where a user looks for a command that does it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with."""
        wrong = args and args[0] in _RUNNING and args[0] not in self.commands
        if wrong and not ctx.resilient_parsing:  # which is so while a shell completes
            given = "".join(args[1:2])
            name = f"{given}.py" if NAME.fullmatch(given) else "NAME.py"
            file = shlex.quote(given) if given.endswith(".py") else name
            raise UserError(
                f"no such command {args[0]!r}: studies are run with `python {file}`, and the same "
                "command resumes them"
            )
        return super().resolve_command(ctx, args)


class OneLine(Studies):
    """All commands; they report wrong options and arguments like any other bad input."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options that precede a command."""
        _tidy_help(self)
        with _as_user_error():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Read a command's options and arguments, and run it."""
        with _as_user_error():
            return super().invoke(*args, **kwargs)


@contextmanager
def _as_user_error() -> Iterator[None]:
    try:
        yield
    except _USAGE_ERROR as error:
        message = error.format_message()
        if not message.strip():  # a command without any argument has shown its help
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "mmsr"
        message = hidden_words(message, sys.argv)
        told = message[:1].lower() + message[1:].rstrip(".")
        raise UserError(f"{told}; see `{where} --help`") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(f"{shown(error.filename)} is too long for a file's name") from None


def _tidy_help(command: Any) -> None:
    """Show no type behind flags, which take no value, and no argument's name twice."""
    for parameter in command.get_params(typer.Context(command)):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument" and hasattr(parameter, "display_type_rich"):
            parameter.display_type_rich = lambda ctx: None
    for inner in getattr(command, "commands", {}).values():
        _tidy_help(inner)
