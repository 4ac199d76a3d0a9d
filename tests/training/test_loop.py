"""The training loop: repeatable, resumable to the bit, and honest about what it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.evaluation import evaluate, ranking_metrics
from mmsr.training import (
    Progress,
    TrainingDiverged,
    load_best_model,
    read_checkpoint_state,
    train,
)
from mmsr.training.batching import bucketed_batches
from mmsr.training.losses.sampled import draw

SMALL = Config(dataset="shop").replace(
    {
        "graph.n_codes": 5,
        "graph.links_per_item": 2,
        "model.width": 16,
        "training.epochs": 4,
        "training.batch_size": 32,
        "training.learning_rate": 0.01,
        "training.threads": 1,
    }
)


def numbers(results: list) -> list[dict[str, float]]:
    return [{k: v for k, v in r.metrics.items() if not k.startswith("time/")} for r in results]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_two_runs_are_equal_to_the_bit(shop: Dataset) -> None:
    first, second = list(train(SMALL, shop)), list(train(SMALL, shop))
    assert [r.epoch for r in first] == [1, 2, 3, 4]
    assert numbers(first) == numbers(second)
    for name, tensor in first[-1].model.state_dict().items():
        assert torch.equal(tensor, second[-1].model.state_dict()[name]), name


def test_another_seed_is_another_run(shop: Dataset) -> None:
    other = SMALL.replace({"seed": 1})
    assert numbers(list(train(SMALL, shop))) != numbers(list(train(other, shop)))


def test_it_learns(shop: Dataset) -> None:
    losses = [r.metrics["train/loss"] for r in train(SMALL, shop)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_resuming_changes_nothing(shop: Dataset, tmp_path: Path, stop_after: int) -> None:
    whole = list(train(SMALL, shop))
    first_part = []
    for result in train(SMALL, shop):
        first_part.append(result)
        if result.epoch == stop_after:
            result.save_checkpoint(tmp_path / "checkpoint")
            break
    torch.manual_seed(999)  # whatever ran in between must not matter
    second_part = list(train(SMALL, shop, resume=tmp_path / "checkpoint"))
    assert [r.epoch for r in second_part] == list(range(stop_after + 1, 5))
    assert numbers(first_part + second_part) == numbers(whole)
    assert second_part[-1].best_epoch == whole[-1].best_epoch
    for name, tensor in whole[-1].model.state_dict().items():
        assert torch.equal(tensor, second_part[-1].model.state_dict()[name]), name


def test_random_numbers_drawn_between_epochs_change_nothing(shop: Dataset) -> None:
    disturbed = []
    for result in train(SMALL, shop):
        disturbed.append(result)
        torch.rand(17)
        np.random.default_rng().random()
    assert numbers(disturbed) == numbers(list(train(SMALL, shop)))


def test_a_finished_run_yields_nothing_more(shop: Dataset, tmp_path: Path) -> None:
    for result in train(SMALL, shop):
        last = result
    last.save_checkpoint(tmp_path / "done")
    assert read_checkpoint_state(tmp_path / "done").finished
    assert list(train(SMALL, shop, resume=tmp_path / "done")) == []


def test_the_best_model_is_kept(shop: Dataset, tmp_path: Path) -> None:
    config = SMALL.replace({"training.learning_rate": 0.2, "training.epochs": 6})
    for result in train(config, shop):
        result.save_checkpoint(tmp_path / "run")
    state = read_checkpoint_state(tmp_path / "run")
    model = load_best_model(tmp_path / "run", config, shop)
    metrics = ranking_metrics(evaluate(model, shop.valid(), max_history=50))
    assert state.best_epoch == result.best_epoch
    for name, value in metrics.items():
        assert state.best_metrics[f"valid/{name}"] == pytest.approx(value)
    scores = {r.epoch: r.metrics["valid/mrr@20"] for r in train(config, shop)}
    assert scores[state.best_epoch] == max(scores.values())


def test_patience_ends_a_run(shop: Dataset) -> None:
    config = SMALL.replace({"training.epochs": 50, "training.patience": 2})
    results = list(train(config, shop))
    last = results[-1]
    assert last.finished
    assert [r.finished for r in results[:-1]] == [False] * (len(results) - 1)
    assert last.epoch == 50 or last.epoch - last.best_epoch == 2
    assert last.epoch < 50


def test_development_part_takes_validation_in_and_has_no_validation(shop: Dataset) -> None:
    config = SMALL.replace({"training.epochs": 2})
    seen = []
    results = list(train(config, shop, part="development", progress=seen.append))
    assert [r.epoch for r in results] == [1, 2]
    assert not any(name.startswith("valid/") for r in results for name in r.metrics)
    n_batches = -(-len(shop.development()) // config.training.batch_size)
    assert seen[0] == Progress(1, "train", 0, n_batches)
    assert seen[-1] == Progress(2, "train", n_batches, n_batches, results[-1].metrics["train/loss"])
    assert len(shop.development()) == len(shop.train()) + len(shop.valid())


def test_training_never_needs_the_test_file(shop: Dataset) -> None:
    expected = numbers(list(train(SMALL, shop)))
    held_out = shop.path.parent.parent / "held-out"
    away = held_out.rename(held_out.with_name("away"))
    try:
        assert numbers(list(train(SMALL, Dataset.open("shop")))) == expected
    finally:
        away.rename(held_out)


def test_a_checkpoint_of_another_run_is_refused(shop: Dataset, tmp_path: Path) -> None:
    next(train(SMALL, shop)).save_checkpoint(tmp_path / "run")
    other = SMALL.replace({"model.dropout": 0.1})
    with pytest.raises(UserError, match=r"made with model.dropout=0.4, not 0.1"):
        next(train(other, shop, resume=tmp_path / "run"))
    with pytest.raises(UserError, match="no checkpoint in"):
        next(train(SMALL, shop, resume=tmp_path / "nowhere"))
    (tmp_path / "run" / "state.json").write_text('{"epoch": 1')
    with pytest.raises(UserError, match="is damaged"):
        next(train(SMALL, shop, resume=tmp_path / "run"))


def test_a_damaged_weight_file_is_a_clear_error(shop: Dataset, tmp_path: Path) -> None:
    next(train(SMALL, shop)).save_checkpoint(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"model.safetensors.* cannot be read"):
        next(train(SMALL, shop, resume=tmp_path / "run"))


def test_an_old_result_cannot_save(shop: Dataset, tmp_path: Path) -> None:
    run = train(SMALL, shop)
    old = next(run)
    next(run)
    with pytest.raises(RuntimeError, match="epoch 1 is over"):
        old.save_checkpoint(tmp_path / "run")


def test_divergence_is_told(shop: Dataset) -> None:
    with pytest.raises(TrainingDiverged, match=r"lower training.learning_rate"):
        list(train(SMALL.replace({"training.learning_rate": 1e30}), shop))


def test_an_unknown_device_is_refused(shop: Dataset) -> None:
    for device in ("cuda:93", "gpu", "meta:x"):
        with pytest.raises(UserError, match="cannot be used here"):
            next(train(SMALL, shop, device=device))


def test_bf16_learns_the_same_thing(shop: Dataset) -> None:
    full = list(train(SMALL, shop))[-1].metrics["train/loss"]
    half = list(train(SMALL.replace({"training.bf16": True}), shop))[-1].metrics["train/loss"]
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("sampled_softmax", {"sampling": "uniform"}),
        ("sampled_softmax", {"sampling": "popularity", "shared": False}),
        ("bce", {"shared": True}),
        ("gbce", {"shared": False}),
        ("bpr", {}),
    ],
)
def test_other_losses_learn_and_resume_to_the_bit(
    shop: Dataset, tmp_path: Path, name: str, knobs: dict[str, Any]
) -> None:
    knobs = {"name": name, "negatives": 20, **knobs}
    config = SMALL.replace({f"training.loss.{key}": value for key, value in knobs.items()})
    whole = list(train(config, shop))
    assert whole[-1].metrics["train/loss"] < whole[0].metrics["train/loss"]
    first = next(train(config, shop))
    first.save_checkpoint(tmp_path / "first")
    rest = list(train(config, shop, resume=tmp_path / "first"))
    assert numbers(rest) == numbers(whole[1:])


def test_negatives_are_drawn_by_how_often_items_are_training_targets(shop: Dataset) -> None:
    config = SMALL.replace(
        {"training.loss.name": "sampled_softmax", "training.loss.sampling": "popularity"}
    )
    with patch("mmsr.training.losses.make.draw", side_effect=draw) as drawn:
        next(train(config, shop))
    targets = shop.train().target_items()
    popularity = drawn.call_args.args[2].diff(prepend=torch.zeros(1))
    assert popularity.tolist() == [int((targets == item).sum()) for item in range(shop.n_items)]


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_other_fusions_train_too(shop: Dataset, fusion: str) -> None:
    losses = [r.metrics["train/loss"] for r in train(SMALL.replace({"model.fusion": fusion}), shop)]
    assert losses[-1] < losses[0]


def test_batches_hold_each_example_once_and_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 500)
    batches = bucketed_batches(lengths, 32, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert sorted(map(len, batches)) == [500 % 32] + [32] * (500 // 32)
    spans = [np.ptp(lengths[batch]) for batch in batches]
    assert max(spans) <= 3
    again = bucketed_batches(lengths, 32, np.random.default_rng(2))
    assert [set(b) for b in again] != [set(b) for b in batches]
