"""Settings of MMSR: its aggregators, fusion, readout and sizes.

To add an aggregator, add its config class to the union `AggregatorConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from mmsr.config.base import Frozen, ModelConfig, check_heads
from mmsr.config.mmsr_defaults import DEFAULT_SPACE, KNOWN_SETTINGS
from mmsr.dimensions.base import Dimension


class DualAttentionConfig(Frozen):
    """Homogeneous and heterogeneous attention (eqs. 12-17); the paper's HAN-GNN."""

    name: Literal["dual_attention"] = "dual_attention"
    order: Literal["gated", "synchronous", "ni_hohe", "ni_heho", "hohe", "heho", "ho", "he"] = (
        "gated"
    )
    """How the homogeneous pass (within a node type) and the heterogeneous one (across types) are
    combined; all but `gated` are ablations of table 4.

    - `gated`: an update gate over `ni_hohe` and `ni_heho` (eqs. 16, 17), the full model.
    - `synchronous`: both passes side by side, joined by a linear map (eq. 15).
    - `ni_hohe`, `ni_heho`: non-invasive, the first pass changes only the scores of the second; the
      homogeneous pass is first in `ni_hohe`, the heterogeneous one in `ni_heho`.
    - `hohe`, `heho`: the second pass runs over the result of the first.
    - `ho`, `he`: the homogeneous or the heterogeneous pass alone.
    """
    share_qkv: bool = False
    """Use one projection as query, key and value, as the paper authors' code does by accident; the
    paper prints three. On the validation targets of Toys the two are alike; on the demo shop three
    are better with `order="he"`, and alike with `gated` (`docs/deviations.md`)."""
    scaled: bool = False
    """Divide heterogeneous scores by √width, which eq. (13) does not. Unscaled scores may grow
    until nodes read only their codes, or none of them; which is better depends on the data."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights."""
    negative_slope: float = Field(default=0.1, ge=0, le=1)
    """Slope of LeakyReLU below zero, in homogeneous scores (eq. 12)."""
    heterogeneous_slope: float = Field(default=0.1, ge=0, le=1)
    """Slope of LeakyReLU below zero, in heterogeneous scores (eq. 13 inside eqs. 11 and 14); 1
    leaves them as they are."""


class GcnConfig(Frozen):
    """Graph convolution over all relations alike, with symmetric normalisation (eq. 8)."""

    name: Literal["gcn"] = "gcn"


class GraphSageConfig(Frozen):
    """Own vector and mean of neighbours, each with a weight matrix (Hamilton et al., 2017)."""

    name: Literal["graphsage"] = "graphsage"
    normalise: bool = True
    """Bring each new vector to unit length, as line 7 of the paper's algorithm 1 does."""


class GatConfig(Frozen):
    """Graph attention over all relations alike (eqs. 9-11; Veličković et al., 2018)."""

    name: Literal["gat"] = "gat"
    heads: int = Field(default=1, ge=1)
    """Attention heads, which divide the width among them."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights."""
    negative_slope: float = Field(default=0.2, ge=0, le=1)
    """Slope of LeakyReLU below zero."""


class GraphormerConfig(Frozen):
    """Attention over all nodes, biased by relation, distance and degree (Ying et al., 2021)."""

    name: Literal["graphormer"] = "graphormer"
    heads: int = Field(default=4, ge=1)
    """Attention heads, which divide the width among them."""
    max_distance: int = Field(default=5, ge=1, le=50)
    """Shortest paths of this length or longer share one bias, and edges are followed up to it."""
    max_degree: int = Field(default=32, ge=1)
    """Nodes with this many neighbours or more share one embedding."""
    edges: Literal["path", "hop"] = "path"
    """What the edge term of a pair's score reads.

    - `path`: the relations along a shortest path between the two, as in the paper's eq. (7).
    - `hop`: the relation of the two alone, with one bias for all pairs that have none.
    """
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights."""


class RgatConfig(Frozen):
    """Graph attention with weights per relation (Busbridge et al., 2019)."""

    name: Literal["rgat"] = "rgat"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights."""
    negative_slope: float = Field(default=0.2, ge=0, le=1)
    """Slope of LeakyReLU below zero."""


class HgnnConfig(Frozen):
    """R-GCN: mean of neighbours per relation, each with a weight matrix (Schlichtkrull et al.,
    2018). The paper's table 3 has a row HGNN without saying which network that is; here it is this
    one."""

    name: Literal["hgnn"] = "hgnn"


class HgatConfig(Frozen):
    """HGAT: attention over node types, then over nodes (Linmei Hu et al., 2019)."""

    name: Literal["hgat"] = "hgat"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights of nodes."""
    negative_slope: float = Field(default=0.2, ge=0, le=1)
    """Slope of LeakyReLU below zero, in scores of nodes."""
    type_slope: float = Field(default=0.2, ge=0, le=1)
    """Slope of LeakyReLU below zero, in scores of node types."""


class TypedGatConfig(Frozen):
    """Graph attention with projections per node type and attention vectors per relation."""

    name: Literal["typed_gat"] = "typed_gat"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on attention weights."""
    negative_slope: float = Field(default=0.2, ge=0, le=1)
    """Slope of LeakyReLU below zero."""


AggregatorConfig = Annotated[
    DualAttentionConfig
    | GcnConfig
    | GraphSageConfig
    | GatConfig
    | GraphormerConfig
    | RgatConfig
    | HgnnConfig
    | HgatConfig
    | TypedGatConfig,
    Field(discriminator="name"),
]
AGGREGATOR_NAMES = tuple(
    variant.model_fields["name"].default for variant in get_args(get_args(AggregatorConfig)[0])
)


class MmsrConfig(ModelConfig):
    """The MMSR model: its sizes, and how nodes become a user vector and scores."""

    modalities_as = "codes"

    name: str = "mmsr"
    """Which model."""
    width: int = Field(default=128, ge=1)
    """Width of all embeddings, nodes and user vectors."""
    layers: int = Field(default=1, ge=1, le=8)
    """Number of aggregator layers."""
    fusion: Literal["adaptive", "early", "late"] = "adaptive"
    """Where modalities meet.

    - `adaptive`: in the graph, whose nodes are items and codes; the aggregator fuses them.
    - `early`: before the graph, which has only items; the embeddings of an item and its codes are
      joined (eqs. 3, 4).
    - `late`: after the graphs, one for the items and one for each modality's codes; their user
      vectors are joined (eqs. 5, 6).
    """
    aggregator: AggregatorConfig = DualAttentionConfig()
    """How nodes read their neighbours, by `name`."""
    readout: Literal["last", "mean", "attention", "last_n_attention"] = "last"
    """How the nodes of a graph become one user vector.

    - `last`: the node of the last item.
    - `mean`: the mean of all item nodes.
    - `attention`: soft attention over all item nodes, queried by the last item.
    - `last_n_attention`: the same over the items at the last `last_n` positions only.
    """
    last_n: int = Field(default=5, ge=1)
    """Latest positions that the readout `last_n_attention` reads."""
    scoring: Literal["item", "item_and_codes"] = "item"
    """The item vectors that user vectors are compared with: `item` takes item embeddings (eq. 7),
    `item_and_codes` adds the mean embedding of the item's codes in each modality, so that rare and
    new items get useful scores (not in the paper)."""
    cold_items: Literal["embedding", "codes"] = "embedding"
    """Items without training interactions. `embedding`: they have embeddings as all others, which
    training pushes away from every history. `codes`: those that have codes have no embedding, and
    are scored by their codes alone; needs `scoring="item_and_codes"`."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """Dropout on the nodes that leave each layer."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on the nodes that enter the first layer; the paper has none."""
    position_embedding: bool = True
    """Add an embedding of the positions where a node occurs (e^po); without it: table 4."""
    type_embedding: bool = True
    """Add an embedding of a node's type (e^ty); without it: table 4."""

    @model_validator(mode="after")
    def _cold_items_are_scored(self) -> MmsrConfig:
        if self.cold_items == "codes" and self.scoring != "item_and_codes":
            raise ValueError(
                "cold_items='codes' scores cold items by their codes, which "
                f"scoring={self.scoring!r} leaves out: use scoring='item_and_codes'"
            )
        return self

    @model_validator(mode="after")
    def _order_has_neighbours(self) -> MmsrConfig:
        order = getattr(self.aggregator, "order", None)
        if self.fusion != "adaptive" and order in ("he", "ni_hohe"):
            raise ValueError(
                f"model.aggregator.order={order!r} reads across modalities alone, but with "
                f"fusion={self.fusion!r} every graph has one modality: choose another order, "
                "or fusion='adaptive'"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide_width(self) -> MmsrConfig:
        heads = getattr(self.aggregator, "heads", 1)
        check_heads("model.aggregator.heads", heads, "model.width", self.width)
        return self

    @classmethod
    def space(cls) -> Mapping[str, Dimension]:
        """`DEFAULT_SPACE`."""
        return DEFAULT_SPACE

    @classmethod
    def known_settings(cls) -> tuple[Mapping[str, Any], ...]:
        """`KNOWN_SETTINGS`: the authors' and our own."""
        return KNOWN_SETTINGS
