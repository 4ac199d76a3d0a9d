"""SASRec against loops over positions, and against torch's own encoder layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmsr.errors import UserError
from mmsr.models.sequential import transformer
from mmsr.models.sequential.sasrec import SASRec
from mmsr.models.sequential.transformer import EPSILON, Block

from .cases import MAX_HISTORY, N_ITEMS, ROWS, exact, make, padded

KNOBS = {"width": 12, "layers": 3, "heads": 3}


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return numbers(layer.weight) @ x + numbers(layer.bias)


def normed(layer: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    spread = np.sqrt(((x - x.mean()) ** 2).mean() + 1e-8)
    return numbers(layer.weight) * (x - x.mean()) / spread + numbers(layer.bias)


def attended(block: Block, query: np.ndarray, earlier: list[np.ndarray], heads: int) -> np.ndarray:
    """What one position reads from those up to it, head by head."""
    layer = block.attention
    q = np.split(linear(layer.query, query), heads)
    k = [np.split(linear(layer.key, x), heads) for x in earlier]
    v = [np.split(linear(layer.value, x), heads) for x in earlier]
    joined = []
    for h in range(heads):
        raised = np.exp([q[h] @ key[h] / np.sqrt(len(q[h])) for key in k])
        weights = raised / raised.sum()
        joined.append(sum(w * value[h] for w, value in zip(weights, v, strict=True)))
    return np.concatenate(joined)


def fed(block: Block, x: np.ndarray) -> np.ndarray:
    inner = np.maximum(linear(block.feed_forward.inner, x), 0)
    return linear(block.feed_forward.outer, inner)


def embedded(model: SASRec, history: list[int]) -> list[np.ndarray]:
    items, positions = numbers(model.item.weight), numbers(model.position.weight)
    return [items[i] * np.sqrt(items.shape[1]) + positions[p] for p, i in enumerate(history)]


def authors_user(model: SASRec, history: list[int], heads: int) -> np.ndarray:
    """The authors' network, position by position."""
    x = embedded(model, history)
    for block in model.transformer.blocks:
        out = []
        for place, own in enumerate(x):
            query = normed(block.attention_norm, own)
            summed = query + attended(block, query, x[: place + 1], heads)
            y = normed(block.feed_forward_norm, summed)
            out.append(y + fed(block, y))
        x = out
    return normed(model.transformer.norm, x[-1])


def test_the_authors_network_equals_loops_over_positions_and_heads() -> None:
    model = exact(make("sasrec", norm="authors", **KNOBS))
    users = model.user_vectors(padded(ROWS))
    expected = np.stack([authors_user(model, row, KNOBS["heads"]) for row in ROWS])
    np.testing.assert_allclose(numbers(users), expected, rtol=1e-9, atol=1e-9)


def torch_layer(block: Block, norm: str) -> nn.TransformerEncoderLayer:
    """torch's encoder layer with a block's weights; it projects joined heads, so by identity."""
    attention, net = block.attention, block.feed_forward
    width = attention.query.in_features
    layer = nn.TransformerEncoderLayer(
        width,
        attention.heads,
        net.inner.out_features,
        norm_first=norm == "pre",
        layer_norm_eps=EPSILON,
        batch_first=True,
        dtype=torch.double,
    ).eval()
    own = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in own]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in own]))
        layer.self_attn.out_proj.weight.copy_(torch.eye(width))
        layer.self_attn.out_proj.bias.zero_()
    layer.linear1.load_state_dict(net.inner.state_dict())
    layer.linear2.load_state_dict(net.outer.state_dict())
    layer.norm1.load_state_dict(block.attention_norm.state_dict())
    layer.norm2.load_state_dict(block.feed_forward_norm.state_dict())
    return layer


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_other_placements_equal_torchs_encoder_layers(norm: str) -> None:
    model = exact(make("sasrec", norm=norm, **KNOBS))
    for row in ROWS:
        x = torch.from_numpy(np.stack(embedded(model, row)))[None]
        last = model.transformer.norm
        x = last(x) if norm == "post" else x
        mask = nn.Transformer.generate_square_subsequent_mask(len(row), dtype=torch.double)
        for block in model.transformer.blocks:
            x = torch_layer(block, norm)(x, src_mask=mask)
        x = x if norm == "post" else last(x)
        torch.testing.assert_close(model.sequence_vectors(torch.tensor([row])), x)


@pytest.mark.parametrize("norm", ["authors", "pre", "post"])
def test_every_position_is_the_user_vector_of_its_prefix(norm: str) -> None:
    model = exact(make("sasrec", norm=norm, **KNOBS))
    vectors = model.sequence_vectors(padded(ROWS))
    assert vectors.isfinite().all()
    for row, history in enumerate(ROWS):
        for n in range(1, len(history) + 1):
            alone = model.user_vectors(padded([history[:n]], extra=min(2, MAX_HISTORY - n)))
            torch.testing.assert_close(vectors[row, n - 1 : n], alone)


def test_scores_compare_with_the_items_own_embeddings_unscaled() -> None:
    model = make("sasrec", **KNOBS)
    assert model.n_items == N_ITEMS
    torch.testing.assert_close(model.item_vectors(), model.item.weight)
    torch.testing.assert_close(
        model.item_vectors(torch.tensor([4, 4, 29])), model.item.weight[[4, 4, 29]]
    )


def test_weights_start_as_the_authors_start_them() -> None:
    model = make("sasrec", width=64, layers=1)
    bound = (6 / (N_ITEMS + 64)) ** 0.5
    assert 0.95 * bound < model.item.weight.abs().max() <= bound
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name


def untrained(**knobs: Any) -> Tensor:
    """User vectors of a model in training mode, drawn twice from the same weights."""
    model = make("sasrec", **KNOBS, **knobs).train()
    return torch.stack([model.user_vectors(padded(ROWS)) for _ in range(2)])


def test_each_dropout_works_alone_and_in_training_alone() -> None:
    none = {"dropout": 0.0, "attention_dropout": 0.0}
    first, second = untrained(**none)
    torch.testing.assert_close(first, second)
    for knob in none:
        first, second = untrained(**{**none, knob: 0.5})
        assert not torch.allclose(first[1:], second[1:]), knob
    model = make("sasrec", **KNOBS, dropout=0.5, attention_dropout=0.5)
    torch.testing.assert_close(model.user_vectors(padded(ROWS)), untrained(**none)[0])


def test_the_input_and_both_maps_of_each_feed_forward_net_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make("sasrec", **KNOBS, dropout=0.3, attention_dropout=0.0).train()
    calls: list[float] = []

    def users(dropped: int | None) -> Tensor:
        def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
            calls.append(rate * training)
            return x * 0 if len(calls) - 1 == dropped else x

        calls.clear()
        monkeypatch.setattr(transformer, "dropout", dropout)
        return model.user_vectors(padded(ROWS))

    whole = users(None)
    assert calls == [0.3] * (1 + 2 * KNOBS["layers"])
    for call in range(len(calls)):
        assert not torch.allclose(users(call), whole), call


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"heads=3 does not divide model\.width=16"):
        make("sasrec", width=16, heads=3)
