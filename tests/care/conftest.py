"""What tests of care share: a process that is killed at any of its steps, and what is on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan

NO_CONTENT = (".lock", "lock", "driver.json")


class Killed(BaseException):
    """In place of the end of the process: nothing catches it."""


@pytest.fixture(scope="session")
def killed() -> type[Killed]:
    return Killed


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    """Makes a context in which the n-th change of a folder is never made."""

    @contextmanager
    def context(n: int) -> Iterator[None]:
        left = [n]

        def dying(real):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "unlink", "rmdir"):
                patch.setattr(os, name, dying(getattr(os, name)))
            yield

    return context


@pytest.fixture
def killed_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Makes a context in which a kind of change dies before, or right after, one of its steps."""

    @contextmanager
    def context(kind: type, place: int, *, done: bool) -> Iterator[None]:
        real = kind.steps

        def steps(self):
            found = list(real(self))
            step = found[place]

            def dying():
                if done:
                    step()
                raise Killed

            found[place] = dying
            return found

        with monkeypatch.context() as patch:
            patch.setattr(kind, "steps", steps)
            yield

    return context


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """All files of a home and their bytes, without locks and the records of changes."""

    def read(home: Path) -> dict[str, bytes]:
        return {
            path.relative_to(home).as_posix(): path.read_bytes()
            for path in sorted(home.rglob("*"))
            if path.is_file()
            and path.parent.name != "changes"
            and not path.name.endswith(NO_CONTENT)
            and path.suffix != ".db"
        }

    return read


@pytest.fixture
def study(small_study, study_home, opened_study):
    """The study `small` on the data set `shop`; nothing of it has run."""
    return opened_study(make_plan(small_study, Options(name="small")), "python small.py")
