"""Protocols that split histories, and the (history, target) examples that result."""

from mmsr.data.splits.prefixes import (
    PADDING,
    Prefixes,
    alternating,
    items_before,
    padded,
    prefixes_between,
    seen_before,
)
from mmsr.data.splits.protocols import (
    BY_MOMENT,
    COLD_ITEMS,
    PROTOCOLS,
    TEST_SHARE,
    Histories,
    Split,
    split_cold_items,
    split_leave_one_out,
    split_ratio,
    split_temporal,
    targets_between,
)

__all__ = [
    "BY_MOMENT",
    "COLD_ITEMS",
    "PADDING",
    "PROTOCOLS",
    "TEST_SHARE",
    "Histories",
    "Prefixes",
    "Split",
    "alternating",
    "items_before",
    "padded",
    "prefixes_between",
    "seen_before",
    "split_cold_items",
    "split_leave_one_out",
    "split_ratio",
    "split_temporal",
    "targets_between",
]
