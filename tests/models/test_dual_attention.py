"""Dual attention in training: weights are dropped alike in both ways of calling a layer."""

from __future__ import annotations

import torch

from mmsr.graph.build import build_batch_graph
from mmsr.model_config import DualAttentionConfig
from mmsr.models.aggregators.attention_passes import AllPasses, QueryPasses
from mmsr.models.aggregators.dual_attention import DualAttention


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
