"""A model from outside of mmsr, as `studies/own_model.py` has one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import optuna
import pytest
import torch
from pydantic import ValidationError

from mmsr.config import Config, ModelConfig, plugins
from mmsr.config import models as registry
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.models.base import CausalRecommender
from mmsr.models.features import FeatureTables
from mmsr.models.make import make_model
from mmsr.study import Choice, Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.search.space import apply, check_space, extreme_graphs, propose
from mmsr.training import load_best_model, train

from .test_models import Made, histories
from .variants import padded

ROOT = Path(__file__).resolve().parents[2]
NAME = "own_model:Markov"


@pytest.fixture
def own_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "studies")
    yield importlib.import_module("own_model")
    registry.model_class.cache_clear()


def test_the_page_shows_the_file():
    shown = (ROOT / "docs" / "models.md").read_text()
    assert (ROOT / "studies" / "own_model.py").read_text().strip() in shown


def test_its_knobs_are_keys_of_a_config(own_model):
    config = Config(dataset="shop").replace({"model.name": NAME, "model.decay": 0.25})
    assert config.model == own_model.MarkovConfig(decay=0.25)
    assert Config.from_dict(config.to_dict()) == config
    with pytest.raises(UserError, match=r"model\.decay: Input should be less than 1"):
        config.replace({"model.decay": 1.5})
    with pytest.raises(UserError, match=r"unknown config key 'model\.deca': did you mean"):
        config.replace({"model.deca": 0.5})


def test_it_is_trained_and_loaded(own_model, shop: Dataset, tmp_path: Path):
    config = Config(dataset="shop").replace({"model.name": NAME, "training.epochs": 3})
    results = list(train(config, shop))
    losses = [result.metrics["train/loss"] for result in results]
    assert losses == sorted(losses, reverse=True)
    results[-1].save_checkpoint(tmp_path)
    best = load_best_model(tmp_path, config, shop)
    assert isinstance(best, own_model.Markov)


def test_it_keeps_the_contract(own_model):
    model = make_model(Config(dataset="shop").replace({"model.name": NAME}), Made()).eval()
    assert isinstance(model, CausalRecommender)
    rows = padded(histories())
    with torch.no_grad():
        alone = torch.cat([model.user_vectors(padded([row])) for row in histories()])
        torch.testing.assert_close(model.user_vectors(rows), alone)


def test_a_study_takes_its_space(own_model, shop: Dataset, monkeypatch):
    study = Study(dataset="shop", base={"model.name": NAME}, trials=2)
    plan = make_plan(study, Options())
    assert plan.space == own_model.MarkovConfig.space()
    assert plan.known == ()
    assert plan.definition.config["model.name"] == NAME
    mmsr = make_plan(Study(dataset="shop", space={"model.width": Choice(8, 16)}), Options())
    assert mmsr.definition.difference(plan.definition) == (
        f"model.name was mmsr and is {NAME} (--set model.name=mmsr resumes it)"
    )


def test_an_entry_point_gives_it_a_short_name(own_model):
    plugins.plugins.cache_clear()
    point = EntryPoint(name="markov", value=NAME, group=registry.GROUP)
    try:
        with patch.object(plugins, "entry_points", return_value=[point]):
            assert "markov" in registry.model_names()
            assert registry.model_class("markov") is own_model.Markov
            assert Config(dataset="x").replace({"model.name": "markov"}).model.name == "markov"
    finally:
        plugins.plugins.cache_clear()


def test_what_is_wrong_with_a_model_is_said(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_model.py").write_text("raise RuntimeError('no licence')")
    (tmp_path / "needy_model.py").write_text(
        "from mmsr.config import ModelConfig\n"
        "class Needs(ModelConfig):\n    width: int\n"
        "class Needy:\n    Settings = Needs\n"
        "class Bare:\n    pass\n"
    )
    for name, told in {
        "broken_model:A": "'broken_model:A' cannot be imported: RuntimeError: no licence",
        "needy_model:None_": "cannot be imported: AttributeError",
        "needy_model:Bare": "has no settings: give it a class attribute Settings",
        "needy_model:Needy": "has no valid default for width",
    }.items():
        with pytest.raises(UserError, match=told.replace("(", r"\(")):
            Config.from_dict({"dataset": "x", "model": {"name": name}})


def test_models_are_a_dimension_and_the_known_settings_of_each_come_first(shop: Dataset):
    space = {
        "model.name": Choice("mmsr", "sasrec"),
        "model.width": Choice(50, 128),
        "model.fusion": Choice("adaptive", "late", when={"model.name": "mmsr"}),
        "model.norm": Choice("authors", "post", when={"model.name": "sasrec"}),
    }
    base = {"graph.n_codes": 5, "graph.links_per_item": 2}
    plan = make_plan(Study(dataset="shop", base=base, space=space, trials=3), Options())
    assert list(plan.known) == [
        {"model.name": "mmsr", "model.width": 128, "model.fusion": "adaptive"},
        {"model.name": "sasrec", "model.width": 50, "model.norm": "authors"},
    ]


def test_a_knob_that_a_model_of_the_space_lacks_is_refused(shop: Dataset):
    base = Config(dataset="shop").replace(
        {"model.aggregator.name": "gat", "graph.n_codes": 5, "graph.links_per_item": 2}
    )
    names = Choice("mmsr", "sasrec")
    with pytest.raises(UserError, match=r"with model\.name='sasrec': unknown config key"):
        check_space({"model.name": names, "model.fusion": Choice("early", "late")}, base)
    heads = Choice(1, 2, when={"model.aggregator.name": "gat"})
    space = {"model.name": names, "model.aggregator.heads": heads}
    check_space({"model.name": Choice("mmsr"), "model.aggregator.heads": heads}, base)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposed = [propose(study.ask(), space, base) for _ in range(20)]
    for settings in proposed:
        assert ("model.aggregator.heads" in settings) == (settings["model.name"] == "mmsr")
        assert apply(base, settings).model.name == settings["model.name"]
    assert {settings["model.name"] for settings in proposed} == {"mmsr", "sasrec"}
    configs = list(extreme_graphs({**space, "graph.n_codes": Choice(5, 9)}, base))
    assert {(c.model.name, c.graph.n_codes) for c in configs} == {
        (name, n) for name in ("mmsr", "sasrec") for n in (5, 9)
    }


def test_commands_find_it_in_the_folder_where_they_are_run(tmp_path):
    words = ["model", "describe", "--items", "50", "--set", f"model.name={NAME}"]
    code = "import sys; from mmsr.cli.app import main; sys.argv[1:] = " + repr(words) + "; main()"
    command = [sys.executable, "-P", "-c", code]
    beside = subprocess.run(command, cwd=ROOT / "studies", capture_output=True, text=True)
    assert beside.returncode == 0, beside.stderr
    assert "own_model:Markov, width 64, decay 0.5" in beside.stdout
    away = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert away.returncode == 2
    assert "run this in the folder that holds it" in " ".join(away.stderr.split())


def test_modalities_are_declared(own_model, monkeypatch):
    class Undeclared(own_model.Markov):
        @classmethod
        def build(cls, config, inputs):
            model = cls(config.model, inputs.n_items)
            model.tables = FeatureTables(inputs.features)
            return model

    config = Config(dataset="shop").replace({"model.name": NAME})
    monkeypatch.setattr("mmsr.models.make.model_class", lambda name: Undeclared)
    with pytest.raises(UserError, match="modalities_as"):
        make_model(config, Made())
    monkeypatch.setattr("mmsr.models.make.model_class", lambda name: own_model.MarkovConfig)
    with pytest.raises(UserError, match="is no model: derive its class"):
        make_model(config, Made())


def test_knobs_may_be_tuples():
    class Layered(ModelConfig):
        hidden: tuple[int, ...] = (64, 32)

    assert Layered.model_validate({"hidden": [8, 4]}).hidden == (8, 4)
    assert Layered.model_validate(Layered().model_dump(mode="json")) == Layered()
    with pytest.raises(ValidationError):
        Layered.model_validate({"hidden": ["a"]})
