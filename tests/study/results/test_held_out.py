"""Openings of test: what a study counts, in its folder and in its storage, as one record."""

from __future__ import annotations

from types import SimpleNamespace

import optuna
import pytest

from mmsr.data import Dataset
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.study.results import held_out
from mmsr.study.results.held_out import Opening, all_openings, note_opening, read_record
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy


def test_openings_of_folder_and_storage_count_once_each_in_order_of_time():
    here, both, elsewhere = (
        Opening(at=f"2026-01-0{day}T00:00:00+00:00", trials=(day,)) for day in (1, 2, 3)
    )
    study = optuna.create_study()
    assert all_openings((), study) == ()
    stored = [one.model_dump(mode="json") for one in (elsewhere, both)]
    study.set_user_attr("test_opened", stored)
    assert all_openings((both, here), study) == (here, both, elsewhere)
    assert all_openings((), study) == (both, elsewhere), "a folder that knows of none"


@pytest.fixture
def known(study_home, monkeypatch):
    """A study whose checkpoints are all there."""
    monkeypatch.setattr(held_out, "checkpoint_of", lambda known, row: known.folder.path)
    shop = Dataset.open("shop")
    folder = StudyFolder("small")
    folder.path.mkdir(parents=True)
    definition = Definition(
        dataset="shop",
        dataset_hash=shop.content_hash,
        protocol=shop.protocol,
        objective="valid/mrr@20",
        pruner="None",
        space={},
        config={},
    )
    return KnownStudy(folder, optuna.create_study(), definition, storage="", tracking="")


def counted(known):
    """The numbers of openings by the folder, by the storage, and by the data set's record."""
    return (
        len(read_record(known.folder).opened),
        len(all_openings((), known.study)),
        len(openings(Dataset.open("shop"))),
    )


def test_a_study_counts_an_opening_that_happened_and_no_other(known, study_home, monkeypatch):
    def open_it():
        held_out.rank_on_test(
            known,
            [SimpleNamespace(number=3, config=None)],
            who="tests",
            why="a study",
            record=lambda opening: note_opening(known.folder, opening),
        )

    def look(*_):
        raise KeyboardInterrupt

    record = study_home / "held-out" / "shop" / "openings.jsonl"
    record.mkdir()
    with pytest.raises(UserError, match="stays closed, since its opening cannot be recorded"):
        open_it()
    record.rmdir()
    users = study_home / "datasets" / "shop" / "users.arrow"
    before = users.read_bytes()
    users.write_bytes(before[:-8])
    with pytest.raises(UserError, match=r"cannot read .*users\.arrow"):
        open_it()
    users.write_bytes(before)
    assert counted(known) == (0, 0, 0)
    with monkeypatch.context() as broken:
        broken.setattr("mmsr.data.held_out._read", look)
        with pytest.raises(KeyboardInterrupt):
            open_it()
    assert counted(known) == (1, 1, 1), "all before anything is read"
