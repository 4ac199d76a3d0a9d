"""The oracle of the dual attention keeps what follows from the printed equations by algebra."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest

from .oracles import printed
from .oracles.printed import ORDERS, Relation, Weights, dual_attention

TYPES = [0, 1, 0, 2, 0, 1, 2, 1]
D = 3
PLAIN = [order for order in ORDERS if order not in ("synchronous", "gated")]


def weights() -> Weights:
    draw = np.random.default_rng(0).normal
    return Weights(
        query=draw(size=(3, D, D)),
        key=draw(size=(3, D, D)),
        value=draw(size=(3, D, D)),
        relation={name: draw(size=D) for name in ("self", "out", "in", "both")},
        homogeneous_slope=0.2,
        heterogeneous_slope=0.3,
        join=(draw(size=(2 * D, D)), draw(size=D)),
        gate=(draw(size=(2 * D, D)), draw(size=D), draw(size=(D, 2)), draw(size=2)),
    )


def graph(homogeneous: bool = True, heterogeneous: bool = True) -> list[list[str | None]]:
    """Relations of a random graph over TYPES, each relation of one type with its opposite."""
    draw = np.random.default_rng(5)
    n = len(TYPES)
    names: list[list[str | None]] = [[None] * n for _ in range(n)]
    opposite = {"out": "in", "in": "out", "both": "both", None: None}
    for i in range(n):
        names[i][i] = "self"
        for j in range(i):
            if TYPES[i] != TYPES[j]:
                linked = heterogeneous and draw.random() < 0.6
                names[i][j] = names[j][i] = "cross" if linked else None
            elif homogeneous:
                name = [None, "out", "in", "both"][draw.integers(4)]
                names[i][j], names[j][i] = name, opposite[name]
    return names


def lookup(names: list[list[str | None]]) -> Relation:
    return lambda i, j: names[i][j]


@pytest.fixture
def h() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(len(TYPES), D))


def test_homogeneous_pass_by_hand():
    """Two items, V = h. Node 0 is (1, 2), node 1 is (2, -1).

    Products: v0*v0 = (1, 4), v0*v1 = (2, -2), v1*v1 = (4, 1).
    Node 0: self (1, 0) . (1, 4) = 1; out (0, 1) . (2, -2) = -2, times the slope 1/2: -1.
            Weights e^1 : e^-1, so p = 1 / (1 + e^-2) on itself: (1 + q, 2 - 3 q) with q = 1 - p.
    Node 1: self (1, 0) . (4, 1) = 4; in (2, 0) . (2, -2) = 4: one half each: (1.5, 0.5).
    """
    eye = np.eye(2)[None]
    a = {"self": [1.0, 0.0], "out": [0.0, 1.0], "in": [2.0, 0.0]}
    w = Weights(eye, eye, eye, {name: np.array(row) for name, row in a.items()}, 0.5, 1.0)
    relation = lookup([["self", "out"], ["in", "self"]])
    q = 1 - 1 / (1 + exp(-2))
    out = dual_attention("ho", [0, 0], relation, np.array([[1.0, 2.0], [2.0, -1.0]]), w)
    np.testing.assert_allclose(out, [[1 + q, 2 - 3 * q], [1.5, 0.5]], rtol=1e-12)
    np.testing.assert_allclose(out[0], [1.119203, 1.642391], atol=1e-6)


def test_heterogeneous_pass_by_hand():
    """An item (1, 2) and a code (2, -1), each with matrices of its own type.

    Queries: q0 = (1, 2); q1 = (2 * -1/2, -1 * 1) = (-1, -1).
    Keys:    k0 = (1/2, 1); k1 = (2 * 1 - 1 * 0, 2 * -1 - 1 * 0) = (2, -2).
    Values:  v0 = (1, 2); v1 = (2 * 2 - 1 * 0, 2 * 1 - 1 * 2) = (4, 0).
    Node 0: q0.k0 = 2.5; q0.k1 = -2, times the slope 1/4: -0.5. p = 1 / (1 + e^-3) on itself:
            (p + 4 (1 - p), 2 p).
    Node 1: q1.k0 = -1.5, times the slope: -0.375; q1.k1 = 0. s = 1 / (1 + e^-0.375) on itself:
            ((1 - s) + 4 s, 2 (1 - s)).
    """
    w = Weights(
        query=np.array([[[1.0, 0.0], [0.0, 1.0]], [[-0.5, 0.0], [0.0, 1.0]]]),
        key=np.array([[[0.5, 0.0], [0.0, 0.5]], [[1.0, -1.0], [0.0, 0.0]]]),
        value=np.array([[[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 2.0]]]),
        relation={},
        homogeneous_slope=1.0,
        heterogeneous_slope=0.25,
    )
    relation = lookup([["self", "cross"], ["cross", "self"]])
    p, s = 1 / (1 + exp(-3)), 1 / (1 + exp(-0.375))
    out = dual_attention("he", [0, 1], relation, np.array([[1.0, 2.0], [2.0, -1.0]]), w)
    np.testing.assert_allclose(out, [[4 - 3 * p, 2 * p], [1 + 3 * s, 2 - 2 * s]], rtol=1e-12)
    np.testing.assert_allclose(out, [[1.142278, 1.905148], [2.778, 0.814667]], atol=1e-6)


def test_softmax_scales_only_negative_scores():
    assert printed.sft([2.0, -4.0], slope=0.5) == pytest.approx(printed.sft([2.0, -2.0], slope=1.0))
    assert printed.sft([900.0, 900.0, -900.0], slope=1.0) == pytest.approx([0.5, 0.5, 0.0])


def test_weights_sum_to_one_over_the_neighbours(h):
    w, relation = weights(), lookup(graph())
    q, k, v = (printed.project(matrices, TYPES, h) for matrices in (w.query, w.key, w.value))
    ho = printed.homogeneous_attention(TYPES, relation, v, w)
    he = printed.heterogeneous_attention(TYPES, relation, q, k, w)
    names = np.array(graph(), dtype=object)
    np.testing.assert_allclose([ho.sum(1), he.sum(1)], 1.0, rtol=1e-12)
    assert np.array_equal(ho > 0, np.isin(names, ["self", "out", "in", "both"]))
    assert np.array_equal(he > 0, np.isin(names, ["self", "cross"]))


def test_slope_one_is_a_plain_softmax(h):
    w = replace(weights(), homogeneous_slope=1.0, heterogeneous_slope=1.0)
    names = np.array(graph(), dtype=object)
    q, k, v = (np.einsum("nd,nde->ne", h, m[TYPES]) for m in (w.query, w.key, w.value))
    ho = sum((names == r) * ((v * a) @ v.T) for r, a in w.relation.items())
    for order, scores, read in (
        ("ho", ho, np.isin(names, list(w.relation))),
        ("he", q @ k.T, np.isin(names, ["self", "cross"])),
    ):
        powers = np.where(read, np.exp(scores), 0.0)
        expected = powers / powers.sum(1, keepdims=True) @ v
        out = dual_attention(order, TYPES, lookup(graph()), h, w)
        np.testing.assert_allclose(out, expected, rtol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_one_node_alone_keeps_its_value(order):
    w, h = weights(), np.random.default_rng(1).normal(size=(1, D))
    value = h @ w.value[1]
    join, bias = w.join
    expected = np.hstack([value, value]) @ join + bias if order == "synchronous" else value
    out = dual_attention(order, [1], lambda i, j: "self", h, w)
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_permuting_nodes_permutes_rows(order, h):
    names, moved = graph(), np.random.default_rng(3).permutation(len(TYPES))
    out = dual_attention(order, TYPES, lookup(names), h, weights())
    types, relation = [TYPES[i] for i in moved], lambda i, j: names[moved[i]][moved[j]]
    again = dual_attention(order, types, relation, h[moved], weights())
    np.testing.assert_allclose(again, out[moved], rtol=1e-10)


def test_a_second_pass_runs_on_the_result_of_the_first(h):
    """hohe is `he` on the mixed h; heho is `ho` on the mixed values, not projected again."""
    w, relation = weights(), lookup(graph())
    out = {order: dual_attention(order, TYPES, relation, h, w) for order in PLAIN}
    value = printed.project(w.value, TYPES, h)
    mixed = printed.homogeneous_attention(TYPES, relation, value, w) @ h
    q, k = printed.project(w.query, TYPES, mixed), printed.project(w.key, TYPES, mixed)
    ho = printed.homogeneous_attention(TYPES, relation, out["he"], w)
    he = printed.heterogeneous_attention(TYPES, relation, q, k, w)
    expected = {"heho": ho @ out["he"], "ni_heho": ho @ value, "ni_hohe": he @ value}
    expected["hohe"] = dual_attention("he", TYPES, relation, mixed, w)
    for order, vectors in expected.items():
        np.testing.assert_allclose(out[order], vectors, rtol=1e-10, err_msg=order)


@pytest.mark.parametrize("kind", ["homogeneous", "heterogeneous"])
def test_a_pass_without_links_leaves_the_vectors_alone(kind, h):
    w, relation = weights(), lookup(graph(**{kind: False}))
    out = {order: dual_attention(order, TYPES, relation, h, w) for order in PLAIN}
    value = printed.project(w.value, TYPES, h)
    other = out["he"] if kind == "homogeneous" else out["ho"]
    untouched = ("ho", "ni_heho") if kind == "homogeneous" else ("he", "ni_hohe")
    expected = {order: value if order in untouched else other for order in PLAIN}
    for order, vectors in expected.items():
        np.testing.assert_allclose(out[order], vectors, rtol=1e-10, err_msg=order)


def test_join_and_gate_select_what_their_weights_select(h):
    eye, nil = np.eye(D), np.zeros((D, D))
    out = {order: dual_attention(order, TYPES, lookup(graph()), h, weights()) for order in PLAIN}
    for order, weight in (("ho", [eye, nil]), ("he", [nil, eye])):
        w = replace(weights(), join=(np.vstack(weight), np.ones(D)))
        joined = dual_attention("synchronous", TYPES, lookup(graph()), h, w)
        np.testing.assert_allclose(joined, out[order] + 1, rtol=1e-10)
    first, bias, second, shift = weights().gate
    pair = np.hstack([out["ni_hohe"], out["ni_heho"]]) @ first + bias
    odds = np.exp((np.where(pair > 0, pair, 0) @ second + shift) @ [-1.0, 1.0])
    share = 1 / (1 + odds[:, None])  # a softmax of two is a logistic function of their difference
    gated = dual_attention("gated", TYPES, lookup(graph()), h, weights())
    expected = share * out["ni_hohe"] + (1 - share) * out["ni_heho"]
    np.testing.assert_allclose(gated, expected, rtol=1e-10)


def test_unknown_order_is_refused(h):
    with pytest.raises(ValueError, match="unknown order 'oh': known: ho, he"):
        dual_attention("oh", TYPES, lookup(graph()), h, weights())
