"""Configs that an older mmsr stored, read as what they meant then.

Stored configs (of trials, checkpoints and exports) have every key. Some keys of aggregators are
newer than some of these configs; where such a key is absent, the value of before stands, and not
today's default. A mapping with fewer keys is what a user wrote, and has today's defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {"hgat": "typed_gat"}
"""Aggregators that have another name now; the old name stands for another aggregator."""

BEFORE: Mapping[str, Mapping[str, Any]] = {
    "dual_attention": {"heterogeneous_slope": 1.0},
    "graphsage": {"normalise": False},
    "graphormer": {"edges": "hop"},
}
"""By aggregator, keys that were added, with the values that make it what it was."""

_STORED = {
    *("width", "layers", "fusion", "aggregator", "readout", "last_n", "scoring"),
    *("dropout", "input_dropout", "position_embedding", "type_embedding"),
}
"""Keys of a stored config's `model` when the aggregators changed; later ones may join them."""
_OLDER_HGAT = {"name", "dropout", "negative_slope"}


def upgraded_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Say in today's keys and names what a config's `model` meant when it was stored.

    Parameters
    ----------
    model : the mapping, as it was stored or as a user wrote it.

    Returns
    -------
    A copy, changed only where an older mmsr stored it.
    """
    found, aggregator = dict(model), model.get("aggregator")
    if isinstance(aggregator, Mapping) and model.keys() >= _STORED:
        name = str(aggregator.get("name"))
        if name in RENAMED and aggregator.keys() == _OLDER_HGAT:
            found["aggregator"] = {**aggregator, "name": RENAMED[name]}
        else:
            found["aggregator"] = {**BEFORE.get(name, {}), **aggregator}
    return found
