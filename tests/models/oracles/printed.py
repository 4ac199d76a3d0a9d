"""The dual attention of one layer, node by node, as the equations are printed.

Slow float64 loops over nodes, written from Hu et al., "Adaptive Multi-Modalities Fusion in
Sequential Recommendation Systems" (CIKM 2023), equations (11) to (17), and from nothing else.

How the print is read:

- Vectors are rows, so `W h` is `h @ W`.
- `sft` of (11) applies the LeakyReLU inside the softmax. (14) uses it for both kinds of scores.
- (13) gives both matrices the index `t_i`. Here each node is projected with the matrix of its own
  type: node i, which reads, gives the query `W_{Q,t_i} h_i`; node j, which is read, gives the key
  `W_{K,t_j} h_j`. The scores are not divided by a square root of the width.
- `N_i` of (14) is the homogeneous neighbourhood for `ho` and the heterogeneous one for `he`. Both
  hold i itself.
- Nothing is printed about residuals, normalisation or dropout, so there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ORDERS = ("ho", "he", "synchronous", "hohe", "heho", "ni_hohe", "ni_heho", "gated")

Relation = Callable[[int, int], str | None]


@dataclass(frozen=True)
class Weights:
    """The weights of one layer, in float64; D is the width."""

    query: np.ndarray
    """W_Q of each type: [n_types, D, D]."""
    key: np.ndarray
    """W_K of each type: [n_types, D, D]."""
    value: np.ndarray
    """W_V of each type: [n_types, D, D]."""
    relation: dict[str, np.ndarray]
    """a_r of eq. (12) by relation ("self", "out", "in", "both"): [D]. Empty if never used."""
    homogeneous_slope: float
    """Slope of the LeakyReLU for the scores of eq. (12)."""
    heterogeneous_slope: float
    """Slope of the LeakyReLU for the scores of eq. (13)."""
    join: tuple[np.ndarray, np.ndarray] | None = None
    """Linear of eq. (15): weight [2D, D], bias [D]."""
    gate: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None
    """MLP of eq. (16): weight [2D, D], bias [D], ReLU, weight [D, 2], bias [2]."""


def homogeneous_neighbours(i: int, types: list[int], relation: Relation) -> list[int]:
    """Node i and the nodes of its type that are linked to it."""
    found = [j for j in range(len(types)) if j == i or relation(i, j) in ("out", "in", "both")]
    if any(types[j] != types[i] for j in found):
        raise ValueError(f"node {i} has a homogeneous neighbour of another type")
    return found


def heterogeneous_neighbours(i: int, types: list[int], relation: Relation) -> list[int]:
    """Node i and the nodes of other types that are linked to it."""
    found = [j for j in range(len(types)) if j == i or relation(i, j) == "cross"]
    if any(types[j] == types[i] for j in found if j != i):
        raise ValueError(f"node {i} has a heterogeneous neighbour of its own type")
    return found


def sft(scores: list[float], slope: float) -> list[float]:
    """Eq. (11): the softmax of LeakyReLU(e_ij) over the neighbours of one node."""
    rectified = [e if e > 0 else slope * e for e in scores]
    highest = max(rectified)  # cancels in the fraction; keeps exp finite
    powers = [float(np.exp(e - highest)) for e in rectified]
    total = sum(powers)
    return [power / total for power in powers]  # eq. (11)


def project(matrices: np.ndarray, types: list[int], h: np.ndarray) -> np.ndarray:
    """W_t h of each node, with the matrix of the node's own type."""
    return np.array([h[i] @ matrices[types[i]] for i in range(len(types))])


def homogeneous_attention(
    types: list[int], relation: Relation, values: np.ndarray, w: Weights
) -> np.ndarray:
    """Weights [N, N] of the homogeneous pass; `values` are the vectors that (12) compares."""
    alpha = np.zeros((len(types), len(types)))
    for i in range(len(types)):
        neighbours = homogeneous_neighbours(i, types, relation)
        scores = []
        for j in neighbours:
            name = "self" if j == i else relation(i, j)
            assert name is not None
            scores.append(float(w.relation[name] @ (values[i] * values[j])))  # eq. (12)
        for j, weight in zip(neighbours, sft(scores, w.homogeneous_slope), strict=True):
            alpha[i, j] = weight
    return alpha


def heterogeneous_attention(
    types: list[int], relation: Relation, queries: np.ndarray, keys: np.ndarray, w: Weights
) -> np.ndarray:
    """Weights [N, N] of the heterogeneous pass."""
    alpha = np.zeros((len(types), len(types)))
    for i in range(len(types)):
        neighbours = heterogeneous_neighbours(i, types, relation)
        scores = [float(queries[i] @ keys[j]) for j in neighbours]  # eq. (13)
        for j, weight in zip(neighbours, sft(scores, w.heterogeneous_slope), strict=True):
            alpha[i, j] = weight
    return alpha


def mix(alpha: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The sum of eq. (14): row i is the sum over j of alpha_ij times vector j."""
    mixed = np.zeros_like(vectors)
    for i in range(len(vectors)):
        for j in range(len(vectors)):
            mixed[i] += alpha[i, j] * vectors[j]  # eq. (14)
    return mixed


def dual_attention(
    order: str, types: list[int], relation: Relation, h: np.ndarray, w: Weights
) -> np.ndarray:
    """One layer of dual attention.

    Parameters
    ----------
    order
        One of `ORDERS`.
    types
        The type of each node: 0 for an item, 1 and up for the codes of each modality.
    relation
        What node j is to node i, which reads it: "self", "out", "in" or "both" (same type), "cross"
        (another type), or None if they are not neighbours.
    h
        Node vectors: [N, D].
    w
        The weights.

    Returns
    -------
    numpy.ndarray
        The new node vectors: [N, D].
    """
    h = np.asarray(h, dtype=np.float64)
    n = len(types)

    if order == "synchronous":
        assert w.join is not None
        weight, bias = w.join
        ho = dual_attention("ho", types, relation, h, w)
        he = dual_attention("he", types, relation, h, w)
        return np.array([np.concatenate([ho[i], he[i]]) @ weight + bias for i in range(n)])  # (15)

    if order == "gated":
        assert w.gate is not None
        weight_1, bias_1, weight_2, bias_2 = w.gate
        hohe = dual_attention("ni_hohe", types, relation, h, w)
        heho = dual_attention("ni_heho", types, relation, h, w)
        out = np.zeros_like(hohe)
        for i in range(n):
            hidden = np.maximum(np.concatenate([hohe[i], heho[i]]) @ weight_1 + bias_1, 0.0)
            beta = sft(list(hidden @ weight_2 + bias_2), slope=1.0)  # eq. (16); a plain softmax
            out[i] = beta[0] * hohe[i] + beta[1] * heho[i]  # eq. (17)
        return out

    queries = project(w.query, types, h)
    keys = project(w.key, types, h)
    values = project(w.value, types, h)

    if order == "ho":
        return mix(homogeneous_attention(types, relation, values, w), values)
    if order == "he":
        return mix(heterogeneous_attention(types, relation, queries, keys, w), values)
    if order in ("hohe", "ni_hohe"):
        # The first pass mixes within a type, where all nodes share their projections: to mix the
        # queries, keys and values is to mix h and then to project it.
        first = homogeneous_attention(types, relation, values, w)
        queries, keys = mix(first, queries), mix(first, keys)
        second = heterogeneous_attention(types, relation, queries, keys, w)
        return mix(second, mix(first, values) if order == "hohe" else values)
    if order in ("heho", "ni_heho"):
        # The first pass gives values of (14) already: (12) compares them as they are.
        first = heterogeneous_attention(types, relation, queries, keys, w)
        mixed = mix(first, values)
        second = homogeneous_attention(types, relation, mixed, w)
        return mix(second, mixed if order == "heho" else values)
    raise ValueError(f"unknown order {order!r}: known: {', '.join(ORDERS)}")
