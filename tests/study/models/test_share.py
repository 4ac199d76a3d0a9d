"""How trials are shared out among models: pure functions of the trials there are."""

from __future__ import annotations

import pytest

from mmsr.errors import UserError
from mmsr.study import ModelHalving
from mmsr.study.search.share import EvenHours, EvenTrials, ModelTrial


def ended(value, hours=1.0):
    return ModelTrial(over=True, value=value, hours=hours)


RUNNING = ModelTrial(over=False, value=None, hours=0.5)


def test_the_same_number_of_trials_goes_round_in_the_order_given():
    trials = {"b": [], "a": [], "c": []}
    order = []
    for _ in range(7):
        order.append(EvenTrials().next_model(trials))
        trials[order[-1]].append(RUNNING)
    assert order == ["b", "a", "c", "b", "a", "c", "b"]


def test_a_model_whose_space_is_exhausted_is_passed_over():
    trials = {"a": [], "b": [ended(0.1)]}
    for share in (EvenTrials(), EvenHours(), ModelHalving(first_round=2)):
        assert share.next_model(trials, {"a"}) == "b"
        assert share.next_model(trials, {"a", "b"}) is None


def test_the_same_hours_count_running_trials_and_spread_the_first_ones():
    assert EvenHours().next_model({"a": [RUNNING], "b": []}) == "b"
    assert EvenHours().next_model({"a": [RUNNING], "b": [ended(0.1, 0.2), ended(0.1, 0.2)]}) == "b"
    assert EvenHours().next_model({"a": [RUNNING], "b": [ended(0.1, 0.2), ended(0.1, 0.4)]}) == "a"
    nothing = ModelTrial(over=False, value=None, hours=0.0)
    assert EvenHours().next_model({"a": [nothing], "b": []}) == "b"


def simulated(share, values, n_trials):
    """The models of `n_trials` trials that run one after the other."""
    trials, order = {name: [] for name in values}, []
    for _ in range(n_trials):
        name = share.next_model(trials)
        order.append(name)
        trials[name].append(ended(values[name]))
    return order, trials


def test_halving_keeps_the_better_half_and_doubles_its_trials():
    values = {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2, "e": 0.5}
    share = ModelHalving(first_round=2)
    order, trials = simulated(share, values, share.all_trials(5, 20))
    assert order[:10] == ["a", "b", "c", "d", "e"] * 2
    assert order[10:22] == ["b", "c", "e"] * 4
    assert order[22:] == ["b", "e"] * 8
    assert {name: len(found) for name, found in trials.items()} == {
        "a": 2,
        "d": 2,
        "b": 14,
        "c": 6,
        "e": 14,
    }
    assert share.left(trials) == ("e",)
    assert share.next_model(trials) == "e", "trials beyond all rounds are the last one's"


def test_halving_waits_until_all_trials_of_a_round_have_ended():
    share = ModelHalving(first_round=1)
    running = {"a": [ended(0.2)], "b": [ended(0.3)], "c": [RUNNING]}
    assert share.next_model(running) is None
    assert share.left(running) == ("a", "b", "c")
    over = running | {"c": [ended(0.1)]}
    assert share.next_model(over) == "a"
    assert share.left(over) == ("a", "b")


def test_halving_ranks_a_model_without_a_finished_trial_last_and_ties_by_order():
    share = ModelHalving(first_round=1)
    assert share.left({"a": [ended(None)], "b": [ended(0.0)], "c": [ended(0.0)]}) == ("b", "c")
    assert share.left({"b": [ended(0.1)], "a": [ended(0.1)]}) == ("b",)


def test_later_trials_do_not_bring_a_dropped_model_back():
    share = ModelHalving(first_round=1)
    late = {"a": [ended(0.2), ended(0.9)], "b": [ended(0.3)]}
    assert share.left(late) == ("b",), "a's second trial is not of the first round"


def test_a_round_is_over_for_a_model_whose_space_is_exhausted():
    share = ModelHalving(first_round=3)
    trials = {"a": [ended(0.9)], "b": [ended(0.1)] * 3}
    assert share.next_model(trials) == "a"
    assert share.left(trials, {"a"}) == ("a",)
    assert share.next_model(trials, {"a"}) is None, "a has won, and b gets no more"


@pytest.mark.parametrize("first_round", [0, 1.5, True])
def test_a_first_round_is_a_whole_number(first_round):
    with pytest.raises(UserError, match="share: first_round="):
        ModelHalving(first_round=first_round).check()
