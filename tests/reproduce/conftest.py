"""What tests of reproductions share."""

from __future__ import annotations

import pytest

from mmsr.reproduce.request import Request, make_request
from mmsr.study.planning.declaration import Options

SMALL = {"model.width": 8, "graph.n_codes": 6, "training.batch_size": 32}


@pytest.fixture
def request_of(study_home):
    """Make a small request on the data set `shop`."""

    def make(table="table3", rows=("GCN", "HAN-GNN"), n_seeds=2, select_on="valid", **options):
        settings = {**SMALL, **options.pop("settings", {})}
        given = Options(**{"epochs": 1, **options}, settings=settings)
        return make_request(
            table, "shop", rows=rows, n_seeds=n_seeds, select_on=select_on, options=given
        )

    return make


@pytest.fixture
def small_request(request_of) -> Request:
    """GCN and HAN-GNN with two seeds, one epoch."""
    return request_of()
