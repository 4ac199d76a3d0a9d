"""What these models ask of a config and of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmsr.cli import app
from mmsr.config import Config
from mmsr.config.loss import LOSS_NAMES
from mmsr.config.models import MODELS, settings_class
from mmsr.data import Dataset, Sources, prepare
from mmsr.dimensions.kinds import Choice, Float
from mmsr.errors import UserError
from mmsr.graph.checks import check_inputs
from mmsr.study.search.space import check_space
from mmsr.training import train

OTHERS = ", ".join(name for name in LOSS_NAMES if name != "own")
WITHOUT = [name for name in MODELS if not settings_class(name).has_own_loss]


@pytest.fixture
def bare(shop_tables: tuple[Path, dict[str, Path]], home: Path) -> Dataset:
    """A data set without modalities."""
    torch.set_default_dtype(torch.float32)  # as it is outside these tests
    prepare("bare", Sources(interactions=shop_tables[0]))
    return Dataset.open("bare")


def config_of(name: str, **settings: object) -> Config:
    return Config(dataset="bare").replace({"model.name": name, **settings})


@pytest.mark.parametrize("name", WITHOUT)
def test_a_model_without_a_loss_of_its_own_refuses_it(name: str) -> None:
    with pytest.raises(UserError, match=f"choose one of {OTHERS}$") as refused:
        config_of(name, **{"training.loss.name": "own"})
    assert f"model {name} has no loss of its own" in str(refused.value)
    tree = {"dataset": "x", "model": {"name": name}, "training": {"loss": {"name": "own"}}}
    with pytest.raises(UserError, match=r"training\.loss\.name=own"):
        Config.from_dict(tree)


def test_bm3_takes_its_own_loss_and_every_other() -> None:
    for loss in LOSS_NAMES:
        assert config_of("bm3", **{"training.loss.name": loss}).training.loss.name == loss
    own = config_of("bm3", **{"training.loss.name": "own"})
    with pytest.raises(UserError, match="model mmgcn has no loss of its own"):
        own.replace({"model.name": "mmgcn"})


@pytest.mark.parametrize("name", ["mmgcn", "mgat"])
def test_a_data_set_without_modalities_is_refused(
    name: str, bare: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=f"model {name} needs feature vectors") as refused:
        check_inputs(bare, config_of(name))
    assert "data set 'bare' has none: import them with it, or choose another model" in str(
        refused.value
    )
    monkeypatch.setattr("sys.argv", ["mmsr", "train", "bare", "--set", f"model.name={name}"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (2, "")
    assert said.err == f"error: {refused.value}\n"


@pytest.mark.parametrize("name", ["mmgcn", "mgat"])
def test_a_config_that_takes_all_modalities_away_is_refused(name: str, shop: Dataset) -> None:
    config = config_of(name, **{"graph.modalities": []})
    with pytest.raises(UserError, match=r"graph\.modalities names none: name some of image, text"):
        check_inputs(shop, config)
    check_inputs(shop, config.replace({"graph.modalities": ["text"]}))


def test_own_loss_of_another_model_ends_a_command_with_code_2(
    bare: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "model.name=mmgcn", "--set", "training.loss.name=own"]
    monkeypatch.setattr("sys.argv", ["mmsr", "train", "bare", *settings])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    assert (stop.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.endswith(f"choose one of {OTHERS}\n")


@pytest.mark.parametrize("loss", ["own", "bpr"])
def test_bm3_is_trained_without_any_modality(loss: str, bare: Dataset) -> None:
    settings = {"training.loss.name": loss, "training.epochs": 3, "training.threads": 1}
    config = config_of("bm3", **settings, **{"model.width": 8, "training.learning_rate": 0.01})
    check_inputs(bare, config)
    losses = [result.metrics["train/loss"] for result in train(config, bare)]
    assert losses == sorted(losses, reverse=True)


def test_a_space_of_models_and_losses_is_checked_together() -> None:
    own, one = Choice("own", "bpr"), Config(dataset="x")
    smoothing = {"training.label_smoothing": Float(0, 0.2, when={"training.loss.name": "softmax"})}
    for base in (one, config_of("bm3"), config_of("sasrec")):
        check_space({"model.name": Choice("bm3"), "training.loss.name": own}, base)
        bound = Choice("own", "softmax", when={"model.name": "bm3"})
        models = Choice("bm3", "sasrec")
        check_space({"model.name": models, "training.loss.name": bound, **smoothing}, base)
        with pytest.raises(UserError) as refused:
            check_space({"training.loss.name": own, "model.name": models}, base)
        assert str(refused.value) == (
            "space: training.loss.name='own' with model.name='sasrec': model sasrec has no loss of "
            f"its own, which training.loss.name=own asks for: choose one of {OTHERS}"
        )
    bare_smoothing = {"training.label_smoothing": Float(0, 0.2)}
    losses = {"training.loss.name": Choice("softmax", "own"), "model.name": Choice("bm3")}
    with pytest.raises(UserError, match=r"is defined for the loss softmax only, not for own"):
        check_space({**bare_smoothing, **losses}, one)
