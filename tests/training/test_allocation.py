"""Freed memory is kept: what is allocated again costs no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from mmsr.training.allocation import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use() -> None:
    blocks = [torch.ones(2**21) for _ in range(4)]
use()
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Uses four blocks of 8 MB, 2,048 pages each, again and again."""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is what this is about")
def test_memory_that_was_freed_costs_no_page_faults() -> None:
    faults = {
        way: int(subprocess.check_output([sys.executable, "-c", PROGRAM, way], text=True))
        for way in ("keep", "return")
    }
    assert faults["keep"] < 100
    assert faults["return"] > 2 * 2048
