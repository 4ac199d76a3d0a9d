"""The one place where names in configs become objects.

To add an aggregator: a config class in `mmsr.config.model`, a module in `mmsr.models.aggregators`,
and a line here. The contract tests pick it up by themselves.
"""

from __future__ import annotations

from typing import Any

from mmsr.config.model import ModelConfig
from mmsr.models.aggregators.base import Aggregator
from mmsr.models.aggregators.dual_attention import DualAttention
from mmsr.models.aggregators.gat import Gat
from mmsr.models.aggregators.gcn import Gcn
from mmsr.models.aggregators.graphormer import Graphormer
from mmsr.models.aggregators.graphsage import GraphSage
from mmsr.models.aggregators.hgat import Hgat
from mmsr.models.aggregators.hgnn import Hgnn
from mmsr.models.aggregators.rgat import Rgat
from mmsr.models.aggregators.typed_gat import TypedGat
from mmsr.models.readout import Attention, Last, LastNAttention, Mean, Readout

AGGREGATORS: dict[str, type[Aggregator]] = {
    "dual_attention": DualAttention,
    "gcn": Gcn,
    "graphsage": GraphSage,
    "gat": Gat,
    "graphormer": Graphormer,
    "rgat": Rgat,
    "hgnn": Hgnn,
    "hgat": Hgat,
    "typed_gat": TypedGat,
}
READOUTS: dict[str, type[Readout]] = {
    "last": Last,
    "mean": Mean,
    "attention": Attention,
    "last_n_attention": LastNAttention,
}


def make_aggregator(config: Any, n_types: int, width: int) -> Aggregator:
    """Build the aggregator that a config names.

    Parameters
    ----------
    config : one of the aggregators' configs (`mmsr.config.model.AggregatorConfig`).
    n_types : number of node types.
    width : width of node vectors.
    """
    return AGGREGATORS[config.name](config, n_types, width)


def make_readout(config: ModelConfig) -> Readout:
    """Build the readout that a config names.

    Parameters
    ----------
    config : the model's config.
    """
    return READOUTS[config.readout](config)
