"""Dual attention: its two ways of computing the passes agree, and drop weights alike."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mmsr.config.mmsr import DualAttentionConfig
from mmsr.graph.batch import take_rows
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS
from mmsr.models.mmsr.aggregators.attention_passes import AllPasses, QueryPasses
from mmsr.models.mmsr.aggregators.dual_attention import DualAttention


def test_an_item_that_looks_at_itself_alone_is_dropped_like_any_other() -> None:
    torch.manual_seed(3)
    graph = build_batch_graph(torch.randint(0, 30, (64, 8)), [])
    layer = DualAttention(DualAttentionConfig(dropout=0.5), 1, 4).train()
    x = (torch.randn(*graph.real_BN.shape, 4),)
    for passes in (AllPasses(layer, graph), QueryPasses(layer, graph, graph.last_BK)):
        (mixed,) = passes.across_sources(x, x, x)
        weights = mixed / x[0]
        dropped = (weights == 0).float().mean().item()
        assert 0.4 < dropped < 0.6, type(passes).__name__
        torch.testing.assert_close(weights[weights != 0], torch.full_like(weights, 2)[weights != 0])


@pytest.mark.parametrize("order", ORDERS)
def test_queries_get_the_rows_of_all_nodes_where_codes_are_lost_by_position(order: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(12):
        torch.manual_seed(seed)
        lengths = torch.randint(1, 9, (16, 1), generator=generator)
        histories = torch.randint(0, 5, (16, 8), generator=generator)  # few items, many repeats
        histories = histories.masked_fill(torch.arange(8) >= lengths, -1)
        links = [torch.rand(5, n, generator=generator).topk(2).indices for n in (4, 6)]
        links[0][3] = -1
        lost = [torch.rand(16, 8, generator=generator) < rate for rate in (0.5, 0.8)]
        graph = build_batch_graph(histories, links, lost=lost)
        layer = DualAttention(DualAttentionConfig(order=order, dropout=0), 3, 4).double()
        h = torch.randn(*graph.real_BN.shape, 4, dtype=torch.double)
        graph = dataclasses.replace(graph, occurrences=tuple(o.double() for o in graph.occurrences))
        queries = torch.cat((graph.last_BK, graph.slots[0][:, :2, 0].clamp(min=0)), dim=1)
        with torch.no_grad():
            everywhere, queried = layer(graph, h, None), layer(graph, h, queries)
        torch.testing.assert_close(queried, take_rows(everywhere, queries))
