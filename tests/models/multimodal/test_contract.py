"""What all models of feature vectors hold to; the registry says which there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.config.models import MODELS, settings_class
from mmsr.data import Dataset
from mmsr.models.inputs import DatasetInputs
from mmsr.models.make import make_model
from mmsr.training.step import new_optimizer, train_step

from .common import MAX_HISTORY, N_ITEMS, Inputs, config_of, histories, make, padded

NAMES = [name for name, path in MODELS.items() if path.startswith("mmsr.models.multimodal.")]
each_model = pytest.mark.parametrize("name", NAMES)
with_and_without = pytest.mark.parametrize("inputs", [Inputs(), Inputs({})], ids=["all", "none"])


@each_model
@with_and_without
def test_company_order_and_padding_change_nothing(name: str, inputs: Inputs) -> None:
    model, rows = make(name, inputs), histories()
    short = rows[:3]
    with torch.no_grad():
        together = model.user_vectors(padded(rows))
        backwards = model.user_vectors(padded(rows[::-1])).flip(0)
        longer = model.user_vectors(padded(short, extra=4))
        alone = torch.cat([model.user_vectors(padded([row])) for row in rows])
    assert model.sequence_vectors(padded(rows)).isfinite().all()
    torch.testing.assert_close(together, backwards, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[:3], longer, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@each_model
@with_and_without
def test_no_later_item_changes_a_vector(name: str, inputs: Inputs) -> None:
    model = make(name, inputs)
    row = torch.arange(MAX_HISTORY)
    with torch.no_grad():
        whole = model.sequence_vectors(row[None])[0]
        for place in range(MAX_HISTORY):
            other = row.clone()
            other[place + 1 :] += MAX_HISTORY
            changed = model.sequence_vectors(other[None])[0]
            prefix = model.user_vectors(row[None, : place + 1])[0]
            torch.testing.assert_close(changed[: place + 1], whole[: place + 1])
            torch.testing.assert_close(prefix, whole[place], atol=1e-5, rtol=1e-4)
            assert not torch.allclose(changed[place + 1 :], whole[place + 1 :]) or (
                place == MAX_HISTORY - 1
            )


@each_model
def test_features_are_read_and_can_be_lost(name: str) -> None:
    model, rows = make(name), padded(histories())
    with torch.no_grad():
        before = model.user_vectors(rows)
        with model.tables.losing(lambda modality, x: torch.ones_like(x, dtype=torch.bool)):
            lost = model.user_vectors(rows)
        bare = {m: torch.full_like(model.tables.links(m), -1) for m in model.tables.modalities}
        with model.tables.relinked(bare):
            relinked = model.user_vectors(rows)
        again = model.user_vectors(rows)
    torch.testing.assert_close(lost, relinked)
    assert torch.equal(before, again)
    assert not torch.allclose(before[3], lost[3], atol=1e-3)


@each_model
@with_and_without
def test_gradients_reach_every_parameter_from_the_first_step(name: str, inputs: Inputs) -> None:
    model = make_model(config_of(name), inputs).eval()  # dropout would hide some
    rows = torch.tensor([[(i * j) % N_ITEMS for i in range(j, j + 11)] for j in range(1, 20)])
    users, targets = model.sequence_vectors(rows).flatten(0, 1), rows.roll(1, 0).flatten()
    loss = torch.nn.functional.cross_entropy(users @ model.item_vectors().T, targets)
    if (more := model.auxiliary_loss(users, targets)) is not None:
        loss = loss + more
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@each_model
@with_and_without
def test_it_learns_histories_by_heart(name: str, inputs: Inputs) -> None:
    knobs = dict.fromkeys(("dropout", "attention_dropout"), 0.0)
    known = settings_class(name).model_fields
    config = config_of(name, **{key: value for key, value in knobs.items() if key in known})
    config = config.replace({"training.learning_rate": 1e-3})
    model = make_model(config, inputs)
    optimizer = new_optimizer(config, model)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.integers(0, N_ITEMS, (32, 6)))
    targets = torch.full_like(rows, -1)
    targets[:, -1] = torch.from_numpy(rng.integers(0, N_ITEMS, 32))
    share = 0.0
    for _ in range(12):
        for _ in range(10):
            train_step(model, optimizer, rows, targets, config)
        with torch.no_grad():
            best = (model.user_vectors(rows) @ model.item_vectors().T).argmax(dim=1)
        share = (best == targets[:, -1]).float().mean().item()
        if share >= 0.95:
            return
    pytest.fail(f"{share:.0%} after 120 steps")


@each_model
def test_dropout_acts_in_training_alone(name: str) -> None:
    model, rows = make(name), padded(histories())
    assert torch.equal(model.user_vectors(rows), model.user_vectors(rows))
    model.train()
    assert not torch.equal(model.user_vectors(rows), model.user_vectors(rows))


@each_model
def test_item_vectors_are_the_item_embeddings(name: str) -> None:
    model, some = make(name), torch.tensor([5, 0, 5, N_ITEMS - 1])
    assert model.n_items == N_ITEMS
    assert torch.equal(model.item_vectors(), model.item.weight)
    assert torch.equal(model.item_vectors(some), model.item_vectors()[some])


@each_model
def test_known_settings_lie_within_the_space(name: str) -> None:
    settings = settings_class(name)
    space = settings.space()
    assert all(dimension.problem() is None for dimension in space.values())
    assert len(settings.known_settings()) >= 1
    for known in settings.known_settings():
        assert known.keys() == {
            key
            for key, dimension in space.items()
            if all(known.get(k) == v for k, v in dimension.when.items())
        }
        assert all(space[key].contains(value) for key, value in known.items())
        config_of(name).replace(known)


@each_model
def test_features_are_no_part_of_checkpoints(name: str) -> None:
    assert not any(".vectors_" in key for key in make(name).state_dict())


@each_model
def test_it_trains_on_a_data_set_while_modalities_are_missing(name: str, shop: Dataset) -> None:
    config = Config.from_dict({"dataset": "shop", "model": {"name": name}}).replace(
        {
            "graph.missing.rate": 0.2,
            "training.learning_rate": 1e-3,
            "training.modality_dropout.rate": 0.3,
            "training.bf16": True,
        }
    )
    model = make_model(config, DatasetInputs(shop, config.graph))
    assert model.tables.modalities == ("image", "text")
    optimizer = new_optimizer(config, model)
    rng = np.random.default_rng(0)
    rows = padded([rng.integers(0, shop.n_items, length).tolist() for length in range(2, 34)])
    targets = rows.roll(-1, 1)
    targets[:, -1] = -1
    losses = [train_step(model, optimizer, rows, targets, config).item() for _ in range(15)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
