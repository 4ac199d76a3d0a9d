"""Checkpoints on disk: all or nothing, and nothing else is ever touched."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.training import check_place, holds_checkpoint, read_checkpoint_state, train

TINY = Config(dataset="shop").replace(
    {"model.width": 4, "graph.n_codes": 4, "training.epochs": 2, "training.threads": 1}
)


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
