"""What every aggregator, fusion and readout holds to; the registry says which there are."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from mmsr.config import Config, DualAttentionConfig, ModelConfig
from mmsr.errors import UserError
from mmsr.graph.codes import ModalityCodes
from mmsr.models.mmsr import FUSIONS, MMSR
from mmsr.models.registry import AGGREGATORS, READOUTS

N_ITEMS, WIDTH = 30, 8
ORDERS = get_args(DualAttentionConfig.model_fields["order"].annotation)
LAYERS: list[dict[str, Any]] = [{"name": name} for name in AGGREGATORS]
LAYERS += [{"name": "dual_attention", "order": order} for order in ORDERS]
LAYERS += [{"name": "dual_attention", "share_qkv": False}]


def name_of(layer: dict[str, Any], *others: object) -> str:
    return "-".join(map(str, (*layer.values(), *others)))


def is_allowed(layer: dict[str, Any], fusion: str) -> bool:
    """Orders that read across types alone are refused where there is one type."""
    return fusion == "adaptive" or layer.get("order") not in ("he", "ni_hohe")


VARIANTS = [
    pytest.param(*variant, id=name_of(*variant))
    for layer in LAYERS
    for variant in (
        *((layer, fusion, "last", 1) for fusion in FUSIONS),
        *((layer, "adaptive", readout, 1) for readout in READOUTS if readout != "last"),
        (layer, "adaptive", "last", 2),
    )
    if is_allowed(layer, variant[1])
]


def some_codes(seed: int = 0) -> dict[str, ModalityCodes]:
    rng = np.random.default_rng(seed)
    codes = {}
    for name, n_codes, k in (("image", 5, 2), ("text", 6, 3)):
        links = np.stack([rng.permutation(n_codes)[:k] for _ in range(N_ITEMS)])
        links[rng.random(N_ITEMS) < 0.2] = -1
        codes[name] = ModalityCodes(links, rng.normal(size=(n_codes, 4)).astype(np.float32))
    return codes


def make(layer: dict[str, Any], fusion: str, readout: str, depth: int, codes: Any = None) -> MMSR:
    torch.manual_seed(0)
    config = Config(
        dataset="x",
        model=ModelConfig(
            width=WIDTH, fusion=fusion, readout=readout, layers=depth, aggregator=layer
        ),
    )
    return MMSR(config, N_ITEMS, some_codes() if codes is None else codes)


def histories(seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, N_ITEMS, length).tolist() for length in (1, 2, 5, 9, 3, 7)]


def padded(rows: list[list[int]], extra: int = 0) -> torch.Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows])


@pytest.mark.parametrize(("layer", "fusion", "readout", "depth"), VARIANTS)
class TestContract:
    def test_company_order_and_padding_change_nothing(
        self, layer: dict[str, Any], fusion: str, readout: str, depth: int
    ) -> None:
        model = make(layer, fusion, readout, depth).eval()
        rows = histories()
        with torch.no_grad():
            together = model.user_vectors(padded(rows))
            backwards = model.user_vectors(padded(rows[::-1], extra=3)).flip(0)
            alone = torch.cat([model.user_vectors(padded([row])) for row in rows])
        torch.testing.assert_close(together, backwards, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)

    def test_renaming_codes_changes_nothing(
        self, layer: dict[str, Any], fusion: str, readout: str, depth: int
    ) -> None:
        model = make(layer, fusion, readout, depth).eval()
        rows = padded(histories())
        with torch.no_grad():
            before = model.user_vectors(rows)
            table, links = model.tables.codes["text"], model.tables.links("text")
            order = torch.randperm(len(table), generator=torch.Generator().manual_seed(1))
            table.copy_(table[order].clone())
            links.copy_(torch.where(links >= 0, order.argsort()[links.clamp(min=0)], links))
            after = model.user_vectors(rows)
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)

    def test_gradients_reach_every_parameter(
        self, layer: dict[str, Any], fusion: str, readout: str, depth: int
    ) -> None:
        model = make(layer, fusion, readout, depth).eval()  # dropout would hide some
        rows = torch.tensor([[i % N_ITEMS for i in range(j, j + 12)] for j in range(0, 60, 3)])
        rows[:, 6:8] = rows[:, :2]  # repeats make steps in both directions
        rows[:, 5] = rows[:, 1]
        scores = model.user_vectors(rows) @ model.item_vectors().T
        torch.nn.functional.cross_entropy(scores, rows[:, 0]).backward()
        for name, parameter in model.named_parameters():
            if layer.get("order") == "ho" and name.startswith("tables.codes"):
                continue  # items read items alone: this ablation leaves the codes unread
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name

    @pytest.mark.parametrize("missing", ["image", "text", "both"])
    def test_works_without_a_modality(
        self, layer: dict[str, Any], fusion: str, readout: str, depth: int, missing: str
    ) -> None:
        codes = {m: c for m, c in some_codes().items() if missing not in (m, "both")}
        model = make(layer, fusion, readout, depth, codes)
        vectors = model.user_vectors(padded(histories()))
        assert vectors.shape == (6, WIDTH)
        assert vectors.isfinite().all()

    def test_an_item_without_any_code_is_fine(
        self, layer: dict[str, Any], fusion: str, readout: str, depth: int
    ) -> None:
        codes = some_codes()
        for c in codes.values():
            c.links[:] = -1
        vectors = make(layer, fusion, readout, depth, codes).user_vectors(padded(histories()))
        assert vectors.isfinite().all()


@pytest.mark.parametrize("fusion", ["early", "late"])
@pytest.mark.parametrize("order", ["he", "ni_hohe"])
def test_an_order_that_would_read_nothing_is_refused(fusion: str, order: str) -> None:
    with pytest.raises(UserError, match=f"order='{order}' reads across modalities alone"):
        Config(dataset="x").replace({"model.fusion": fusion, "model.aggregator.order": order})


def test_bare_embeddings_can_be_turned_off() -> None:
    config = Config(
        dataset="x",
        model=ModelConfig(width=WIDTH, position_embedding=False, type_embedding=False),
    )
    model = MMSR(config, N_ITEMS, some_codes()).eval()
    names = [name for name, _ in model.named_parameters()]
    assert not any("positions" in name or "types" in name for name in names)
    assert model.user_vectors(padded(histories())).shape == (6, WIDTH)


def test_code_embeddings_start_in_the_range_of_item_embeddings() -> None:
    for width in (2, 4, 16):
        model = MMSR(Config(dataset="x", model=ModelConfig(width=width)), N_ITEMS, some_codes())
        for table in model.tables.codes.values():
            assert table.shape[1] == width
            assert table.abs().max().item() == pytest.approx(width**-0.5)
