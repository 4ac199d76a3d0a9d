"""The rows of the paper's tables, and the published figures."""

from __future__ import annotations

import pytest

from mmsr.config import Config
from mmsr.config.mmsr import AGGREGATOR_NAMES
from mmsr.config.models import MODELS
from mmsr.errors import UserError
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS
from mmsr.reproduce import tables
from mmsr.reproduce.tables import REFERENCE, TABLES, find_table, models_table, published

ROWS = [(table, row) for table in TABLES.values() for row in table.rows]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=lambda x: getattr(x, "label", None))
def test_every_row_is_a_config_of_its_own(table, row):
    config = Config(dataset="shop").replace(row.settings)
    assert {key: config.flat()[key] for key in row.settings} == row.settings
    assert row.settings.keys() | {"seed"} == table.space().keys()
    others = [other for other in table.rows if other is not row]
    assert all(other.settings != row.settings for other in others)


def test_table_3_has_every_aggregator_and_table_4_every_order():
    names = {row.settings["model.aggregator.name"] for row in TABLES["table3"].rows}
    assert names == set(AGGREGATOR_NAMES) - {"typed_gat"}  # which no row is
    orders = {row.settings["model.aggregator.order"] for row in TABLES["table4"].rows}
    assert orders == set(ORDERS)
    changed = {
        row.label: [key for key, value in row.settings.items() if value is False]
        for row in TABLES["table4"].rows
    }
    assert changed["w/o e^po"] == ["model.position_embedding"]
    assert changed["w/o e^ty"] == ["model.type_embedding"]
    assert sum(map(bool, changed.values())) == 2


def test_the_reference_row_is_the_full_model_in_both_tables():
    full = Config(dataset="shop")
    for table in TABLES.values():
        (row,) = table.choose([REFERENCE])
        assert full.replace(row.settings) == full


def test_every_row_has_published_figures():
    for table, row in ROWS:
        for dataset in ("beauty", "clothing", "sport"):
            column = published(table.name, dataset)
            assert not column.stand_in
            assert column.dataset.casefold() == dataset
            assert set(column.percent[row.label]) == {"hr@5", "mrr@5"}
            assert 0 < column.percent[row.label]["mrr@5"] < column.percent[row.label]["hr@5"] < 10


def test_published_figures_are_the_papers():
    assert published("table3", "beauty").percent["HGAT"] == {"hr@5": 7.0671, "mrr@5": 4.2494}
    sports = published("table4", "Sports_and_Outdoors")
    assert (sports.dataset, sports.stand_in) == ("Sport", False)
    assert sports.percent["w/o e^ty"] == {"hr@5": 3.2112, "mrr@5": 1.9854}
    toys = published("table3", "toys")
    assert (toys.dataset, toys.stand_in) == ("Beauty", True)


def test_rows_are_chosen_by_label_in_the_order_of_the_table():
    table = find_table("table4")
    chosen = table.choose([" ni(HOHE)", "han-gnn "])
    assert [row.label for row in chosen] == ["HAN-GNN", "NI(hohe)"]
    assert table.choose(None) == table.rows


@pytest.mark.parametrize(("labels", "told"), [(["GNC"], "did you mean 'GCN'"), ([""], "no row")])
def test_rows_that_are_none(labels, told):
    with pytest.raises(UserError, match=told):
        find_table("table3").choose(labels)


def test_the_rows_of_table_2_are_the_registered_models(monkeypatch):
    labels = {row.settings["model.name"]: row.label for row in models_table().rows}
    assert {"mmsr", "gru4rec", "sasrec", "nova", "trans2d"} < set(labels) <= set(MODELS)
    assert labels["dif_sr"] == "DIF-SR"
    assert models_table().reference == "MMSR"
    monkeypatch.setattr(tables, "MODELS", {"mmsr": "", "mmgcn": "", "sasrec": ""})
    assert [row.label for row in models_table().rows] == ["SASRec", "MMGCN", "MMSR"]


def test_table_2_is_published_for_all_six_data_sets():
    for dataset in ("beauty", "clothing", "sport", "toys", "kitchen", "phone"):
        column = published("table2", dataset)
        assert not column.stand_in
        assert len(column.percent) == 12
        for figures in column.percent.values():
            assert 0 < figures["mrr@5"] < figures["hr@5"] < figures["hr@20"] < 20
            assert figures["mrr@5"] < figures["mrr@20"] < figures["hr@20"]
    assert published("table2", "toys").percent["MMSR"] == {
        "hr@5": 6.1159,
        "mrr@5": 3.8987,
        "hr@20": 12.1192,
        "mrr@20": 4.3551,
    }
