"""Checks that knobs of several methods share."""

from __future__ import annotations

from mmsr.errors import UserError


def check_whole(what: str, value: object, least: int) -> None:
    """Raise UserError where a knob is no whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{what}={value!r}: give a whole number of at least {least}")
