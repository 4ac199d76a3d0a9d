"""Memory that is freed stays with the process, where it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path

import torch
from mmsr.training.allocation import keep_freed_memory


def resident() -> int:
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) // 1024


if sys.argv[1] == "keep":
    assert keep_freed_memory()
blocks = [torch.ones(2**21) for _ in range(8)]
full = resident()
del blocks
print(full - resident())
"""
"""Allocates and frees eight blocks of 8 MB; prints how many MB the process has given back."""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is what this is about")
def test_memory_that_is_freed_is_kept() -> None:
    returned = {
        way: int(subprocess.check_output([sys.executable, "-c", PROGRAM, way], text=True))
        for way in ("keep", "return")
    }
    assert returned["keep"] <= 1
    assert returned["return"] >= 32
