"""The one place where names in configs become objects.

To add an aggregator: a config class in `mmsr.config.mmsr`, a module in
`mmsr.models.mmsr.aggregators`,
and a line here. The contract tests pick it up by themselves."""

from __future__ import annotations

from typing import Any

from mmsr.config.mmsr import MmsrConfig
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.aggregators.dual_attention import DualAttention
from mmsr.models.mmsr.aggregators.gat import Gat
from mmsr.models.mmsr.aggregators.gcn import Gcn
from mmsr.models.mmsr.aggregators.graphormer import Graphormer
from mmsr.models.mmsr.aggregators.graphsage import GraphSage
from mmsr.models.mmsr.aggregators.hgat import Hgat
from mmsr.models.mmsr.aggregators.hgnn import Hgnn
from mmsr.models.mmsr.aggregators.rgat import Rgat
from mmsr.models.mmsr.aggregators.typed_gat import TypedGat
from mmsr.models.mmsr.readout import Attention, Last, LastNAttention, Mean, Readout

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
    config : one of the aggregators' configs (`mmsr.config.mmsr.AggregatorConfig`).
    n_types : number of node types.
    width : width of node vectors.
    """
    return AGGREGATORS[config.name](config, n_types, width)


def make_readout(config: MmsrConfig) -> Readout:
    """Build the readout that a config names.

    Parameters
    ----------
    config : the model's config.
    """
    return READOUTS[config.readout](config)
