"""The examples in docstrings are run, and what a user constructs has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import mmsr
import mmsr.study

PACKAGE = Path(mmsr.__file__).parent
MODULES = sorted(
    ".".join(("mmsr", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>>" in file.read_text()
)
CLASSES = sorted(
    name for name in mmsr.study.__all__ if inspect.isclass(getattr(mmsr.study, name, None))
)


def test_examples_are_found():
    assert {"mmsr.study.main", "mmsr.data.splits.protocols", "mmsr.evaluation.metrics"} <= set(
        MODULES
    )
    assert {"Choice", "Int", "Study", "Tpe"} <= set(CLASSES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_hold(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_that_users_construct_has_an_example(name):
    text = getattr(mmsr.study, name).__doc__ or ""
    assert doctest.DocTestParser().get_examples(text)
