"""Whether bfloat16 products are native, against what the kernel says of the processor."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from mmsr.training import bf16_is_native

CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(
    not CPUINFO.exists() or platform.machine() != "x86_64",
    reason="the flags of an x86 processor are read from Linux's /proc/cpuinfo",
)
def test_native_where_the_processor_has_the_instructions() -> None:
    flags = next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags"))
    has = set(flags.split())
    if has & {"avx512_bf16", "amx_bf16"}:
        assert bf16_is_native("cpu")
    if "avx512f" not in has:
        assert not bf16_is_native("cpu")
