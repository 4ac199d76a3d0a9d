"""What every model holds to; the registry says which there are."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.config.models import MODELS, model_class, settings_class
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.evaluation import evaluate
from mmsr.evaluation.metrics import ranks_of
from mmsr.evaluation.robustness import rank_by_access, rank_without
from mmsr.graph.codes import ModalityCodes
from mmsr.models.base import (
    CausalRecommender,
    CollaborativeRecommender,
    Recommender,
    SequentialRecommender,
)
from mmsr.models.features import FeatureTables
from mmsr.models.inputs import Interactions, ItemFeatures
from mmsr.models.make import make_model
from mmsr.study.search.space import check_settings, check_space
from mmsr.training import load_best_model, train
from mmsr.training.cost import measure_cost
from mmsr.training.example import made_up_example
from mmsr.training.step import new_model, new_optimizer, train_step

from .variants import padded, some_codes

N_ITEMS, N_USERS = 30, 40
BASE = Config(dataset="shop").replace(
    {"graph.n_codes": 5, "graph.links_per_item": 2, "training.threads": 1}
)
COLLABORATIVE = [n for n in MODELS if issubclass(model_class(n), CollaborativeRecommender)]
SEQUENTIAL = [n for n in MODELS if issubclass(model_class(n), SequentialRecommender)]
every_model = pytest.mark.parametrize("name", MODELS)
every_sequential = pytest.mark.parametrize("name", SEQUENTIAL)
every_collaborative = pytest.mark.parametrize("name", COLLABORATIVE)


class Made:
    """Inputs in which some items lack a modality."""

    n_items = N_ITEMS

    @property
    def codes(self) -> dict[str, ModalityCodes]:
        return some_codes()

    @property
    def features(self) -> dict[str, ItemFeatures]:
        rng = np.random.default_rng(3)
        found = {}
        for name, width in (("image", 7), ("text", 4)):
            links = np.arange(N_ITEMS)[:, None]
            links[rng.choice(N_ITEMS, 6, replace=False)] = -1
            vectors = rng.standard_normal((N_ITEMS, width), dtype=np.float32)
            found[name] = ItemFeatures(vectors, links)
        return found

    @property
    def interactions(self) -> Interactions:
        rng = np.random.default_rng(7)
        n = 4 * N_USERS
        return Interactions(N_USERS, np.arange(n) % N_USERS, rng.integers(N_ITEMS, size=n))


def config_of(name: str) -> Config:
    config = BASE.replace({"model.name": name})
    return config.replace({"model.width": 16}) if "model.width" in config.flat() else config


def model_of(name: str) -> Recommender:
    return make_model(config_of(name), Made())


def histories() -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(N_ITEMS, size=n).tolist() for n in (1, 2, 3, 5, 8, 12)]


def test_every_model_reads_histories_or_users():
    assert sorted([*COLLABORATIVE, *SEQUENTIAL]) == sorted(MODELS)


@every_sequential
def test_company_order_and_padding_change_nothing(name):
    model, rows = model_of(name).eval(), histories()
    with torch.no_grad():
        together = model.user_vectors(padded(rows))
        backwards = model.user_vectors(padded(rows[::-1], extra=3)).flip(0)
        alone = torch.cat([model.user_vectors(padded([row])) for row in rows])
    assert together.isfinite().all()
    torch.testing.assert_close(together, backwards, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@every_collaborative
def test_users_are_alone_with_their_graph(name):
    model, users = model_of(name).eval(), torch.tensor([3, 0, 39, 3])
    with torch.no_grad():
        found = model.user_vectors(users)
        everyone = model.user_vectors(torch.arange(N_USERS))
        with model.prepared():
            prepared = model.user_vectors(users)
            assert torch.equal(model.item_vectors(), model_of(name).eval().item_vectors())
    assert everyone.isfinite().all()
    assert torch.equal(found, prepared)
    torch.testing.assert_close(found, everyone[users])


@every_collaborative
def test_nothing_after_the_part_is_in_the_graph(name, shop: Dataset):
    config = config_of(name)
    for part in ("train", "development"):
        users, items = shop.interactions(part)
        prefixes = shop.train() if part == "train" else shop.development()
        assert len(items) == len(prefixes) + len(np.unique(prefixes.users))
        graph = new_model(config, shop, part).graph
        readers, read = graph.ends_2E.numpy()
        forth = readers < read
        assert set(zip(readers[forth], read[forth] - shop.n_users, strict=True)) == set(
            zip(users, items, strict=True)
        )
        assert forth.sum() * 2 == len(forth)


@every_sequential
def test_no_position_sees_a_later_item(name):
    model = model_of(name).eval()
    if not isinstance(model, CausalRecommender):
        assert not hasattr(model, "sequence_vectors")
        return
    rows = padded(histories())
    with torch.no_grad():
        whole = model.sequence_vectors(rows)
        for length in range(1, rows.shape[1] + 1):
            longer = (rows >= 0).sum(dim=1) >= length
            prefixes = model.user_vectors(rows[longer, :length])
            torch.testing.assert_close(whole[longer, length - 1], prefixes, atol=1e-5, rtol=1e-4)
        changed = rows.clone()
        changed[:, 4:] = torch.where(rows[:, 4:] >= 0, (rows[:, 4:] + 7) % N_ITEMS, -1)
        torch.testing.assert_close(whole[:, :4], model.sequence_vectors(changed)[:, :4])


@every_model
def test_some_items_vectors_are_those_of_all(name):
    model, items = model_of(name).eval(), torch.tensor([4, 0, 29, 4])
    assert model.n_items == N_ITEMS
    with torch.no_grad():
        torch.testing.assert_close(model.item_vectors(items), model.item_vectors()[items])


@every_model
def test_gradients_reach_every_parameter(name):
    model, config = model_of(name).eval(), config_of(name)  # dropout would hide some
    rows = torch.tensor([[i % N_ITEMS for i in range(j, j + 12)] for j in range(0, 60, 3)])
    rows[:, 6:8] = rows[:, :2]  # repeats make steps in both directions
    rows[:, 5] = rows[:, 1]
    given = torch.arange(20) if name in COLLABORATIVE else rows
    users, targets = model.user_vectors(given), rows[:, 0]
    loss = torch.nn.functional.cross_entropy(users @ model.item_vectors().T, targets)
    more = model.auxiliary_loss(users, targets)
    (loss if more is None else loss + more).backward()
    for parameter_name, parameter in model.named_parameters():
        grad = parameter.grad
        assert grad is not None, parameter_name
        reached = grad.abs() > 0
        if parameter_name.endswith("positions"):  # only positions that occur
            reached = reached[:12]
        assert reached.any(), parameter_name
    assert config.model.name == name


_EASED = {"mmsr": {"model.readout": "attention"}}
"""The last node reads its neighbours alone, and softly no longer once its scores have grown."""


@every_model
def test_it_overfits(name):
    config = config_of(name).replace({**_EASED.get(name, {}), "model.width": 32})
    config = config.replace({"training.learning_rate": 0.005, "training.averaging": 0.0})
    dropouts = {key: 0.0 for key in config.flat() if "dropout" in key and key.startswith("model.")}
    config = config.replace(dropouts)
    torch.manual_seed(0)
    model = make_model(config, Made())
    rng = np.random.default_rng(5)
    rows = torch.from_numpy(np.stack([rng.permutation(N_ITEMS)[:6] for _ in range(32)]))
    assert len(rows.unique(dim=0)) == 32
    targets = torch.from_numpy(rng.integers(N_ITEMS, size=32))
    at_last = torch.full_like(rows, -1)
    at_last[:, -1] = targets
    optimizer = new_optimizer(config, model)
    model.train()
    given = torch.arange(32) if isinstance(model, CollaborativeRecommender) else rows
    wanted = at_last if isinstance(model, CausalRecommender) else targets
    for _ in range(300):
        train_step(model, optimizer, given, wanted, config)
    model.eval()
    with torch.no_grad():
        ranks = ranks_of(model.user_vectors(given) @ model.item_vectors().T, targets)
    assert (ranks == 1).mean() >= 0.95


@every_model
def test_it_learns_and_resumes_to_the_bit(name, shop: Dataset, tmp_path: Path):
    config = config_of(name).replace(
        {"training.epochs": 3, "training.batch_size": 32, "training.learning_rate": 0.01}
    )
    whole = list(train(config, shop))
    losses = [result.metrics["train/loss"] for result in whole]
    assert all(later < earlier for earlier, later in pairwise(losses))
    first = next(train(config, shop))
    first.save_checkpoint(tmp_path / "first")
    rest = list(train(config, shop, resume=tmp_path / "first"))
    assert [r.metrics["train/loss"] for r in rest] == losses[1:]
    again = rest[-1].model.state_dict()
    for key, tensor in whole[-1].model.state_dict().items():
        assert torch.equal(tensor, again[key]), key
    rest[-1].save_checkpoint(tmp_path / "last")
    best = load_best_model(tmp_path / "last", config, shop)
    assert best.state_dict().keys() == again.keys()


@every_model
def test_its_space_holds_its_authors_settings(name):
    settings = settings_class(name)
    base = BASE.replace({"model.name": name})
    check_space(settings.space(), base)
    assert settings.known_settings()
    for known in settings.known_settings():
        within = {key: value for key, value in known.items() if key in settings.space()}
        assert check_settings(settings.space(), base, within).model.name == name
        assert base.replace(known).model.name == name
    for key in settings.model_fields.keys() - {"name"}:
        own = (f"model.{key}", f"model.{key}.")
        varied = any(other == own[0] or other.startswith(own[1]) for other in settings.space())
        assert varied or f"model.{key}" in _NOT_VARIED[name], key


_NOT_VARIED = {
    "mmsr": {"model.position_embedding", "model.type_embedding", "model.cold_items"},
}
"""Knobs of ablations, and of one protocol."""


@every_model
def test_its_cost_is_that_of_its_parts(name):
    config = config_of(name).replace({"training.batch_size": 4})
    example = made_up_example(config, n_items=40, history=5)
    parts = measure_cost(example.model, example.given, example.targets, config)
    total = sum(p.numel() for p in example.model.parameters())
    assert sum(part.parameters for part in parts) == total
    assert sum(part.step for part in parts) > 0


def test_a_config_of_before_names_no_model():
    tree = BASE.to_dict()
    del tree["model"]["name"]
    assert Config.from_stored(tree) == BASE


def test_another_model_drops_the_settings_of_the_one_before():
    config = BASE.replace({"model.width": 24})
    other = next(name for name in MODELS if name != "mmsr")
    changed = config.replace({"model.name": other})
    assert changed.model == settings_class(other)()
    assert "model.aggregator.name" not in changed.flat()
    assert (
        changed.replace({"model.name": "mmsr", "model.aggregator.name": "gcn"}).flat()[
            "model.fusion"
        ]
        == "adaptive"
    )
    with pytest.raises(UserError, match=r"unknown config key 'model\.fusion'"):
        changed.replace({"model.fusion": "late"})
    assert Config.from_dict(changed.to_dict()) == changed


@pytest.mark.parametrize("name", ["sasrec", "nova"])
def test_operations_of_attention_do_not_depend_on_its_dropout(name):
    def operations(dropout):
        config = config_of(name).replace(
            {"training.batch_size": 4, "model.attention_dropout": dropout}
        )
        example = made_up_example(config, n_items=40, history=20)
        parts = measure_cost(example.model, example.given, example.targets, config)
        return [part.step for part in parts]

    assert operations(0.0) == operations(0.3)


def test_feature_vectors_are_not_copied():
    features = Made().features
    features["image"].vectors.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = FeatureTables(features)
    kept = tables.vectors_image
    assert kept.data_ptr() == features["image"].vectors.ctypes.data
    assert "vectors_image" not in tables.state_dict()


@pytest.mark.parametrize(("then", "now"), [(True, "read_masked"), (False, "kept")])
def test_what_masked_seen_items_before_does_so_still(then, now):
    tree = BASE.to_dict()
    del tree["training"]["seen"]
    tree["training"]["mask_seen"] = then
    assert Config.from_stored(tree) == BASE.replace({"training.seen": now})


@pytest.mark.parametrize("name", [n for n in MODELS if settings_class(n).modalities_as])
def test_modalities_go_missing_and_come_back(name, shop: Dataset):
    config, valid = config_of(name), shop.valid()
    model = new_model(config, shop)
    with torch.no_grad():  # drawn weights are so small that attention hardly reads anything
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    modalities, most = model.tables.modalities, config.graph.max_history
    clean = evaluate(model, valid, max_history=most)
    assert modalities == shop.modalities
    np.testing.assert_array_equal(
        rank_without(model, valid, config, modalities, 0.0, seed=1), clean
    )
    without = rank_without(model, valid, config, modalities, 1.0, seed=1)
    by_access = rank_by_access(model, valid, config, modalities, 1.0, seed=1)
    if name == "bm3":  # features act on its training alone
        np.testing.assert_array_equal(without, clean)
    else:
        assert (without != clean).any()
    if name in ("mmgcn", "mgat"):  # items are scored with their modalities
        assert (by_access != without).any()
        assert (by_access != clean).any()
    else:  # scores do not read modalities by default
        np.testing.assert_array_equal(by_access, without)
    np.testing.assert_array_equal(evaluate(model, valid, max_history=most), clean)
