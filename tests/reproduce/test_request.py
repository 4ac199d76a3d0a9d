"""Requests: what the study will be, and what is refused."""

from __future__ import annotations

import pytest

from mmsr.errors import UserError
from mmsr.reproduce.request import TRAINERS, name_of
from mmsr.reproduce.tables import TABLES
from mmsr.study.planning.declaration import Declaration


def test_the_study_is_rows_times_seeds_with_one_budget(request_of):
    request = request_of(rows=None)
    plan = request.plan
    assert plan.name == "table3-shop"
    assert plan.trials == len(plan.only) == 2 * len(TABLES["table3"].rows)
    assert plan.pruner is None
    assert plan.trainer == TRAINERS["valid"]
    assert request_of("fig4", rows=None).plan.trainer == Declaration.trainer
    assert plan.objective == "valid/mrr@20"
    assert request.seeds == (2023, 2024)
    configs = [plan.base.replace(settings) for settings in plan.known]
    assert {config.training.epochs for config in configs} == {1}
    assert {config.graph.links_per_item for config in configs} == {3}
    assert {config.model.width for config in configs} == {8}


def test_rows_are_run_one_after_another_and_those_that_tell_most_first(request_of):
    def order(request):
        return [name_of(request, settings) for settings in request.plan.known]

    assert order(request_of(rows=None))[:5] == [
        *("HAN-GNN, seed 2023", "HAN-GNN, seed 2024", "GAT, seed 2023", "GAT, seed 2024"),
        "GraphSAGE, seed 2023",
    ]
    ablation = [name.partition(",")[0] for name in order(request_of("table4", None, 1))]
    assert ablation[:6] == ["HAN-GNN", "he", "ho", "hohe", "Synchronous", "w/o e^ty"]
    assert sorted(ablation) == sorted(row.label for row in TABLES["table4"].rows)


def test_what_is_done_is_not_run(small_request):
    left = small_request.without({("HAN-GNN", 2023), ("GCN", 2024)})
    assert [name_of(left, one) for one in left.plan.known] == [
        "HAN-GNN, seed 2024",
        "GCN, seed 2023",
    ]
    assert left.plan.trials == len(left.plan.only) == 2
    assert left.plan.definition == small_request.plan.definition


def test_a_table_needs_the_test_part_and_a_figure_does_not(request_of, study_home):
    (study_home / "held-out" / "shop" / "test.arrow").unlink()
    assert request_of("fig4", rows=None).plan.trials
    with pytest.raises(UserError, match="lacks its test part"):
        request_of()


def test_other_rows_and_seeds_are_the_same_study(request_of):
    one = request_of(rows=["GCN"], n_seeds=1).plan.definition
    many = request_of(rows=None, n_seeds=5, settings={"seed": 7}).plan.definition
    assert one.difference(many) is None
    assert one.difference(request_of(settings={"model.width": 16}).plan.definition) is not None


def test_the_authors_settings_unless_they_are_set(study_home, request_of):
    plan = request_of(settings={"training.learning_rate": 0.01}).plan
    assert plan.base.training.learning_rate == 0.01
    assert plan.base.model.input_dropout == 0.0
    assert plan.base.model.dropout == 0.4


def test_selection_on_test_is_another_study_and_says_so(request_of):
    honest, chosen = request_of(), request_of(select_on="test")
    assert chosen.plan.name == "table3-shop-TEST-SELECTED"
    assert request_of(select_on="test", name="mine").plan.name == "mine-TEST-SELECTED"
    assert request_of(select_on="test", name="mine-TEST-SELECTED").plan.name.count("TEST") == 1
    assert chosen.plan.trainer == TRAINERS["test"] != honest.plan.trainer
    assert chosen.plan.objective == "valid/mrr@20", "trials know no other"
    assert chosen.plan.definition.test_selected
    assert not honest.plan.definition.test_selected
    assert "objective" in honest.plan.definition.difference(chosen.plan.definition)


def test_a_trial_is_called_by_its_row_and_seed(small_request):
    names = [name_of(small_request, settings) for settings in small_request.plan.known]
    assert names == [f"{row}, seed {s}" for row in ("HAN-GNN", "GCN") for s in (2023, 2024)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"table": "table9"}, "unknown table or figure 'table9'"),
        ({"rows": ["GCN", "GATT"]}, "did you mean 'GAT'"),
        ({"n_seeds": 0}, "--seeds 0: give a whole number from 1 to 1000"),
        ({"n_seeds": 9999999999}, "--seeds 9999999999: give a whole number from 1 to 1000"),
        ({"select_on": "train"}, "choose one of valid, test"),
        ({"settings": {"model.aggregator.name": "gcn"}}, "the rows of table3 differ in it"),
        ({"settings": {"seed": -1}}, "first seed"),
        ({"settings": {"seed": "x"}}, "first seed"),
        ({"settings": {"model.widht": 8}}, "did you mean 'model.width'"),
        ({"settings": {"training.select_by": "valid/hr@5"}}, "objective="),
        ({"name": "a/b"}, "bad study name"),
    ],
)
def test_a_wrong_request(request_of, changes, told):
    with pytest.raises(UserError, match=told):
        request_of(**changes)
