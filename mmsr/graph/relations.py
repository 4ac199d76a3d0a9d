"""The relation vocabulary: how two nodes of one history can be related (design, section 4).

Relations within one node type come first and mean the same for every type. Across types there is
one relation per ordered pair of types, so any number of modalities is covered.
"""

from __future__ import annotations

NONE, SELF, OUT, IN, BOTH = range(5)
WITHIN_TYPE = ("none", "self", "out", "in", "both")
SEQUENTIAL = (OUT, IN, BOTH)
"""Relations between different nodes of one type that follow each other in the history."""
FIRST_CROSS = len(WITHIN_TYPE)
ITEM = "item"


def cross_relation(source: int, target: int, n_types: int) -> int:
    """Id of the relation between nodes of different types at the same position.

    Parameters
    ----------
    source, target : node types of the row and the column node; 0 is items.
    n_types : number of node types.

    Raises
    ------
    ValueError : the types are equal.
    """
    if source == target:
        raise ValueError(f"types are equal ({source}): relations within a type have fixed ids")
    return FIRST_CROSS + source * (n_types - 1) + target - (target > source)


def n_relations(n_types: int) -> int:
    """Number of relation ids with `n_types` node types, `NONE` included."""
    return FIRST_CROSS + n_types * (n_types - 1)


def relation_names(modalities: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all relations by id, e.g. `item-image`, for node types item and `modalities`."""
    types = (ITEM, *modalities)
    cross = [f"{a}-{b}" for a in types for b in types if a != b]
    return (*WITHIN_TYPE, *cross)
