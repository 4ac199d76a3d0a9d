"""The one place where names in configs become objects.

To add an aggregator: a config class in `mmsr.model_config`, a module in `mmsr.models.aggregators`,
and a line here. The contract tests pick it up by themselves.
"""

from __future__ import annotations

from typing import Any

from mmsr.models.aggregators.base import Aggregator
from mmsr.models.aggregators.dual_attention import DualAttention
from mmsr.models.aggregators.gcn import Gcn
from mmsr.models.readout import Last, Mean, Readout

AGGREGATORS: dict[str, type[Aggregator]] = {"dual_attention": DualAttention, "gcn": Gcn}
READOUTS: dict[str, type[Readout]] = {"last": Last, "mean": Mean}


def make_aggregator(config: Any, n_types: int, width: int) -> Aggregator:
    """Build the aggregator that a config names."""
    return AGGREGATORS[config.name](config, n_types, width)


def make_readout(name: str) -> Readout:
    """Build a readout by name."""
    return READOUTS[name]()
