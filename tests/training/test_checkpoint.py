"""Checkpoints on disk: all or nothing, and nothing else is ever touched."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.training import check_place, holds_checkpoint, read_checkpoint_state, train

TINY = Config(dataset="shop").replace(
    {"model.width": 4, "graph.n_codes": 4, "training.epochs": 2, "training.threads": 1}
)


@pytest.fixture(scope="module")
def trained(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run's first epoch; tests change copies."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(shop_home))
        next(train(TINY, Dataset.open("shop"))).save_checkpoint(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_with_other_things_is_never_replaced(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "home" / "papers").mkdir(parents=True)
    (tmp_path / "home" / "papers" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path)
    for place, message in (("home", "'papers'"), ("home/papers/thesis.txt", "is a file")):
        with pytest.raises(UserError, match=message):
            check_place(tmp_path / place)
        with pytest.raises(UserError, match=message):
            next(train(TINY, shop)).save_checkpoint(tmp_path / place)
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_read_does_not_count_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(PermissionError):
        check_place(tmp_path)


def test_an_empty_folder_will_do(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert not holds_checkpoint(tmp_path / "run")
    next(train(TINY, shop)).save_checkpoint(tmp_path / "run")
    assert holds_checkpoint(tmp_path / "run")


def test_a_writer_killed_between_its_two_renames_loses_nothing(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(TINY, shop)
    next(run).save_checkpoint(tmp_path / "run")
    before = contents(tmp_path / "run")
    second = next(run)
    with monkeypatch.context() as patch:
        patch.setattr("mmsr.training.checkpoint._tidy", lambda _: None)
        rename = Path.rename

        def killed(path: Path, target: Path) -> Path:
            if path.name.endswith(".partial"):
                raise SystemExit
            return rename(path, target)

        patch.setattr(Path, "rename", killed)
        with pytest.raises(SystemExit):
            second.save_checkpoint(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert holds_checkpoint(tmp_path / "run")
    assert contents(tmp_path / "run") == before
    second.save_checkpoint(tmp_path / "run")
    assert read_checkpoint_state(tmp_path / "run").epoch == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_reader_that_looks_between_the_two_renames_stops_nobody(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(TINY, shop)
    next(run).save_checkpoint(tmp_path / "run")
    rename, found = Path.rename, []

    def looked_at(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial") and not found:
            found.append(holds_checkpoint(tmp_path / "run"))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", looked_at)
    next(run).save_checkpoint(tmp_path / "run")
    assert found == [True], "it has restored the old one"
    assert read_checkpoint_state(tmp_path / "run").epoch == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_reader_does_not_remove_the_only_checkpoint(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, aside = tmp_path / "run", tmp_path / ".run.old-checkpoint"
    next(train(TINY, shop)).save_checkpoint(folder)
    before, exists = contents(folder), Path.exists

    def late(path: Path) -> bool:
        there = exists(path)
        if path == folder and there:  # a writer sets it aside once the reader has seen it
            folder.rename(aside)
        return there

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", late)
        holds_checkpoint(folder)
    assert holds_checkpoint(folder)
    assert contents(folder) == before


def test_a_full_disk_is_an_os_error_and_keeps_the_old_one(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(TINY, shop)
    next(run).save_checkpoint(tmp_path / "run")
    before = contents(tmp_path)

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("mmsr.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        next(run).save_checkpoint(tmp_path / "run")
    assert caught.value.errno == errno.ENOSPC
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("state.json", b"", "is damaged"),
        ("state.json", b"\xff\xfe", "is damaged"),
        ("state.json", b"null", "is damaged"),
        ("state.json", b'{"epoch": 1}', "is damaged"),
        ("model.safetensors", b"", "cannot be read"),
        ("best.safetensors", b"\x08" * 40, "cannot be read"),
        ("model.safetensors", save({"x": torch.zeros(3)}), "does not fit the model"),
        ("optimizer.safetensors", save({"x.step": torch.zeros(())}), "does not fit the model"),
        ("optimizer.safetensors", save({"0.exp_avg": torch.zeros(7)}), "0.exp_avg has shape [7]"),
        ("optimizer.safetensors", save({}), "some parameters lack their state"),
        ("average.safetensors", save({"x": torch.zeros(3)}), "does not fit the model"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line(shop, trained, tmp_path, name, content, told):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        next(train(TINY, shop, resume=tmp_path / "run"))
    assert told in str(caught.value)


def test_a_truncated_file_is_refused(shop, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"model\.safetensors' cannot be read"):
        next(train(TINY, shop, resume=tmp_path / "run"))
