"""What a batch costs: the parts add up to the whole, which torch counts by itself."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from mmsr.config import Config
from mmsr.graph.codes import modality_codes
from mmsr.models.mmsr.model import FUSIONS, MMSR
from mmsr.models.mmsr.registry import AGGREGATORS, READOUTS
from mmsr.training.cost import measure_cost
from mmsr.training.example import example_of, made_up_example
from mmsr.training.step import new_optimizer, train_step

SMALL = Config(dataset="none").replace(
    {
        "model.width": 16,
        "graph.n_codes": 6,
        "graph.links_per_item": 2,
        "graph.reduced_width": 8,
        "training.batch_size": 12,
    }
)
SETTINGS = [
    {},
    {"model.layers": 3, "model.aggregator.share_qkv": False},
    {"model.position_embedding": False, "model.type_embedding": False},
    {"graph.modalities": []},
    {"training.bf16": True},
    *({"model.aggregator.name": name} for name in AGGREGATORS),
    *({"model.readout": name, "model.layers": 2} for name in READOUTS),
    *({"model.fusion": name} for name in FUSIONS),
]


def cost_of(config):
    example = made_up_example(config, n_items=40, history=5)
    return measure_cost(example.model, example.given, example.targets, config)


def kept_by(model, step):
    """Bytes of the distinct storages that autograd saves during a step, parameters excepted."""
    storages = {}

    def save(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        step()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    return sum(size for place, size in storages.items() if place not in own)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_parts_add_up_to_the_whole(settings):
    config = SMALL.replace(settings)
    parts = cost_of(config)
    example = made_up_example(config, n_items=40, history=5)
    model, batch = example.model, (example.given, example.targets)
    assert len({part.name for part in parts}) == len(parts)
    assert sum(part.parameters for part in parts) == sum(p.numel() for p in model.parameters())

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()
        _ = model.user_vectors(batch[0]) @ model.item_vectors().T
    assert sum(part.forward for part in parts) == counter.get_total_flops()

    model.train()
    optimizer = new_optimizer(config, model)
    with FlopCounterMode(display=False) as counter:
        train_step(model, optimizer, *batch, config)
    assert sum(part.step for part in parts) == counter.get_total_flops()

    again = made_up_example(config, n_items=40, history=5)
    again.model.train()
    optimizer = new_optimizer(config, again.model)
    batch = (again.given, again.targets)
    kept = kept_by(again.model, lambda: train_step(again.model, optimizer, *batch, config))
    inputs = sum(t.untyped_storage().nbytes() for t in batch)
    found = sum(part.kept_bytes for part in parts)
    assert kept - inputs <= found <= kept


def test_operations_stand_where_they_are_done():
    parts = {part.name: part for part in cost_of(SMALL)}
    D, B, items = 16, 12, 40
    assert parts["output layer and loss"].forward == 2 * B * items * D
    assert parts["output layer and loss"].step == 3 * parts["output layer and loss"].forward
    # Two maps of the queries, one node each: Linear(2D, D) and Linear(D, 2).
    assert parts["layer 1 combine gate"].forward == 2 * B * (2 * D * D + 2 * D)
    assert parts["layer 1 combine gate"].step == 3 * parts["layer 1 combine gate"].forward
    assert parts["layer 1 combine gate"].parameters == 2 * D * D + D + 2 * D + 2
    assert parts["embeddings"].parameters == (items + 6 + 6) * D
    assert parts["readout"].step == 0


def test_every_layer_and_channel_has_a_part():
    deep = [part.name for part in cost_of(SMALL.replace({"model.layers": 3}))]
    assert [name for name in deep if name.removeprefix("layer ").isdigit()] == [
        "layer 1",
        "layer 2",
        "layer 3",
    ]
    late = [part.name for part in cost_of(SMALL.replace({"model.fusion": "late"}))]
    for kind in ("item", "image", "text"):
        assert {f"{kind}: node input", f"{kind}: layer 1", f"{kind}: readout"} <= set(late)
    assert "fusion join" in late


def test_cost_grows_as_the_batch_does():
    small, large = cost_of(SMALL), cost_of(SMALL.replace({"training.batch_size": 24}))
    by_name = {part.name: part for part in large}
    for part in small:
        assert by_name[part.name].parameters == part.parameters
    output = small[-1]
    assert by_name[output.name].forward == 2 * output.forward


def test_the_model_works_as_before_afterwards():
    example = made_up_example(SMALL, n_items=40, history=5)
    methods = set(vars(example.model.tables)), set(vars(example.model.fusion.sequence.input))
    measure_cost(example.model, example.given, example.targets, SMALL)
    now = set(vars(example.model.tables)), set(vars(example.model.fusion.sequence.input))
    assert now == methods
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in example.model.modules())


def test_a_batch_of_a_data_set_has_the_histories_asked_for(shop):
    config = SMALL.replace({"graph.n_codes": 5})
    example = example_of(shop, config, history=4)
    lengths = (example.given >= 0).sum(dim=1)
    assert lengths.tolist() == [4] * 12
    assert example.history == 4.0
    assert isinstance(example.model, MMSR)
    codes = modality_codes(shop, config.graph)
    assert torch.equal(example.model.tables.links("text"), torch.from_numpy(codes["text"].links))
    median = example_of(shop, config, history=None)
    assert abs(median.history - float(torch.tensor(shop.train().lengths(50)).float().median())) <= 1
