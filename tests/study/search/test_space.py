"""Search spaces: what is proposed is valid, what is wrong is refused with a reason."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr.config import AGGREGATOR_NAMES, Config
from mmsr.errors import UserError
from mmsr.models.mmsr.registry import READOUTS
from mmsr.study import AUTHORS_SETTINGS, DEFAULT_SPACE, Choice, Float, Int
from mmsr.study.search.space import (
    apply,
    check_settings,
    check_space,
    extreme_graphs,
    problem_outside,
    propose,
    stored,
)
from mmsr.study.views.dry_run import describe_size

optuna.logging.set_verbosity(optuna.logging.ERROR)
BASE = Config(dataset="shop")

ints = st.builds(
    lambda low, steps, step: Int(low, low + steps * step, step=step),
    st.integers(1, 30),
    st.integers(0, 5),
    st.integers(1, 5),
)
steps = st.builds(
    lambda low, n: Float(low / 10, (low + n) / 10, step=0.1), st.integers(0, 4), st.integers(0, 5)
)
spaces = st.fixed_dictionaries(
    {},
    optional={
        "graph.n_codes": ints,
        "graph.links_per_item": ints,
        "graph.modalities": st.just(Choice(None, ["image"], ["image", "text"])),
        "model.aggregator.name": st.just(Choice("dual_attention", "gat", "gcn")),
        "model.aggregator.share_qkv": st.just(
            Choice(True, False, when={"model.aggregator.name": "dual_attention"})
        ),
        "model.aggregator.dropout": st.just(
            Float(0.0, 0.5, when={"model.aggregator.name": ("dual_attention", "gat")})
        ),
        "model.dropout": steps,
        "training.learning_rate": st.just(Float(1e-4, 1e-1, log=True)),
    },
)


@pytest.fixture(scope="module")
def sampler() -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=0)


@settings(max_examples=60, deadline=None)
@given(space=spaces)
def test_every_proposal_is_a_valid_config_inside_the_space(space, sampler):
    check_space(space, BASE)
    study = optuna.create_study(sampler=sampler)
    for _ in range(3):
        proposed = propose(study.ask(), space, BASE)
        config = apply(BASE, proposed)
        for key, dimension in space.items():
            active = _holds(dimension, config)
            assert (key in proposed) == active
            if active:
                assert dimension.contains(proposed[key])
        assert config.graph.links_per_item <= config.graph.n_codes
        links = proposed.get("graph.links_per_item", 1)
        assert config.graph.links_per_item == min(links, config.graph.n_codes)


@settings(max_examples=60, deadline=None)
@given(space=spaces)
def test_enqueued_settings_come_back_as_they_were(space, sampler):
    study = optuna.create_study(sampler=sampler)
    first = propose(study.ask(), space, BASE)
    study.enqueue_trial(stored(space, first))
    again = propose(study.ask(), space, BASE)
    assert again == first
    assert [type(value) for value in again.values()] == [type(v) for v in first.values()]


def test_default_space_holds_the_authors_settings():
    check_space(DEFAULT_SPACE, BASE)
    for authors in AUTHORS_SETTINGS:
        config = check_settings(DEFAULT_SPACE, BASE, authors)
        exists = {key for key, dimension in DEFAULT_SPACE.items() if _holds(dimension, config)}
        assert set(authors) == exists, "nothing is left to chance"
        assert config.model.width == 128
        assert config.model.input_dropout == 0
    graphs = [check_settings(DEFAULT_SPACE, BASE, authors).graph for authors in AUTHORS_SETTINGS]
    assert [(g.n_codes, g.links_per_item) for g in graphs] == [(20, 1), (30, 3)]


def test_default_space_holds_every_knob_of_every_aggregator_and_readout():
    names = DEFAULT_SPACE["model.aggregator.name"].options
    assert set(names) == set(AGGREGATOR_NAMES)
    assert set(DEFAULT_SPACE["model.readout"].options) == set(READOUTS)
    for name in names:
        config = BASE.replace({"model.aggregator.name": name})
        knobs = {
            key
            for key, dimension in DEFAULT_SPACE.items()
            if key.startswith("model.aggregator.") and _holds(dimension, config)
        }
        assert knobs == {key for key in config.flat() if key.startswith("model.aggregator.")}


def _holds(dimension, config):
    """Whether a config meets all conditions of a dimension."""
    flat = config.flat()
    return all(
        flat.get(key) in (value if isinstance(value, tuple) else (value,))
        for key, value in dimension.when.items()
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_proposal_of_the_default_space_is_valid(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    config = apply(BASE, proposed := propose(study.ask(), DEFAULT_SPACE, BASE))
    flat = config.flat()
    for key, value in proposed.items():
        if key != "graph.links_per_item":
            assert flat[key] == value


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"graph.n_code": Int(1, 2)}, "did you mean 'graph.n_codes'"),
        ({"model.dropout": Float(0.0, 1.5)}, "model.dropout=1.5"),
        ({"model.width": Int(0, 8)}, "model.width=0"),
        ({"model.width": Int(8, 4)}, "low is above high"),
        ({"model.width": Int(8, 13, step=2)}, "step"),
        ({"model.width": Int("8", 13)}, "whole numbers"),
        ({"model.width": Int(True, 13)}, "whole numbers"),
        ({"model.width": 8}, "write Int(…), Float(…) or Choice(…)"),
        ({3: Int(1, 2)}, "give a config key such as"),
        ({"model.width": Choice()}, "no options"),
        ({"model.width": Choice(8, 8)}, "the same"),
        ({"model.width": Choice({1})}, "plain values"),
        ({"model.fusion": Choice("adaptive", "sideways")}, "model.fusion='sideways'"),
        ({"training.learning_rate": Float(0.0, 0.1, log=True)}, "log needs low > 0"),
        (
            {
                "training.label_smoothing": Float(0.0, 0.2),
                "training.loss.name": Choice("softmax", "bpr"),
            },
            "is defined for the loss softmax only, not for bpr",
        ),
        ({"training.learning_rate": Float(0.1, float("nan"))}, "finite"),
        ({"training.learning_rate": Float(0.1, 0.2, step=0.07)}, "step"),
        ({"model.aggregator.order": Choice("he", when={"model.fusion": "late"})}, "never exists"),
        (
            {
                "model.fusion": Choice("adaptive", "early"),
                "model.aggregator.order": Choice("he", when={"model.fusion": "late"}),
            },
            "never proposed",
        ),
        (
            {"model.aggregator.order": Choice("he", when={"model.fusion": ("late", "early")})},
            "never exists",
        ),
        (
            {
                "model.aggregator.name": Choice("gcn", "gat"),
                "model.aggregator.dropout": Float(
                    0.0, 0.5, when={"model.aggregator.name": ("hgat", "rgat")}
                ),
            },
            "never proposed",
        ),
        (
            {
                "model.aggregator.name": Choice("gcn", "gat"),
                "model.aggregator.dropout": Float(
                    0.0, 0.5, when={"model.aggregator.name": ("gat", "gatt")}
                ),
            },
            "under model.aggregator.name='gatt'",
        ),
        (
            {
                "model.aggregator.name": Choice("gcn", "gat"),
                "model.aggregator.dropout": Float(
                    0.0, 0.5, when={"model.aggregator.name": ("gat", "gcn")}
                ),
            },
            "model.aggregator.dropout=0.0: unknown config key",
        ),
        (
            {
                "model.width": Int(4, 8, when={"model.layers": 1}),
                "model.layers": Int(1, 2, when={"model.width": 4}),
            },
            "circle",
        ),
    ],
)
def test_a_wrong_space_is_refused_with_the_reason(space, told):
    with pytest.raises(UserError, match="space") as error:
        check_space(space, BASE)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given_settings", "told"),
    [
        ({"graph.n_codes": 7}, "outside the space"),
        ({"graph.n_codes": "10"}, "outside the space"),
        ({"graph.n_codes": 10.0}, "outside the space"),
        ({"graph.n_code": 10}, "did you mean 'graph.n_codes'"),
        ({"model.width": 8}, "unknown dimension"),
        ({"model.aggregator.share_qkv": True, "model.aggregator.name": "gcn"}, "exists only"),
        ({"graph.n_codes": 4, "graph.links_per_item": 5}, "more than n_codes"),
    ],
)
def test_wrong_known_settings_are_refused_with_the_reason(given_settings, told):
    space = {
        "graph.n_codes": Int(4, 10, step=2),
        "graph.links_per_item": Int(1, 5),
        "model.aggregator.name": Choice("dual_attention", "gcn"),
        "model.aggregator.share_qkv": Choice(
            True, False, when={"model.aggregator.name": "dual_attention"}
        ),
    }
    with pytest.raises(UserError, match="enqueue") as error:
        check_settings(space, BASE, given_settings)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("dimension", "value", "inside"),
    [
        (Choice(0.0, 0.1), 0, True),  # a client in JavaScript writes 0.0 so
        (Choice(0, 0.1), 0.0, True),
        (Choice(32, 64), 64.0, True),
        (Choice(0.0, 0.1), False, False),
        (Choice(True, False), 1, False),
        (Choice(1, 2), True, False),
        (Choice(1, 2), "1", False),
        (Choice("1", "2"), 1, False),
        (Choice(None, 1), 0, False),
    ],
    ids=str,
)
def test_a_number_is_an_option_however_it_is_written(dimension, value, inside):
    assert dimension.contains(value) is inside
    assert (problem_outside({"a": dimension}, {"a": value}) is None) is inside


def test_codes_of_one_modality_can_be_a_dimension():
    base = BASE.replace({"graph.n_codes": {"image": 20, "text": 10}})
    space = {"graph.n_codes.text": Int(2, 40), "graph.links_per_item": Int(1, 30)}
    check_space(space, base)
    config = apply(base, {"graph.n_codes.text": 3, "graph.links_per_item": 9})
    assert config.graph.n_codes == {"image": 20, "text": 3}
    assert config.graph.links_per_item == 3
    codes = [config.graph.n_codes for config in extreme_graphs(space, base)]
    assert {"image": 20, "text": 40} in codes


def test_size_in_words():
    space = {"graph.n_codes": Int(10, 50, step=10), "graph.reduction": Choice("pca", "none")}
    assert describe_size(space) == "10 settings"
    assert describe_size({**space, "training.learning_rate": Float(1e-3, 1e-2)}) == (
        "10 settings × 1 continuous dimension"
    )


def test_a_condition_on_several_values_is_told_in_words():
    dimension = Int(1, 3, when={"model.aggregator.name": ("gat", "rgat"), "model.layers": 1})
    assert str(dimension) == "1 … 3 under model.aggregator.name=gat or rgat, model.layers=1"


def test_a_condition_may_name_values_that_this_space_leaves_out():
    space = {
        "model.aggregator.name": Choice("gcn", "gat"),
        "model.aggregator.dropout": Float(
            0.0, 0.5, when={"model.aggregator.name": ("gat", "rgat")}
        ),
    }
    check_space(space, BASE)


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.0, 0.5, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (-0.3, 0.3, 0.3, [-0.3, 0.0, 0.3]),
        (1e-4, 5e-4, 1e-4, [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]),
        (0, 1, 0.25, [0.0, 0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_steps_are_numbers_as_people_write_them(low, high, step, values):
    """3 * 0.1 is 0.30000000000000004, which would be trained and exported."""
    dimension = Float(low, high, step=step)
    assert list(dimension.values()) == values
    distribution = optuna.distributions.FloatDistribution(low, high, step=step)
    for place, value in enumerate(values):
        trial = optuna.trial.FixedTrial({"x": distribution.low + place * step})
        assert dimension.suggest(trial, "x") == value


def test_a_value_between_two_steps_stays_as_it_was_given():
    near = 0.3 + 1e-8
    assert Float(0.0, 0.5, step=0.1).suggest(optuna.trial.FixedTrial({"x": near}), "x") == near


def test_the_last_step_is_the_high_value():
    *_, last = Float(0.0, 1.0, step=1 / 3).values()
    assert last == 1.0
