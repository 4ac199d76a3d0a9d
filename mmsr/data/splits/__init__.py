"""Protocols that split histories, and the (history, target) examples that result."""

from mmsr.data.splits.prefixes import PADDING, Prefixes, prefixes_between
from mmsr.data.splits.protocols import (
    PROTOCOLS,
    TEST_SHARE,
    Histories,
    Split,
    split_leave_one_out,
    split_ratio,
    split_temporal,
)

__all__ = [
    "PADDING",
    "PROTOCOLS",
    "TEST_SHARE",
    "Histories",
    "Prefixes",
    "Split",
    "prefixes_between",
    "split_leave_one_out",
    "split_ratio",
    "split_temporal",
]
