"""Configs that an older mmsr stored, read as what they meant then.

Stored configs (of trials, checkpoints and exports) have every key of their aggregator. Where one of
them lacks a key that is newer, the value of before stands, and not today's default. What a user
writes has today's defaults.

`training.mask_seen` is `training.seen` now; it masked only the items that the model read. Before
there was `graph.fitted_on`, codes were fitted on the features of all items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsr.config.models import DEFAULT, MODELS

RENAMED = {"hgat": "typed_gat"}
"""Aggregators that have another name now; the old name stands for another aggregator."""

BEFORE: Mapping[str, Mapping[str, Any]] = {
    "dual_attention": {"heterogeneous_slope": 1.0},
    "graphsage": {"normalise": False},
    "graphormer": {"edges": "hop"},
}
"""By aggregator, keys that were added, with the values that make it what it was."""

FITTED_ON = "graph.fitted_on"
FITTED_ON_BEFORE = "all"
"""What codes were fitted on before there was this key."""

_OLDER_HGAT = {"name", "dropout", "negative_slope"}


def may_read_codes(model: object) -> bool:
    """Whether a model may read codes; those of mmsr without codes do not, others are not imported.

    Parameters
    ----------
    model : its name, or an import path.
    """
    return model == DEFAULT or model not in MODELS


def as_meant(config: Mapping[str, Any]) -> dict[str, Any]:
    """Say in today's keys and names what a stored config meant.

    Parameters
    ----------
    config : the whole tree, as it was stored.

    Returns
    -------
    A copy, changed only where an older mmsr stored it.
    """
    training = config.get("training")
    if isinstance(training, Mapping) and "mask_seen" in training:
        kept = {key: value for key, value in training.items() if key != "mask_seen"}
        seen = "read_masked" if training["mask_seen"] is True else "kept"
        config = {**config, "training": {**kept, "seen": seen}}
    model = config.get("model")
    graph = config.get("graph", {})
    name = model.get("name", DEFAULT) if isinstance(model, Mapping) else DEFAULT
    if isinstance(graph, Mapping) and may_read_codes(name):
        config = {**config, "graph": {"fitted_on": FITTED_ON_BEFORE, **graph}}
    aggregator = model.get("aggregator") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(aggregator, Mapping):
        return dict(config)
    if name != DEFAULT:
        return dict(config)
    kind = str(aggregator.get("name"))
    if kind in RENAMED and aggregator.keys() == _OLDER_HGAT:
        meant = {**aggregator, "name": RENAMED[kind]}
    else:
        meant = {**BEFORE.get(kind, {}), **aggregator}
    return {**config, "model": {**model, "aggregator": meant}}
