"""Exported models: the same recommendations without data set or home, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mmsr
from mmsr.cli.app import main
from mmsr.config import Config
from mmsr.config.models import MODELS, model_class
from mmsr.errors import UserError
from mmsr.models.base import CollaborativeRecommender
from mmsr.serving.exported.files import CARD, CONFIG, INPUTS, RECORD, WEIGHTS, read_record
from mmsr.serving.exported.mlflow_model import DATA, save_mlflow_model
from mmsr.serving.exported.write import check_output, export_model
from mmsr.training import train

HISTORIES = [["i1", "i2", "i3"], ["i0"], ["i5", "i5", "i7", "i9", "i2"]]
SKIPPED = {"unknown": "skipped", "empty": "skipped"}
OF_USERS = [name for name in MODELS if issubclass(model_class(name), CollaborativeRecommender)]
OF_HISTORIES = [name for name in MODELS if name not in OF_USERS]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes the home away."""
    return lambda: monkeypatch.setenv("MMSR_HOME", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", OF_HISTORIES)
def test_every_model_of_histories_recommends_the_same_without_a_home(
    name: str, make_recommender: Any, no_home: Any, tmp_path: Path
) -> None:
    recommender = make_recommender(name)
    wanted = recommender.recommend(HISTORIES, top=40)
    export_model(recommender, tmp_path / "one")
    export_model(recommender, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    no_home()
    loaded = mmsr.load(tmp_path / "one")
    pd.testing.assert_frame_equal(loaded.recommend(HISTORIES, top=40), wanted)
    np.testing.assert_array_equal(loaded.catalogue.counts, recommender.catalogue.counts)
    assert not (tmp_path / "nowhere").exists()


def test_codes_of_a_config_with_missing_and_cold_items_are_kept(
    make_recommender: Any, no_home: Any, tmp_path: Path
) -> None:
    settings = {"graph__missing__rate": 0.5, "model__cold_items": "codes"}
    settings |= {"model__scoring": "item_and_codes", "graph__modalities": ("text", "image")}
    recommender = make_recommender(**settings)
    wanted = recommender.recommend(HISTORIES)
    export_model(recommender, tmp_path / "model")
    no_home()
    loaded = mmsr.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.recommend(HISTORIES), wanted)
    assert loaded.model.tables.modalities == recommender.model.tables.modalities


def test_nothing_is_pickled_and_nothing_is_told_of_users_or_of_this_machine(
    make_recommender: Any, shop: Any, tmp_path: Path
) -> None:
    export_model(make_recommender(), tmp_path / "model")
    found = contents(tmp_path / "model")
    assert {name.rpartition(".")[2] for name in found} == {"json", "safetensors", "md"}
    for name, data in found.items():
        assert not data.startswith((b"\x80", b"PK")), name
        assert str(shop.path).encode() not in data, name
        assert b'"u1"' not in data, name
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("name", OF_USERS)
def test_a_model_of_users_is_refused(name: str, make_recommender: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"model {name} .*reads no histories"):
        export_model(make_recommender(name), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("file", [CONFIG, INPUTS, WEIGHTS, "items.json", RECORD])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_damage_is_one_clear_error(
    file: str, how: str, make_recommender: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export_model(make_recommender(), folder)
    data = (folder / file).read_bytes()
    if how == "gone":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(data[:-9] if how == "cut" else b"x" + data[1:])
    with pytest.raises(UserError, match=r"damaged: |holds no model") as caught:
        mmsr.load(folder)
    assert "\n" not in str(caught.value)
    assert how == "gone" or f"damaged: {file}" in str(caught.value)


def test_a_newer_layout_is_named(make_recommender: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export_model(make_recommender(), folder)
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "version": 2}))
    with pytest.raises(UserError, match="has layout 2, and this version of mmsr reads 1"):
        mmsr.load(folder)


def test_only_exported_models_are_replaced(make_recommender: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert check_output(str(folder), force=False) == folder
    export_model(make_recommender(), folder)
    with pytest.raises(UserError, match="replace it with --force"):
        check_output(str(folder), force=False)
    assert check_output(str(folder), force=True) == folder
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"'notes\.txt', which no export wrote"):
        check_output(str(folder), force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is no exported model"):
        check_output(str(tmp_path / "other"), force=True)


def test_an_exported_model_is_no_source_of_an_export(make_recommender: Any, tmp_path: Path) -> None:
    export_model(make_recommender(), tmp_path / "model")
    with pytest.raises(UserError, match="comes from an exported model"):
        export_model(mmsr.load(tmp_path / "model"), tmp_path / "again")


def test_the_card_says_what_the_model_is(make_recommender: Any, tmp_path: Path) -> None:
    recommender = make_recommender()
    export_model(recommender, tmp_path / "model")
    text = (tmp_path / "model" / CARD).read_text()
    assert recommender.facts.dataset_hash in text
    assert "| mrr@20 | 12.50 |" in text
    assert "Test was not opened" in text
    assert "n_codes: 5" in text


def test_the_digest_tells_models_apart(make_recommender: Any, tmp_path: Path) -> None:
    for place, seed in (("one", 1), ("same", 1), ("other", 2)):
        export_model(make_recommender(seed=seed), tmp_path / place)
    one, same, other = (read_record(tmp_path / n).digest for n in ("one", "same", "other"))
    assert one == same != other


def test_mlflow_loads_it_without_unpickling(
    make_recommender: Any, no_home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    recommender = make_recommender()
    export_model(recommender, tmp_path / DATA)
    save_mlflow_model(tmp_path / DATA, recommender, tmp_path / "mlflow")
    assert not list((tmp_path / "mlflow").rglob("*.pkl"))
    pins = (tmp_path / "mlflow" / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    assert f"mmsr=={mmsr.__version__}" in pins
    wanted = recommender.recommend(HISTORIES, top=5, seen="masked")
    no_home()
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "mlflow"))
    table = pd.DataFrame({"history": HISTORIES})
    found = loaded.predict(table, params={"top": 5, "seen": "masked"})
    assert [id_ for ids in found["item_ids"] for id_ in ids] == list(wanted["item_id"])
    scores = [score for row in found["scores"] for score in row]
    np.testing.assert_allclose(scores, wanted["score"], rtol=1e-6)
    skipped = loaded.predict(pd.DataFrame({"history": [["?"], ["i1"]]}), params=SKIPPED)
    assert [len(ids) for ids in skipped["item_ids"]] == [0, 10]
    for bad in ({"top": 41}, {"seen": "never"}, {"unknown": "asked"}):
        with pytest.raises(MlflowException) as caught:
            loaded.predict(table, params=bad)
        assert caught.value.get_http_status_code() == 400
    assert list(Path.cwd().iterdir()) == [], "MLflow's default store is not opened"


def test_a_checkpoint_is_exported_by_the_command_line(
    shop: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(dataset="shop").replace(
        {"model.name": "gru4rec", "model.width": 8, "training.epochs": 1}
    )
    for result in train(config, shop, device="cpu"):
        result.save_checkpoint(tmp_path / "run")

    def said(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["mmsr", "model", "export", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == code
        return "".join(capsys.readouterr())

    run, folder = str(tmp_path / "run"), str(tmp_path / "model")
    assert "epoch 1 of checkpoint" in said(run, "-o", folder)
    assert "replace it with --force" in said(run, "-o", folder, code=2)
    assert f"wrote {folder}" in said(run, "-o", folder, "--force")
    assert "unknown study 'nope'" in said("nope", "-o", str(tmp_path / "other"), code=2)
    assert mmsr.load(folder).facts.validation.keys() == result.best_metrics.keys() - {
        name for name in result.best_metrics if not name.startswith("valid/")
    }
