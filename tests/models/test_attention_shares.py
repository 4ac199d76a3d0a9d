"""Shares of attention: they say what new vectors are means of, and sum to one."""

from __future__ import annotations

import pytest
import torch

from mmsr.config.mmsr import DualAttentionConfig
from mmsr.graph.build import build_batch_graph
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS
from mmsr.models.mmsr.aggregators.dual_attention import DualAttention
from mmsr.models.mmsr.model import FUSIONS
from mmsr.models.mmsr.registry import READOUTS

from .variants import histories, make, padded, shaken, some_codes


@pytest.mark.parametrize("share_qkv", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_new_vectors_are_the_values_in_these_shares(order: str, share_qkv: bool) -> None:
    torch.manual_seed(0)
    links = [torch.from_numpy(codes.links) for codes in some_codes().values()]
    graph = build_batch_graph(padded(histories()), links)
    config = DualAttentionConfig(order=order, share_qkv=share_qkv)
    layer = shaken(DualAttention(config, 3, 8)).eval()
    h_BND = torch.randn(*graph.real_BN.shape, 8)
    for queries in (None, graph.last_BK.clamp(min=0)):
        with torch.no_grad():
            shares_BQN = layer.shares(graph, h_BND, queries)
            new_BQD = layer(graph, h_BND, queries)
        torch.testing.assert_close(shares_BQN.sum(dim=2), torch.ones(new_BQD.shape[:2]))
        assert (shares_BQN >= 0).all()
        values = [
            h @ weight[:, -8:]
            for h, weight in zip(graph.by_type(h_BND), layer.projection, strict=True)
        ]
        mean_BQD = shares_BQN @ torch.cat(values, dim=1)
        if order == "synchronous":  # its passes are joined by a map
            assert not torch.allclose(mean_BQD, new_BQD, atol=1e-2)
        else:
            torch.testing.assert_close(mean_BQD, new_BQD, atol=1e-5, rtol=1e-4)
    assert all(parameter.grad is None for parameter in layer.parameters())


@pytest.mark.parametrize("order", ORDERS)
def test_forward_is_what_it_was_after_shares(order: str) -> None:
    torch.manual_seed(0)
    graph = build_batch_graph(padded(histories()), [])
    layer = shaken(DualAttention(DualAttentionConfig(order=order), 1, 8)).eval()
    h_BND = torch.randn(*graph.real_BN.shape, 8)
    with torch.no_grad():
        before = layer(graph, h_BND, None)
        layer.shares(graph, h_BND, None)
        assert torch.equal(before, layer(graph, h_BND, None))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_shares_of_a_history(fusion: str, readout: str, depth: int) -> None:
    model = shaken(make({"name": "dual_attention"}, fusion, readout, depth)).eval()
    for row in histories()[1:]:
        with torch.no_grad():
            found = model.attention(torch.tensor(row))
        assert found is not None
        assert set(found.items) == set(row)
        total = sum(found.items.values()) + sum(sum(one.values()) for one in found.codes.values())
        if fusion == "late":  # where the last item has no code, a channel may read nothing
            assert sum(found.items.values()) == pytest.approx(1 / 3, abs=1e-5)
            assert total < 1 + 1e-5
        else:
            assert total == pytest.approx(1, abs=1e-5)
        for modality, shares in found.codes.items():
            linked = model.tables.links(modality)[row]
            assert set(shares) == set(linked[linked >= 0].tolist())


def test_other_aggregators_have_no_shares() -> None:
    model = make({"name": "gcn"}, "adaptive", "last", 1).eval()
    with torch.no_grad():
        assert model.attention(torch.tensor([1, 2])) is None
