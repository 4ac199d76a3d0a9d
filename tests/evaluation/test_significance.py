"""Significance tests against their definitions, written the slow way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t, ttest_ind, ttest_rel

from mmsr.evaluation.significance import (
    bootstrap_interval,
    crossed_test,
    holm,
    paired_bootstrap,
    paired_wilcoxon,
    per_user_means,
    pooled_spread,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def rejected_by_holm(p_values, level):
    """Holm's procedure itself: smallest first, until one misses its own level."""
    rejected = set()
    left = sorted(range(len(p_values)), key=lambda i: (p_values[i], i))
    while left and p_values[left[0]] <= level / len(left):
        rejected.add(left.pop(0))
    return rejected


def exact_wilcoxon(differences):
    """Two-sided p over all 2^n signs of the ranks; no zeros, no ties."""
    order = sorted(range(len(differences)), key=lambda i: abs(differences[i]))
    ranks = {place: rank for rank, place in enumerate(order, start=1)}
    observed = sum(ranks[i] for i, d in enumerate(differences) if d > 0)
    total = sum(ranks.values())
    extreme = min(observed, total - observed)
    sums = [
        sum(rank for rank, positive in zip(ranks.values(), signs, strict=True) if positive)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    return sum(min(s, total - s) <= extreme for s in sums) / len(sums)


def approximate_wilcoxon(differences):
    """Two-sided p by the normal approximation with tie correction, from the textbook formula."""
    d = [x for x in differences if x != 0]
    sizes = [abs(x) for x in d]
    ranks = [sum(s < x for s in sizes) + (sizes.count(x) + 1) / 2 for x in sizes]
    n = len(d)
    plus = sum(rank for rank, x in zip(ranks, d, strict=True) if x > 0)
    ties = sum(c**3 - c for c in map(sizes.count, set(sizes)))
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    z = (plus - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


@settings(deadline=None)
@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_as_its_procedure_does(p_values, level):
    corrected = holm(p_values)
    # A p-value right at its level may fall on either side of it by rounding.
    for i in rejected_by_holm(p_values, level * (1 - 1e-9)):
        assert corrected[i] <= level
    for i in set(range(len(p_values))) - rejected_by_holm(p_values, level * (1 + 1e-9)):
        assert corrected[i] > level


@settings(deadline=None)
@given(P_VALUES, st.randoms())
def test_holm_corrects_upwards_in_any_order(p_values, random):
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [corrected[i] for i in order]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from((-1, 1)), min_size=1, max_size=9), st.randoms())
def test_wilcoxon_equals_all_signs_of_the_ranks(signs, random):
    sizes = list(range(1, len(signs) + 1))
    random.shuffle(sizes)
    differences = [sign * size / 16 for sign, size in zip(signs, sizes, strict=True)]
    first = np.linspace(0, 1, len(signs))
    second = first - np.array(differences)
    assert paired_wilcoxon(first, second) == pytest.approx(exact_wilcoxon(differences))


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_of_many_users_with_ties_and_zeros(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, size=(2, 300)) / 4
    expected = approximate_wilcoxon((first - second).tolist())
    assert paired_wilcoxon(first, second) == pytest.approx(expected, rel=1e-6)
    assert paired_wilcoxon(second, first) == pytest.approx(expected, rel=1e-6)


def test_equal_models_differ_nowhere():
    values = np.array([0.0, 0.5, 1.0])
    assert paired_wilcoxon(values, values) == 1.0
    assert paired_wilcoxon(np.array([0.1 + 0.2, 1.0]), np.array([0.3, 1.0])) == 1.0
    assert paired_bootstrap(values, values) == (0.0, 0.0, 1.0)


@settings(deadline=None)
@given(arrays(np.float64, 30, elements=st.floats(-1, 1)), st.floats(-1, 1))
def test_the_interval_moves_with_a_shift_and_turns_with_the_sign(values, shift):
    zeros = np.zeros(30)
    low, high, p = paired_bootstrap(values, zeros, n_resamples=200)
    assert low <= high
    shifted = paired_bootstrap(values + shift, zeros, n_resamples=200)
    assert shifted[:2] == pytest.approx((low + shift, high + shift), abs=1e-12)
    turned = paired_bootstrap(zeros, values, n_resamples=200)
    assert turned == pytest.approx((-high, -low, p), abs=1e-12)


def test_the_interval_is_that_of_the_central_limit():
    rng = np.random.default_rng(3)
    values = rng.exponential(size=5000)
    low, high, _ = paired_bootstrap(values, np.zeros(5000), n_resamples=3000, confidence=0.9)
    error = values.std(ddof=1) / math.sqrt(5000)
    assert low == pytest.approx(values.mean() - 1.645 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.645 * error, abs=0.1 * error)


def test_the_interval_repeats_with_its_seed():
    values, zeros = np.random.default_rng(0).normal(size=40), np.zeros(40)
    assert paired_bootstrap(values, zeros, seed=1) == paired_bootstrap(values, zeros, seed=1)
    assert paired_bootstrap(values, zeros, seed=1) != paired_bootstrap(values, zeros, seed=2)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
def test_the_p_value_of_the_bootstrap_is_near_that_of_the_normal_test(shift):
    n = 400
    values = np.random.default_rng(1).normal(size=n)
    values += shift - values.mean()
    z = shift / (values.std() / math.sqrt(n))
    *_, p = paired_bootstrap(values, np.zeros(n), n_resamples=4000)
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.03)


def test_the_interval_over_users_draws_all_targets_of_a_user():
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 6, size=30)
    users = np.repeat(np.arange(30) * 7, counts)
    values = rng.normal(size=(len(users), 2)) + users[:, None] % 3
    order = rng.permutation(len(users))
    low, high = bootstrap_interval(values[order], users[order], n_resamples=500, seed=3)
    draws = np.random.default_rng(3).integers(30, size=(500, 30))
    targets = [np.flatnonzero(users == user * 7) for user in range(30)]
    for column in range(2):
        means = [
            values[np.concatenate([targets[user] for user in drawn]), column].mean()
            for drawn in draws
        ]
        expected = np.quantile(means, (0.025, 0.975))
        assert (low[column], high[column]) == pytest.approx(tuple(expected))
    with pytest.raises(ValueError, match="no users"):
        bootstrap_interval(np.zeros((0, 1)), np.zeros(0, dtype=int))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=40))
def test_means_of_users(pairs):
    users, values = (np.array(column) for column in zip(*pairs, strict=True))
    expected = [
        math.fsum(v for u, v in pairs if u == user) / sum(u == user for u, _ in pairs)
        for user in sorted({u for u, _ in pairs})
    ]
    assert per_user_means(values, users).tolist() == pytest.approx(expected)


def test_values_that_do_not_pair_up():
    with pytest.raises(ValueError, match="pair up"):
        paired_wilcoxon(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="pair up"):
        paired_bootstrap(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no users"):
        paired_bootstrap(np.zeros(0), np.zeros(0))


def test_seeds_without_users_are_welchs_test():
    # All users of a run have one value, so only seeds vary.
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(4, 1)), rng.normal(0.5, 2, size=(3, 1))
    found = crossed_test(np.repeat(first, 50, axis=1), np.repeat(second, 50, axis=1))
    expected = ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    interval = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue)
    assert found.freedom == pytest.approx(expected.df)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_users_without_seeds_are_the_paired_test():
    # All runs of a model are equal, so only users vary.
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 40))
    found = crossed_test(np.tile(first, (2, 1)), np.tile(second, (3, 1)))
    expected = ttest_rel(first, second)
    assert found.difference == pytest.approx((first - second).mean())
    assert (found.p, found.freedom) == pytest.approx((expected.pvalue, 39))


def found_at_5_percent(n_seeds, *, seed_effect, effect=0.0, n_users=100, repeats=1500):
    """How often the crossed test, and one over users alone, find a difference at level .05."""
    rng = np.random.default_rng(3)
    crossed = users_alone = 0
    for _ in range(repeats):
        users = rng.normal(size=n_users)
        first, second = (
            users
            + rng.normal(0, 0.3, n_users)
            + rng.normal(0, seed_effect, (n, 1))
            + rng.normal(0, 0.5, (n, n_users))
            for n in n_seeds
        )
        first += effect
        crossed += crossed_test(first, second).p < 0.05
        users_alone += ttest_rel(first.mean(axis=0), second.mean(axis=0)).pvalue < 0.05
    return crossed / repeats, users_alone / repeats


@pytest.mark.parametrize("n_seeds", [(2, 2), (3, 3), (2, 3)])
def test_a_luckier_seed_is_no_better_model(n_seeds):
    crossed, users_alone = found_at_5_percent(n_seeds, seed_effect=0.3)
    assert crossed <= 0.07
    assert users_alone > 0.3, "this is what seeds do to a test that does not know them"


def test_a_real_difference_is_found_where_seeds_do_not_matter():
    crossed, _ = found_at_5_percent((3, 3), seed_effect=0.0, effect=0.25, repeats=300)
    assert crossed > 0.9


def test_the_larger_of_own_and_pooled_spread_counts():
    means = np.array([[3.0, 3.1, 3.2], [-9, 0, 9], [0, 1, 2]])  # users do not differ
    calm, wild, reference = np.repeat(means[:, :, None], 50, axis=2)
    variances = (0.01, 81, 1)
    pooled = pooled_spread([calm, wild, reference])
    assert pooled == pytest.approx((sum(variances) / 3, 6))
    found = crossed_test(calm, reference, pooled=pooled)
    error = math.sqrt(2 / 3 * pooled.variance)
    assert found.p == pytest.approx(2 * t.sf(abs(found.difference) / error, 6))
    assert found.freedom == pytest.approx(6)
    own = crossed_test(wild, reference, pooled=pooled)
    parts = (variances[1] / 3, pooled.variance / 3)
    assert own.freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 6))
    with pytest.raises(ValueError, match="two runs"):
        pooled_spread([np.zeros((1, 5))])


def tables_with_a_false_mark(ratio, *, pool=True, spreads=(1.0,) * 8, repeats=400):
    """Share of tables of equal rows, seven against the first, with any finding after Holm.

    `ratio` is that of the variances of a run's mean, over seeds and over users.
    """
    rng = np.random.default_rng(7)
    n_users = 25

    def metrics(*shape):  # 4 of them, with correlation .9
        shared, own = rng.normal(size=(1, *shape)), rng.normal(size=(4, *shape))
        return math.sqrt(0.9) * shared + math.sqrt(0.1) * own

    marked = 0
    for _ in range(repeats):
        seeds = metrics(8, 3, 1) * np.reshape(spreads, (8, 1, 1)) * math.sqrt(ratio / n_users)
        runs = metrics(8, 1, n_users) + seeds
        p_values = []
        for reference, *rows in runs:
            pooled = pooled_spread([reference, *rows]) if pool else None
            p_values += [crossed_test(row, reference, pooled=pooled).p for row in rows]
        marked += min(holm(p_values)) < 0.05
    return marked / repeats


@pytest.mark.parametrize("ratio", [0, 4, 16])
def test_a_table_of_equal_rows_has_hardly_ever_an_arrow(ratio):
    found = tables_with_a_false_mark(ratio)
    assert found <= 0.05
    if ratio == 16:
        assert tables_with_a_false_mark(ratio, pool=False) > 2 * found, "this is prevented"


@pytest.mark.parametrize(("noisy", "limit"), [(0, 0.08), (1, 0.06)])
def test_nor_has_it_one_where_the_seeds_of_a_row_vary_more(noisy, limit):
    spreads = [3.0 if row == noisy else 1.0 for row in range(8)]  # row 0 is what others are held to
    assert tables_with_a_false_mark(16, spreads=spreads) <= limit


def test_runs_that_cannot_be_tested():
    with pytest.raises(ValueError, match="pair up"):
        crossed_test(np.zeros((2, 5)), np.zeros((2, 6)))
    with pytest.raises(ValueError, match="two seeds"):
        crossed_test(np.zeros((1, 5)), np.zeros((2, 5)))
    same = crossed_test(np.ones((2, 5)), np.ones((3, 5)))
    assert (same.difference, same.p) == (0.0, 1.0)
