"""What every aggregator, fusion and readout holds to; the registry says which there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmsr.config import Config, MmsrConfig
from mmsr.errors import UserError
from mmsr.graph.build import build_batch_graph
from mmsr.models import products
from mmsr.models.mmsr.model import FUSIONS, MMSR
from mmsr.models.mmsr.registry import make_aggregator
from mmsr.models.mmsr.scoring import SCORINGS
from mmsr.training import checkpoint
from mmsr.training.step import new_optimizer

from .variants import (
    CONFIGS,
    N_ITEMS,
    WIDTH,
    Layer,
    every_variant,
    histories,
    make,
    model_config,
    padded,
    shaken,
    some_codes,
)


@every_variant
class TestContract:
    def test_company_order_and_padding_change_nothing(
        self, layer: Layer, fusion: str, readout: str, depth: int
    ) -> None:
        model = make(layer, fusion, readout, depth).eval()
        rows = histories()
        with torch.no_grad():
            together = model.user_vectors(padded(rows))
            backwards = model.user_vectors(padded(rows[::-1], extra=3)).flip(0)
            alone = torch.cat([model.user_vectors(padded([row])) for row in rows])
        torch.testing.assert_close(together, backwards, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)

    def test_renaming_items_and_codes_changes_nothing(
        self, layer: Layer, fusion: str, readout: str, depth: int
    ) -> None:
        model = make(layer, fusion, readout, depth).eval()
        rows = padded(histories())
        tables, generator = model.tables, torch.Generator().manual_seed(1)
        with torch.no_grad():
            before = model.user_vectors(rows)
            for table, modality in zip(tables.codes.values(), tables.modalities, strict=True):
                order = torch.randperm(len(table), generator=generator)
                table.copy_(table[order].clone())
                links = tables.links(modality)
                links.copy_(torch.where(links >= 0, order.argsort()[links.clamp(min=0)], links))
            order = torch.randperm(N_ITEMS, generator=generator)
            for table in (tables.item, *map(tables.links, tables.modalities)):
                table.copy_(table[order].clone())
            renamed = torch.where(rows >= 0, order.argsort()[rows.clamp(min=0)], rows)
            after = model.user_vectors(renamed)
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)

    def test_gradients_reach_every_parameter(
        self, layer: Layer, fusion: str, readout: str, depth: int
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

    def test_a_checkpoint_gives_the_same_model(
        self, layer: Layer, fusion: str, readout: str, depth: int, tmp_path: Path
    ) -> None:
        config = Config(dataset="x", model=model_config(layer, fusion, readout, depth))
        model = shaken(make(layer, fusion, readout, depth)).eval()
        state = checkpoint.CheckpointState(
            epoch=1,
            metrics={},
            best_epoch=1,
            best_metrics={},
            finished=False,
            part="train",
            config=config.to_dict(),
            dataset_hash="",
        )
        folder, optimizer = tmp_path / "checkpoint", new_optimizer(config, model)
        checkpoint.write_checkpoint(folder, state, model, optimizer, model.state_dict())
        again = make(layer, fusion, readout, depth, seed=1).eval()
        rows = padded(histories())
        with torch.no_grad():
            saved = model.user_vectors(rows)
            assert not torch.equal(saved, again.user_vectors(rows))
            checkpoint.load_model(folder, checkpoint.MODEL, again)
            assert torch.equal(saved, again.user_vectors(rows))
        stored = checkpoint.read_checkpoint_state(folder).config
        assert Config.from_dict(stored) == config

    def test_bfloat16_comes_close(
        self,
        layer: Layer,
        fusion: str,
        readout: str,
        depth: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(products, "_MANY", 1)
        model = make(layer, fusion, readout, depth).eval()
        rows = padded(histories())
        with torch.no_grad():
            exact = model.user_vectors(rows)
            with products.products_in(torch.bfloat16):
                rounded = model.user_vectors(rows)
        assert rounded.dtype == torch.float32
        assert 0 < (rounded - exact).norm() < 0.03 * exact.norm()

    @pytest.mark.parametrize("missing", ["image", "text", "both"])
    def test_works_without_a_modality(
        self, layer: Layer, fusion: str, readout: str, depth: int, missing: str
    ) -> None:
        codes = {m: c for m, c in some_codes().items() if missing not in (m, "both")}
        model = make(layer, fusion, readout, depth, codes)
        vectors = model.user_vectors(padded(histories()))
        assert vectors.shape == (6, WIDTH)
        assert vectors.isfinite().all()

    def test_an_item_without_any_code_is_fine(
        self, layer: Layer, fusion: str, readout: str, depth: int
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


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("scoring", SCORINGS)
def test_scores_are_those_of_item_vectors_written_out(scoring: str, fusion: str) -> None:
    config = Config(dataset="x", model=MmsrConfig(width=WIDTH, fusion=fusion, scoring=scoring))
    model = shaken(MMSR(config, N_ITEMS, some_codes())).eval()
    vectors = model.item_vectors().detach().double().numpy()
    for item in range(N_ITEMS):
        expected = model.tables.item[item].detach().double().numpy()
        for modality in model.tables.modalities if scoring == "item_and_codes" else ():
            codes = [c for c in model.tables.links(modality)[item].tolist() if c >= 0]
            table = model.tables.codes[modality].detach().double().numpy()
            expected = expected + (table[codes].mean(axis=0) if codes else 0)
        np.testing.assert_allclose(vectors[item], expected, atol=1e-5)
    some = torch.tensor([5, 0, 5, N_ITEMS - 1])
    torch.testing.assert_close(model.item_vectors(some), model.item_vectors()[some])
    assert model.n_items == N_ITEMS


def test_a_new_item_with_known_codes_is_scored_by_them() -> None:
    config = Config(dataset="x", model=MmsrConfig(width=WIDTH, scoring="item_and_codes"))
    codes = some_codes()
    codes["image"].links[7], codes["text"].links[7] = codes["image"].links[3], [1, 0, 2]
    codes["text"].links[3] = [1, 0, 2]
    model = MMSR(config, N_ITEMS, codes).eval()
    with torch.no_grad():
        model.tables.item[[3, 7]] = 0.0  # nobody has bought either
        scores = model.user_vectors(padded(histories())) @ model.item_vectors().T
    torch.testing.assert_close(scores[:, 3], scores[:, 7])
    assert scores[:, 3].abs().min() > 0


def test_bare_embeddings_can_be_turned_off() -> None:
    config = Config(
        dataset="x",
        model=MmsrConfig(width=WIDTH, position_embedding=False, type_embedding=False),
    )
    model = MMSR(config, N_ITEMS, some_codes()).eval()
    names = [name for name, _ in model.named_parameters()]
    assert not any("positions" in name or "types" in name for name in names)
    assert model.user_vectors(padded(histories())).shape == (6, WIDTH)


def test_code_embeddings_start_in_the_range_of_item_embeddings() -> None:
    for width in (2, 4, 16):
        model = MMSR(Config(dataset="x", model=MmsrConfig(width=width)), N_ITEMS, some_codes())
        for table in model.tables.codes.values():
            assert table.shape[1] == width
            assert table.abs().max().item() == pytest.approx(width**-0.5)


@pytest.mark.parametrize("name", [n for n, c in CONFIGS.items() if "dropout" in c.model_fields])
def test_attention_dropout_acts_in_training_alone(name: str) -> None:
    torch.manual_seed(0)
    links = [torch.from_numpy(codes.links) for codes in some_codes().values()]
    graph = build_batch_graph(padded(histories()), links)
    layer = make_aggregator(CONFIGS[name](dropout=0.5), 3, WIDTH)
    h = torch.randn(len(graph.real_BN), graph.real_BN.shape[1], WIDTH)
    assert not torch.equal(layer(graph, h, None), layer(graph, h, None))
    layer.eval()
    assert torch.equal(layer(graph, h, None), layer(graph, h, None))
