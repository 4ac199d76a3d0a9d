"""What is how large adds up, and only what nobody needs can go."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime

import numpy as np
import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState
from safetensors.numpy import save_file

from mmsr.care.leftovers import leftovers
from mmsr.care.sizes import used, used_in_store
from mmsr.config import GraphConfig
from mmsr.data import Dataset
from mmsr.data.importers.scratch import scratch
from mmsr.errors import UserError
from mmsr.graph.codes import modality_codes
from mmsr.remote import RemotePath
from mmsr.study.storage.folder import StudyFolder

DAYS = 3 * 24 * 3600


def write(path, size=1000, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    for place in (path, path.parent):
        os.utime(place, (time.time() - age,) * 2)
    return path


def files_of(home):
    return {path for path in home.rglob("*") if path.is_file() and not path.name.endswith("lock")}


def test_the_sizes_add_up(study, study_home):
    write(study_home / "cache" / "vectors" / "a.npy", 70)
    write(study_home / "downloads" / "toys.gz", 80)
    write(study_home / "notes" / "deep" / "er.txt", 90)
    write(study_home / "studies" / "small" / "ray" / "trial-00000" / "checkpoint_000000" / "w", 500)
    write(study_home / "studies" / "small" / "tracking.jsonl", 600)
    write(study_home / "trainings" / "0123abcd" / "tracking.jsonl", 100)
    (study_home / "datasets" / "link").symlink_to(study_home / "studies")
    found = {(one.kind, one.name): one for one in used()}
    files = [path for path in study_home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(one.n_bytes for one in found.values()) == sum(one.stat().st_size for one in files)
    sizes = {key: one.n_bytes for key, one in found.items()}
    assert sizes["cache", "vectors"] == 70
    assert sizes["download", "toys.gz"] == 80
    assert sizes["tracked training", "0123abcd"] == 100
    assert sizes["other", "notes"] == 90
    assert {("data set", "shop"), ("test part", "shop"), ("other", "optuna.db")} <= found.keys()
    assert found["study", "small"].detail == "checkpoints 0.5 kB, tracking journal 0.6 kB"


def test_a_record_of_openings_is_no_test_part(study_home):
    write(study_home / "held-out" / "gone" / "openings.jsonl", 30)
    here, there = used(), used_in_store(RemotePath(f"file://{study_home}"))
    assert {(one.kind, one.name) for one in here if one.name in ("gone", "shop")} == {
        ("data set", "shop"),
        ("test part", "shop"),
        ("record of openings", "gone"),
    }
    assert {(one.kind, one.name) for one in there} == {(one.kind, one.name) for one in here}


def test_a_home_that_is_not_there_is_empty(home):
    assert used() == leftovers() == []


def test_a_home_in_an_object_store_is_listed(study_home):
    found = {
        (one.kind, one.name): one.n_bytes
        for one in used_in_store(RemotePath(f"file://{study_home}"))
    }
    assert found == {(one.kind, one.name): one.n_bytes for one in used()}


def free():
    found = leftovers(pytest.fail)
    for one in found:
        one.remove()
    return {one.what: one.n_bytes for one in found}


def test_what_killed_processes_left_can_go(study_home):
    kept = files_of(study_home)
    write(study_home / "datasets" / ".shop.draft-abc" / "items.arrow", 10)
    write(study_home / "datasets" / ".shop.old" / "items.arrow", 20)
    write(study_home / "held-out" / "shop" / ".0123456789abcdef.arrow", 30)
    write(study_home / "studies" / ".gone.removed-0123abcd" / "ray" / "w", 40)
    write(study_home / "cache" / "codes" / "k.1f.partial", 50, DAYS)
    write(study_home / ".mlflow.db.draft-xyz" / "mlflow.db", 60, DAYS)
    write(study_home / "trainings" / "0123abcd" / ".training.json.7.draft", 70, DAYS)
    write(study_home / ".top.parquet.draft-xyz" / "top.parquet", 80, DAYS)
    kept.add(write(study_home / "cache" / "codes" / "k.2f.partial", 70))
    kept.add(write(study_home / "downloads" / "toys.gz.partial", 80, DAYS))
    assert free() == {
        "left by an interrupted import of shop": 60,
        "left by an interrupted removal of study gone": 40,
        "abandoned drafts": 260,
    }
    assert files_of(study_home) == kept
    assert free() == {}


def test_only_what_is_gone_counts(study_home, tmp_path, monkeypatch):
    outside = write(tmp_path / "elsewhere" / "w", 70)
    link = study_home / "studies" / ".linked.removed-0123abcd"
    left = write(study_home / "studies" / ".gone.removed-0123abcd" / "w", 40)
    link.symlink_to(outside.parent)
    (one,) = leftovers(pytest.fail)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_: None)
        with pytest.raises(UserError, match=r"removal of study gone: 0\.0 kB could not be removed"):
            one.remove()
    assert (one.n_bytes, one.gone) == (40, 0)
    one.remove()
    assert one.gone == 40
    assert outside.exists()
    assert not left.exists()


def test_the_last_copy_of_a_data_set_is_no_leftover(study_home):
    (study_home / "datasets" / "shop").rename(study_home / "datasets" / ".shop.old")
    assert free() == {}


def test_what_an_import_holds_is_left_alone(study_home):
    draft = write(study_home / "datasets" / ".shop.draft-abc" / "items.arrow")
    with FileLock(study_home / "datasets" / ".shop.lock"):
        assert free() == {}
    assert draft.exists()
    assert list(free()) == ["left by an interrupted import of shop"]
    assert not draft.exists()


def test_temporary_files_of_imports_are_listed_and_go_when_their_process_is_gone(study_home):
    killed = write(study_home / "imports" / "0123abcd" / "rows.parquet", 50)
    (study_home / "imports" / "0123abcd.lock").touch()
    with scratch() as folder:  # which removes what is left, so that it is put there once more
        assert not killed.exists()
        write(folder / "rows.arrow", 40)
        write(killed, 50)
        (study_home / "imports" / "0123abcd.lock").touch()
        sizes = {(one.kind, one.name): one.n_bytes for one in used()}
        assert sizes["files of an import", folder.name] == 40
        assert sizes["files of an import", "0123abcd"] == 50
        assert free() == {"files of interrupted imports": 50}
        assert (folder / "rows.arrow").exists()
    assert not (study_home / "imports").exists()


def test_caches_of_data_sets_that_are_gone_can_go(study_home):
    dataset = Dataset.open("shop")
    modality_codes(dataset, GraphConfig(n_codes=4, links_per_item=2, reduction="none"))
    dataset.valid()
    kept = files_of(study_home)
    assert any(path.suffix == ".safetensors" for path in kept)
    folder = study_home / "cache" / "codes"
    n_items = dataset.n_items
    for name, links in {
        "other-items": np.zeros((n_items + 1, 2), dtype=np.int64),
        "same-size": np.zeros((n_items, 2), dtype=np.int64),
    }.items():
        save_file({"links": links}, folder / f"{name}.safetensors")
    kept.add(write(folder / "damaged.safetensors"))
    save_file({"levels": np.zeros(3)}, folder / "newer.safetensors")
    kept.add(folder / "newer.safetensors")
    gone = write(study_home / "cache" / "prefixes" / f"{'0' * 32}-train-v1.arrow")
    with FileLock(folder / "same-size.safetensors.lock"):
        found = free()
    assert (folder / "same-size.safetensors").exists()
    assert found.keys() == {
        "prefixes of data sets that are gone",
        "codes of data sets that are gone",
    }
    assert not gone.exists()
    assert files_of(study_home) == kept | {folder / "same-size.safetensors"}
    free()
    assert files_of(study_home) == kept


def test_with_the_data_set_its_caches_can_go(study_home):
    modality_codes(Dataset.open("shop"), GraphConfig(n_codes=4, links_per_item=2, reduction="none"))
    shutil.rmtree(study_home / "datasets" / "shop")
    assert free().keys() == {"codes of data sets that are gone"}


CHECKPOINT = ("best.safetensors", "model.safetensors", "optimizer.safetensors", "report.json")


@pytest.fixture
def trials(study, study_home):
    """A finished trial after an interrupted attempt, one stopped early, a failed, a running one."""
    states = [TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    for number, state in enumerate([*states, TrialState.RUNNING]):
        attrs = {"retry_of": 0} if number == 1 else {"key": f"trial-{number:05d}"}
        trial = optuna.trial.create_trial(
            state=state, user_attrs=attrs, value=0.5 if state == TrialState.COMPLETE else None
        )
        trial.datetime_start = datetime.now()
        study.add_trial(trial)
        for file in CHECKPOINT:
            folder = study_home / "studies" / "small" / "ray" / f"trial-{number:05d}"
            write(folder / "checkpoint_000001" / file, 100)
    return study_home / "studies" / "small" / "ray"


def test_only_what_nothing_reads_goes_of_trials(trials):
    assert free() == {
        "files to resume finished trials of study small": 400,
        "checkpoints of trials stopped early of study small": 400,
    }
    left = {path.relative_to(trials).as_posix() for path in trials.rglob("*") if path.is_file()}
    kept = {
        f"trial-{number:05d}/checkpoint_000001/{file}"
        for number in range(5)
        for file in CHECKPOINT
        if number in (3, 4) or (number in (0, 1) and file in ("best.safetensors", "report.json"))
    }
    assert left == kept
    assert free() == {}


def test_a_running_study_is_left_alone(trials, study_home):
    found = leftovers()
    with StudyFolder("small").locked():
        assert leftovers() == []
        for one in found:  # it was started while the user was asked
            with pytest.raises(ValueError, match="is being run"):
                one.remove()
    assert len(files_of(trials)) == 5 * len(CHECKPOINT)


def test_a_study_that_cannot_be_read_hides_no_leftovers(trials, study_home):
    (study_home / "studies" / "small" / "study.json").write_text("{")
    write(study_home / "datasets" / ".shop.draft-abc" / "items.arrow", 10)
    notes = []
    assert [one.n_bytes for one in leftovers(notes.append)] == [10]
    assert notes[0].startswith("study small is left alone: cannot read")
