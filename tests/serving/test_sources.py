"""Which model `mmsr.load` takes of a study, a checkpoint or another folder."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import mmsr
from mmsr.config import Config
from mmsr.data import Dataset, ImportSettings, Sources, prepare
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.finalize.collect import collect, runs_of
from mmsr.finalize.request import DEVELOPMENT, TRAIN, make_final_plan
from mmsr.serving import sources
from mmsr.serving.recommender import Recommender
from mmsr.study.driver.ledger import Ledger
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.results.finalized import FinalRecord
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.lineage import trial_folder
from mmsr.study.storage.progress import add_missing
from mmsr.study.storage.trials import rows
from mmsr.study.workers.messages import Report
from mmsr.training import checkpoint, read_checkpoint_state, train

SMALL = Config(dataset="shop").replace(
    {"graph.n_codes": 5, "model.width": 8, "training.epochs": 1, "training.batch_size": 64}
)


def run_trial(ledger: Ledger, plan: Any, config: Config, part: Any = "train") -> None:
    """Train a trial that has been asked for, and report and store it as a worker does."""
    number = int(ledger.ask("a").number)
    (result,) = train(config, plan.dataset, part=part)
    folder = trial_folder(plan.folder.ray, number) / "checkpoint_000000"
    result.save_checkpoint(folder)
    metrics = {plan.objective: 0.1 + number / 100, **result.metrics, "train/done": 1.0}
    report = Report(epoch=1, metrics=metrics, best_epoch=1, best_metrics=metrics, finished=True)
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    kept = report.model_copy(update={"files": files})
    (folder / "report.json").write_text(kept.model_dump_json())
    ledger.report("a", report)


def same_scores(recommender: Recommender, folder: Path) -> bool:
    other = sources.of_checkpoint(folder)
    return np.array_equal(recommender.item_vectors(), other.item_vectors())


def test_a_checkpoint(shop: Dataset, tmp_path: Path):
    for part in ("train", "development"):
        (result,) = train(SMALL, shop, part=part)
        result.save_checkpoint(tmp_path / part)
        recommender = mmsr.load(tmp_path / part)
        with torch.no_grad():
            expected = result.model.eval().item_vectors().numpy()
        assert np.array_equal(recommender.item_vectors(), expected)
        which = {"train": "the training part", "development": "train + validation"}[part]
        assert recommender.origin == f"epoch 1 of checkpoint {tmp_path / part}, trained on {which}"
        _, items = shop.interactions(part)
        assert recommender.catalogue.counts.sum() == len(items)
    assert openings(shop) == (), "test stays closed"
    with pytest.raises(UserError, match="trial is for studies"):
        mmsr.load(tmp_path / "train", trial=1)
    with pytest.raises(UserError, match="cuda:77' cannot be used here"):
        mmsr.load(tmp_path / "train", device="cuda:77")
    (tmp_path / "train" / "best.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"best\.safetensors.*cannot be read"):
        mmsr.load(tmp_path / "train")


@pytest.mark.parametrize("change", ["its next epoch", "another training"])
def test_a_checkpoint_that_is_replaced_while_it_is_read(
    change: str, shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, run = tmp_path / "run", train(SMALL.replace({"training.epochs": 2}), shop)
    next(run).save_checkpoint(folder)
    if change == "another training":  # as long, and of the same shapes
        run = train(SMALL.replace({"training.epochs": 2, "seed": 7}), shop)
    load, states = sources.load_best_model, []

    def late(*given: Any) -> Any:
        if not states:
            next(run).save_checkpoint(folder)
        states.append(read_checkpoint_state(folder))
        return load(*given)

    monkeypatch.setattr(sources, "load_best_model", late)
    recommender = mmsr.load(folder)
    assert len(states) == 2
    assert recommender.facts is not None
    assert recommender.facts.epoch == states[1].best_epoch
    assert recommender.config.to_dict() == states[1].config


@pytest.mark.parametrize("missed", ["state", "weights"])
def test_a_checkpoint_that_is_read_between_the_two_renames(
    missed: str, shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, aside, missing = tmp_path / "run", tmp_path / ".run.old-checkpoint", []
    (result,) = train(SMALL, shop)
    result.save_checkpoint(folder)
    name = {"state": "read_checkpoint_state", "weights": "load_model"}[missed]
    own = getattr(checkpoint, name)

    def late(*given: Any) -> Any:
        if not missing:
            missing.append(folder.rename(aside))
        return own(*given)

    monkeypatch.setattr(checkpoint, name, late)
    assert mmsr.load(folder).facts is not None
    assert missing == [aside]
    folder.rename(aside)  # as a killed writer leaves it
    assert mmsr.load(folder).facts is not None


def test_a_checkpoint_that_is_saved_faster_than_it_is_read(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (result,) = train(SMALL, shop)
    result.save_checkpoint(tmp_path / "run")
    state, epochs = read_checkpoint_state(tmp_path / "run"), count(1)
    monkeypatch.setattr(
        checkpoint,
        "read_checkpoint_state",
        lambda folder: state.model_copy(update={"epoch": next(epochs)}),
    )
    with pytest.raises(UserError, match="saved faster than it can be read"):
        mmsr.load(tmp_path / "run")


def test_a_loaded_model_outlives_what_it_was_loaded_from(study_home: Path, tmp_path: Path):
    (result,) = train(SMALL, Dataset.open("shop"))
    result.save_checkpoint(tmp_path / "run")
    before, after = mmsr.load(tmp_path / "run"), mmsr.load(tmp_path / "run")
    expected = before.recommend([["i1", "i2"]]), before.recommend_users(), before.item_vectors()
    explained = before.explain(["i1", "i2"])
    for gone in (tmp_path / "run", study_home / "datasets", study_home / "cache"):
        shutil.rmtree(gone, ignore_errors=True)
    assert after.recommend([["i1", "i2"]]).equals(expected[0])
    assert after.recommend_users().equals(expected[1])
    assert np.array_equal(after.item_vectors(), expected[2])
    assert after.explain(["i1", "i2"]).items == explained.items


def test_data_that_have_changed(shop: Dataset, tmp_path: Path):
    (result,) = train(SMALL, shop)
    result.save_checkpoint(tmp_path / "run")
    state = tmp_path / "run" / "state.json"
    state.write_text(state.read_text().replace(shop.content_hash, "0" * 64))
    with pytest.raises(UserError, match="trained on other data than 'shop' holds now"):
        mmsr.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "unknown study 'nothing'"),
        ("some/where", "'some/where' holds no model: name a study"),
        ("c.yaml", "'c.yaml' is a config, and has no weights"),
        ("empty", "unknown study 'empty'"),
        ("", "holds no model"),
        ("x" * 300, "File name too long"),
        ("a/\0", "cannot be read"),
    ],
)
def test_other_things(given: str, message: str, home: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(SMALL.to_yaml())
    Path("empty").mkdir()
    with pytest.raises(UserError, match=message):
        mmsr.load(given)


def test_a_study_gives_its_best_trial_and_then_the_refit_of_the_winner(
    small_study: Any, study_home: Path, opened_study: Any, monkeypatch: pytest.MonkeyPatch
):
    plan = make_plan(small_study, Options(name="small", trials=2))
    ledger = Ledger(opened_study(plan, command="python small.py"), plan.rules(), plan.folder.ray)
    for seed in (1, 2):
        run_trial(ledger, plan, SMALL.replace({"seed": seed}))
    folders = [trial_folder(plan.folder.ray, n) / "checkpoint_000000" for n in (0, 1)]
    best = mmsr.load("small")
    assert best.origin == "best trial 1 of study small, trained on the training part"
    assert same_scores(best, folders[1])
    other = mmsr.load("small", trial=0)
    assert other.origin == "trial 0 of study small, trained on the training part"
    assert same_scores(other, folders[0])
    assert not same_scores(other, folders[1])
    with pytest.raises(UserError, match="study 'small' has no refit: make it with"):
        mmsr.load("small", refit=True)
    with pytest.raises(UserError, match="--trial 7"):
        mmsr.load("small", trial=7)

    known = look_up("small")
    finals = make_final_plan(known, top=1, n_seeds=2)
    study = opened_study(finals)
    add_missing(study, finals.only)
    ledger = Ledger(study, finals.rules(), finals.folder.ray)
    (finals.folder.path / "tested").mkdir(parents=True)
    for number, settings in enumerate(finals.only or ()):
        part = settings["part"]
        config = SMALL.replace({"seed": settings["seed"]})
        run_trial(ledger, finals, config, part if part == DEVELOPMENT else TRAIN)
        ranks = {"ranks": np.arange(1, 6, dtype=np.int32), "users": np.arange(5, dtype=np.int32)}
        save_file(ranks, finals.folder.path / "tested" / f"trial-{number:05d}.safetensors")
    result = collect(finals, runs_of(finals, rows(study)))
    known.folder.write("finalized.json", FinalRecord(result=result).model_dump_json())
    runs = {one.seed: one.trial for one in result.best.seeds}
    refits = {
        seed: trial_folder(finals.folder.ray, number) / "checkpoint_000000"
        for seed, number in runs.items()
    }
    first, second = refits
    refit = mmsr.load("small")
    assert refit.origin == (
        f"refit of trial 1 of study small on train + validation, with seed {first}, one of 2 refits"
    )
    assert same_scores(refit, refits[first])
    assert same_scores(mmsr.load("small", seed=second), refits[second])
    assert same_scores(mmsr.load("small", trial=1, refit=True), refits[first])
    assert same_scores(mmsr.load("small", trial=1), folders[1])
    assert same_scores(mmsr.load("small", refit=False), folders[1])
    with pytest.raises(UserError, match="seed 5: trial 1 of study 'small' has no refit with it"):
        mmsr.load("small", seed=5)
    with pytest.raises(UserError, match="seed 5 is that of a refit"):
        mmsr.load("small", seed=5, refit=False)
    for options in ({}, {"seed": 5}, {"refit": True}):
        with pytest.raises(UserError, match="--model nova: the study has one model"):
            mmsr.load("small", model="nova", **options)
    several = look_up("small")
    models = ("mmsr", "nova")
    object.__setattr__(
        several, "definition", several.definition.model_copy(update={"models": models})
    )
    assert sources.of_study(several, model="mmsr").origin == refit.origin
    for options in ({"seed": 5}, {"refit": True}):
        with pytest.raises(UserError, match="has no refit of model nova"):
            sources.of_study(several, model="nova", **options)
    with pytest.raises(UserError, match="unknown model of the study 'novo'"):
        sources.of_study(several, model="novo", refit=True)
    with pytest.raises(UserError, match="has no refit of trial 0"):
        mmsr.load("small", trial=0, refit=True)

    def late(*given: Any) -> Path:
        known.folder.path.rename(known.folder.path.with_name(".small.removed-0123abcd"))
        return checkpoint_of(*given)

    checkpoint_of = sources.checkpoint_of
    monkeypatch.setattr(sources, "checkpoint_of", late)
    with pytest.raises(UserError, match="unknown study 'small'"):
        mmsr.load("small", refit=False)


def test_new_items_with_codes(home: Path, tmp_path: Path):
    """Everybody buys `new` last, in test: its code is that of `i0`, whose image it shares."""
    lines = [f"u{u},i{(u * 5 + t * t) % 12},{t}" for u in range(30) for t in range(8)]
    lines += [f"u{u},new,9" for u in range(30)]
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    images = tmp_path / "image.jsonl"
    vectors = {f"i{i}": [float(i % 3), float(i % 2)] for i in range(12)} | {"new": [0.0, 0.0]}
    images.write_text(
        "\n".join(f'{{"item_id": "{item}", "vector": {v}}}' for item, v in vectors.items())
    )
    settings = ImportSettings(protocol="leave-one-out", core=2)
    prepare("cold", Sources(interactions=table, features={"image": images}), settings)
    config = SMALL.replace(
        {
            "dataset": "cold",
            "graph.n_codes": 6,
            "graph.fitted_on": "all",
            "model.scoring": "item_and_codes",
            "model.cold_items": "codes",
        }
    )
    (result,) = train(config, Dataset.open("cold"))
    result.save_checkpoint(tmp_path / "run")
    recommender = mmsr.load(tmp_path / "run")
    assert recommender.catalogue.n_new == 1
    new, twin = recommender.catalogue.find(["new", "i0"])
    tables = recommender.model.tables
    assert torch.equal(tables.links("image")[new], tables.links("image")[twin])
    code = tables.codes["image"][tables.links("image")[new]].mean(dim=0).detach().numpy()
    np.testing.assert_allclose(recommender.item_vectors()[new], code, atol=1e-6)
    assert "new" in set(recommender.recommend([["i1"]], top=13).item_id)
    assert "new" not in set(recommender.recommend([["i1"]], top=13, new="masked").item_id)
    assert len(recommender.recommend([["new"], ["i1", "new"]], top=3)) == 6, "it can be read, too"
