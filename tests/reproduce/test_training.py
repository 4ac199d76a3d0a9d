"""The trainers of tables: epochs chosen on validation, a refit, the same if interrupted."""

from __future__ import annotations

import math

import pytest
from safetensors.numpy import load_file

from mmsr.config import Config
from mmsr.reproduce.training import REFIT, train_and_keep_epochs, train_and_refit
from mmsr.training import read_checkpoint_state, train

SMALL = Config(dataset="shop").replace(
    {
        "graph.n_codes": 5,
        "model.width": 8,
        "training.epochs": 6,
        "training.patience": 1,
        "training.batch_size": 32,
        "training.learning_rate": 0.05,
        "training.averaging": 0.9,
        "training.threads": 1,
    }
)


def untimed(metrics):
    return {name: value for name, value in metrics.items() if "time/" not in name}


def weights(path):
    return {name: array.tolist() for name, array in load_file(path).items()}


def test_stage_1_is_a_trial_and_stage_2_a_refit_for_its_best_epoch(shop, tmp_path):
    stage1 = list(train(SMALL, shop))
    stage1[-1].save_checkpoint(tmp_path / "trial")
    best = stage1[-1].best_epoch
    refit = SMALL.replace({"training.epochs": best})
    *_, last = train(refit, shop, part="development")
    last.save_checkpoint(tmp_path / "refit")

    found = list(train_and_refit(SMALL, shop))
    assert [one.epoch for one in found] == list(range(1, len(stage1) + best + 1))
    assert [untimed(one.metrics) for one in found[: len(stage1)]] == [
        untimed(one.metrics) for one in stage1
    ]
    for one in found[len(stage1) :]:
        assert (one.best_epoch, one.best_metrics.keys()) == (best, stage1[-1].best_metrics.keys())
        assert one.metrics["valid/mrr@20"] == stage1[-1].best_metrics["valid/mrr@20"]
    assert [one.finished for one in found] == [False] * (len(found) - 1) + [True]


def test_progress_counts_on_and_tells_how_many_epochs_there_are(shop):
    seen = []
    found = list(train_and_refit(SMALL, shop, progress=seen.append))
    best = found[-1].best_epoch
    chosen = len(found) - best
    told = {there.epoch: there.epochs for there in seen}
    assert told == {epoch: math.inf if epoch <= chosen else len(found) for epoch in told}
    assert list(told) == list(range(1, len(found) + 1))


def test_a_checkpoint_holds_the_chosen_model_and_the_refit(shop, tmp_path):
    for result in train(SMALL, shop):
        if result.finished:
            result.save_checkpoint(tmp_path / "trial")
    best = read_checkpoint_state(tmp_path / "trial").best_epoch
    for result in train(SMALL.replace({"training.epochs": best}), shop, part="development"):
        if result.finished:
            result.save_checkpoint(tmp_path / "refit")
    for one in train_and_refit(SMALL, shop):
        if one.finished:
            one.save_checkpoint(tmp_path / "both")
    expected = weights(tmp_path / "trial" / "best.safetensors")
    assert weights(tmp_path / "both" / "best.safetensors") == expected
    assert read_checkpoint_state(tmp_path / "both").part == "train"
    assert weights(tmp_path / "both" / REFIT) == weights(tmp_path / "refit" / "best.safetensors")


@pytest.mark.parametrize("trainer", [train_and_refit, train_and_keep_epochs])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(shop, tmp_path, trainer):
    def files(folder):
        return {path.name: weights(path) for path in folder.glob("*.safetensors")}

    whole = []
    for one in trainer(SMALL, shop):
        whole.append(one)
        one.save_checkpoint(tmp_path / f"{one.epoch}")
    end = tmp_path / f"{len(whole)}"
    n_first = next(place for place, one in enumerate(whole) if "train/loss" not in one.metrics)
    for stopped in (1, n_first, n_first + 1, len(whole)):  # in, after stage 1; in, after stage 2
        rest = []
        for one in trainer(SMALL, shop, resume=tmp_path / f"{stopped}"):
            rest.append(one)
            if one.finished:
                one.save_checkpoint(tmp_path / f"after-{stopped}")
        assert [(one.epoch, untimed(one.metrics)) for one in rest] == [
            (one.epoch, untimed(one.metrics)) for one in whole[stopped:]
        ]
        if rest:
            assert files(tmp_path / f"after-{stopped}") == files(end)


def test_all_epochs_of_a_longer_refit_are_kept(shop, tmp_path):
    config = SMALL.replace({"training.patience": 2})
    for last in train_and_keep_epochs(config, shop):
        if last.finished:
            last.save_checkpoint(tmp_path / "kept")
    n_refit = last.best_epoch + 2
    names = [f"epoch-{epoch:05d}.safetensors" for epoch in range(1, n_refit + 1)]
    assert sorted(path.name for path in (tmp_path / "kept").glob("epoch-*")) == names
    refit = config.replace({"training.epochs": n_refit})
    for result in train(refit, shop, part="development"):
        result.save_checkpoint(tmp_path / "again")
        kept = weights(tmp_path / "kept" / names[result.epoch - 1])
        assert kept == weights(tmp_path / "again" / "best.safetensors")
