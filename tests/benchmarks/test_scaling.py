"""Growth of a training step: what is fitted, drawn and measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmsr.training.batching import bucketed_batches


@pytest.fixture
def scaling(load):
    return load("scaling")


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(scaling, power):
    sizes = (10, 30, 200, 5_000)
    assert scaling.exponent(sizes, [7 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_upper_half_holds_the_largest_and_enough_for_a_slope(scaling, n):
    upper = list(range(n))[scaling.upper_half(range(n)) :]
    assert upper[-1] == n - 1
    assert n / 2 <= len(upper) <= n / 2 + 1
    assert len(upper) >= 2


def costs_of(scaling, axes):
    """Time is the product of all sizes over their defaults, memory a constant."""
    default = scaling.Point()
    points = {replace(default, **{a: size}) for a, sizes in axes.items() for size in sizes}
    return {
        p: scaling.Cost(
            seconds=float(np.prod([getattr(p, a) / getattr(default, a) for a in axes])),
            cpu_seconds=float(p.items**2),
            step_gb=0.5,
            memory_gb=1.0,
            peak_gb=2.0,
        )
        for p in points
    }


def test_figures_hold_every_cost_and_exponent(scaling):
    figures = scaling.figures_of(scaling.AXES, costs_of(scaling, scaling.AXES))
    for axis, sizes in scaling.AXES.items():
        for end in ("", "_upper_half"):
            assert figures[f"exponent_seconds_{axis}{end}"] == pytest.approx(1)
            assert figures[f"exponent_memory_{axis}{end}"] == pytest.approx(0)
            power = 2 if axis == "items" else 0
            assert figures[f"exponent_cpu_seconds_{axis}{end}"] == pytest.approx(power)
        for size in sizes:
            relative = size / getattr(scaling.Point(), axis)
            assert figures[f"seconds_{axis}_{size}"] == pytest.approx(relative)
            assert figures[f"peak_gb_{axis}_{size}"] == 2.0


def test_axes_pass_through_the_default_point_and_reach_a_million_items(scaling):
    for axes in (scaling.AXES, scaling.QUICK_AXES):
        assert axes["items"][-1] == 1_000_000
        for axis, sizes in axes.items():
            assert getattr(scaling.Point(), axis) in sizes
            assert list(sizes) == sorted(set(sizes))


def test_plot_is_written(scaling, tmp_path):
    axes = scaling.QUICK_AXES
    file = tmp_path / "new" / "plot.png"
    scaling.draw(axes, scaling.figures_of(axes, costs_of(scaling, axes)), file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_synthetic_data_have_the_sizes_of_the_point(scaling):
    point = scaling.Point(items=50, history=7, codes=6, links=4, width=8)
    rng = np.random.default_rng(0)
    for codes in scaling.make_codes(point, rng).values():
        assert codes.links.shape == (50, 4)
        assert codes.centres.shape[0] == 6
        assert np.isin(codes.links, range(6)).all()
        assert all(len(set(row)) == 4 for row in codes.links)
    prefixes = scaling.make_prefixes(point, 30, rng)
    (batch,) = bucketed_batches(prefixes.lengths(50), 30, rng)
    histories, targets = prefixes.batch(batch, 50)
    assert histories.shape == (30, 7)
    assert histories.min() >= 0
    assert max(histories.max(), targets.max()) < 50


def test_a_point_is_measured(scaling):
    point = scaling.Point(items=300, history=3, codes=4, links=2, width=8)
    cost = scaling.measure(point, 1, 0.0)
    assert cost.seconds > 0
    assert cost.cpu_seconds > 0
    assert 0 <= cost.step_gb <= cost.memory_gb < cost.peak_gb
