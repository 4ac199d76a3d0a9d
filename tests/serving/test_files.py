"""Users from files, recommendations as Parquet, and vectors as files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmsr import paths
from mmsr.data.exporters.folder import replacing
from mmsr.data.importers.bounded import scratch
from mmsr.data.importers.bounded.scratch import Limits
from mmsr.data.importers.readers import json_lines
from mmsr.data.openings import openings
from mmsr.data.progress import Silent
from mmsr.errors import UserError
from mmsr.serving import users_file
from mmsr.serving.embedding import _writing, check_output, write_vectors
from mmsr.serving.options import Options
from mmsr.serving.recommender import Recommender
from mmsr.serving.users_file import UsersFile, all_users
from mmsr.serving.writing import Counts, replacing_file, write_recommendations

HISTORIES = [["i1", "i2"], ["i3"], ["i4", "i4", "i5"]]


def write(recommender: Recommender, path: Path, output: Path, **options: Any) -> Counts:
    wanted = Options(**{"top": 3, **options})
    with UsersFile.opened(path) as file:
        blocks = partial(file.blocks, recommender, wanted)
        return write_recommendations(recommender, blocks, output, wanted, file.key, Silent())


def as_text(frame: pd.DataFrame, path: Path) -> None:
    separator = "\t" if ".tsv" in path.name else ","
    frame.assign(history=frame.history.map("  ".join)).to_csv(path, sep=separator, index=False)


def as_json(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True)


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.csv", as_text),
        ("a.tsv.gz", as_text),
        ("a.jsonl", as_json),
        ("a.parquet", lambda frame, path: frame.to_parquet(path)),
    ],
)
def test_histories_of_a_file(name, save, rows, make_recommender, tmp_path, monkeypatch):
    monkeypatch.setattr(users_file, "ROWS", rows)
    recommender = make_recommender()
    save(pd.DataFrame({"user_id": ["a", "b", "ü"], "history": HISTORIES}), tmp_path / name)
    counts = write(recommender, tmp_path / name, tmp_path / "out.parquet")
    assert counts == Counts(ranked=3, rows=9)
    found = pd.read_parquet(tmp_path / "out.parquet")
    expected = recommender.recommend(HISTORIES, top=3)
    assert found.columns.tolist() == ["user_id", "rank", "item_id", "score"]
    assert found.user_id.tolist() == [one for one in "abü" for _ in range(3)]
    assert found.item_id.tolist() == expected.item_id.tolist()
    assert found["rank"].tolist() == [1, 2, 3] * 3
    np.testing.assert_allclose(found.score, expected.score, atol=1e-6)
    about = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"mmsr"])
    assert (about["model"], about["top"], about["seen"]) == ("a test", 3, "kept")


def test_a_block_has_fewer_users_where_each_gets_more_items(make_recommender, monkeypatch):
    monkeypatch.setattr(users_file, "RECOMMENDATIONS", 100)
    recommender = make_recommender()
    for top, most in ((1, 60), (10, 10), (1000, 2)):
        blocks = list(all_users(recommender, Options(top=top)))
        assert max(len(block.keys) for block in blocks) == most
        assert sum(len(block.keys) for block in blocks) == 60


def test_a_file_of_json_lines_is_parsed_once(make_recommender, tmp_path: Path, monkeypatch):
    sizes = []

    def read(block: bytes, *given: Any) -> Any:
        sizes.append(len(block))
        return read_either(block, *given)

    read_either = json_lines._read_either
    monkeypatch.setattr(json_lines, "_read_either", read)
    monkeypatch.setattr(scratch, "LIMITS", Limits(block_bytes=50, memory_bytes=50))
    rows = [{"history": [f"i{row % 40}"], "note": "x" * row} for row in range(30)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, {"user_id": "last", "history": ["i1"]}])))
    with UsersFile.opened(path) as file:
        assert (file.key, set(file.names)) == ("user_id", {"history", "user_id"})
        assert max(sizes) < 200, "in bounded pieces"
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sizes.clear()
    counts = write(make_recommender(), tmp_path / "b.jsonl", tmp_path / "out.parquet", top=1)
    assert counts.ranked == 30
    assert sum(sizes) <= (tmp_path / "b.jsonl").stat().st_size
    assert not paths.imports().exists()


def test_histories_without_names(make_recommender, tmp_path: Path):
    as_json(pd.DataFrame({"history": HISTORIES}), tmp_path / "a.jsonl")
    write(make_recommender(), tmp_path / "a.jsonl", tmp_path / "out.parquet", top=1)
    assert pd.read_parquet(tmp_path / "out.parquet").history.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["mmsr", "mmgcn"])
def test_users_of_the_data_set(name, make_recommender, shop, tmp_path: Path):
    recommender = make_recommender(name)
    (tmp_path / "a.csv").write_text("user_id\nu7\nu3\n")
    write(recommender, tmp_path / "a.csv", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    expected = recommender.recommend_users(["u7", "u3"], top=3)
    assert found.item_id.tolist() == expected.item_id.tolist()
    wanted = Options(top=2)
    blocks = partial(all_users, recommender, wanted)
    counts = write_recommendations(
        recommender, blocks, tmp_path / "all.parquet", wanted, "user_id", Silent()
    )
    assert counts == Counts(ranked=shop.n_users, rows=2 * shop.n_users)
    found = pd.read_parquet(tmp_path / "all.parquet")
    assert found.user_id.unique().tolist() == shop.user_ids[:]
    assert openings(shop) == (), "test stays closed"


def test_what_is_skipped_is_counted(make_recommender, tmp_path: Path):
    lines = ['{"history": ["i1", "x"]}', '{"history": []}', '{"history": null}']
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"history": ["x", null]}']))
    output = tmp_path / "out.parquet"
    with pytest.raises(UserError, match="row 1 has the unknown item 'x'"):
        write(make_recommender(), tmp_path / "a.jsonl", output)
    with pytest.raises(UserError, match="row 2 has no known item"):
        write(make_recommender(), tmp_path / "a.jsonl", output, unknown="skipped")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.jsonl"], "nothing is left"
    both = {"unknown": "skipped", "empty": "skipped"}
    counts = write(make_recommender(), tmp_path / "a.jsonl", output, **both)
    assert counts == Counts(ranked=1, rows=3, unknown=3, empty=3)


def test_a_late_row_is_refused_before_anything_is_ranked(
    make_recommender, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(users_file, "ROWS", 1)
    recommender = make_recommender()
    (tmp_path / "a.csv").write_text("history\ni1\ni2\nx\n")
    monkeypatch.setattr(type(recommender.ranker), "rank", None)
    with pytest.raises(UserError, match="row 3 has the unknown item 'x'"):
        write(recommender, tmp_path / "a.csv", tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "history\n", "is empty: give a table"),
        ("a.csv", "", "is empty: give a table"),
        ("a.csv", "a,b\n1,2\n", "has neither a column `history` nor `user_id`"),
        ("a.csv", "user_id,history\n,i1\n", "row 1 has no user_id"),
        ("a.csv", "user_id\nnobody\n", "unknown user 'nobody'"),
        ("a.jsonl", '{"history": [1.5]}', "history holds double: give ids as texts"),
        ("a.jsonl", '{"history": {"a": 1}}', "history holds struct"),
        ("a.jsonl", '{"history": [["i1"]]}', "history holds large_list"),
        ("a.jsonl", '{"history": [1, 2]}', "row 1 has the unknown item '1'"),
        ("a.jsonl", "no json", "begins with 'no json' and is no JSON"),
        ("a.parquet", "no parquet", "not readable as parquet"),
        ("a.xlsx", "x", "xlsx"),
    ],
)
def test_other_files(name, text, message, make_recommender, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        write(make_recommender(), tmp_path / name, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_places_that_cannot_be_written(make_recommender, tmp_path: Path):
    (tmp_path / "a.csv").write_text("history\ni1\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder: name a file"):
        write(make_recommender(), tmp_path / "a.csv", tmp_path / "folder")
    with pytest.raises(UserError, match=r"cannot write '.*out\.parquet'"):
        write(make_recommender(), tmp_path / "a.csv", tmp_path / "a.csv" / "out.parquet")


@pytest.mark.parametrize("name", ["old", "lock", "new"])
def test_no_name_is_special(name: str, tmp_path: Path):
    def interrupted(path: Path) -> None:
        with replacing_file(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with replacing_file(tmp_path / name) as draft:
        draft.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"


def test_an_interrupted_run_leaves_what_was_there(make_recommender, tmp_path: Path, monkeypatch):
    recommender = make_recommender()
    (tmp_path / "a.csv").write_text("history\ni1\n")
    output = tmp_path / "out.parquet"
    write(recommender, tmp_path / "a.csv", output)
    before = output.read_bytes()

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(recommender.ranker), "rank", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(recommender, tmp_path / "a.csv", output)
    assert output.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "out.parquet"}


def test_what_a_killed_command_left_goes_with_the_next(make_recommender, tmp_path: Path):
    code = """
import os, signal, sys
from pathlib import Path
from mmsr.data.exporters.folder import replacing
from mmsr.serving.writing import replacing_file
with replacing_file(Path("out.parquet")) as draft, replacing(Path.cwd() / "vectors") as new:
    draft.write_text("half")
    (new / "half.npy").write_text("half")
    if sys.argv[1:]:
        (Path.cwd() / "vectors").rename(new.with_name("old"))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=tmp_path).returncode == -signal.SIGKILL
    assert [path for path in tmp_path.iterdir() if path.name[0] != "."] == []
    (tmp_path / "a.csv").write_text("history\ni1\n")
    recommender = make_recommender()
    with replacing_file(tmp_path / "out.parquet") as draft:  # of a command that is running
        write(recommender, tmp_path / "a.csv", tmp_path / "out.parquet")
        write_vectors(recommender, tmp_path / "vectors", Silent())
        assert {path.name for path in tmp_path.iterdir()} == {
            "a.csv",
            "out.parquet",
            "vectors",
            draft.parent.name,
        }
        draft.write_text("later")
    before = (tmp_path / "vectors" / "items.npy").read_bytes()
    assert subprocess.run([*words, "moved"], cwd=tmp_path).returncode == -signal.SIGKILL
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "vectors"):
        raise KeyboardInterrupt
    assert (tmp_path / "vectors" / "items.npy").read_bytes() == before, "nothing replaced it"


@pytest.mark.parametrize("name", ["mmsr", "mmgcn"])
def test_vectors(name, make_recommender, shop, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(users_file, "ROWS", 17)
    recommender, folder = make_recommender(name), tmp_path / "vectors"
    done = write_vectors(recommender, folder, Silent())
    items, users = np.load(folder / "items.npy"), np.load(folder / "users.npy")
    assert (len(items), len(users)) == (done.items, done.users) == (40, 60)
    item_ids = (folder / "item_ids.txt").read_text().splitlines()
    user_ids = (folder / "user_ids.txt").read_text().splitlines()
    assert (item_ids, user_ids) == (shop.item_ids[:], shop.user_ids[:])
    for kind, vectors, ids in (("item", items, item_ids), ("user", users, user_ids)):
        table = pd.read_parquet(folder / f"{kind}s.parquet")
        assert table[f"{kind}_id"].tolist() == ids
        assert np.array_equal(np.stack(table.vector), vectors)
    found = recommender.recommend_users(top=40, seen="kept")
    row, column = (
        found.user_id.map(user_ids.index).to_numpy(),
        found.item_id.map(item_ids.index).to_numpy(),
    )
    np.testing.assert_allclose((users @ items.T)[row, column], found.score, atol=1e-6, rtol=1e-5)
    about = json.loads((folder / "mmsr-vectors.json").read_text())
    assert about["model"] == "a test"
    assert "inner product" in about["score"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_vectors_of_a_model_that_has_diverged_are_not_written(
    wrong, make_recommender, tmp_path: Path, monkeypatch
):
    recommender = make_recommender("sasrec")
    vectors = type(recommender.ranker.model).user_vectors

    def diverged(self: Any, histories: Any, *rest: Any) -> Any:
        found = vectors(self, histories, *rest).clone()
        found[(histories == recommender.catalogue.find(["i3"])[0]).any(dim=1)] = wrong
        return found

    monkeypatch.setattr(type(recommender.ranker.model), "user_vectors", diverged)
    for having in (recommender.user_vectors, recommender.recommend):
        assert having([["i1"]]) is not None
    with pytest.raises(UserError, match=r"vector of history 1 has NaN or infinity: this model has"):
        recommender.user_vectors([["i1"], ["i3"]])
    with pytest.raises(UserError, match="a score is NaN or infinite: this model has diverged"):
        recommender.recommend([["i1"], ["i3"]])
    with pytest.raises(UserError, match=r"of user 'u\d+' has NaN or infinity, as have \d+ more"):
        write_vectors(recommender, tmp_path / "vectors", Silent())
    with torch.no_grad():
        next(recommender.model.parameters())[2] = wrong
    with pytest.raises(UserError, match=r"the vector of item 'i\d+' has NaN or infinity"):
        write_vectors(recommender, tmp_path / "vectors", Silent())
    assert list(tmp_path.iterdir()) == []


def test_vectors_replace_only_vectors(make_recommender, tmp_path: Path):
    folder = tmp_path / "vectors"
    assert check_output(str(folder), force=False) == folder
    write_vectors(make_recommender(), folder, Silent())
    with pytest.raises(UserError, match="holds earlier vectors: replace them with --force"):
        check_output(str(folder), force=False)
    assert check_output(str(folder), force=True) == folder
    write_vectors(make_recommender(), folder, Silent())
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other things than vectors"):
        check_output(str(folder), force=True)
    with pytest.raises(UserError, match="is a file: name a folder"):
        check_output(str(folder / "mine.txt"), force=True)


def test_vectors_are_written_to_folders_of_their_own(tmp_path: Path, monkeypatch):
    for wrong in ("s3://bucket/vectors", str(paths.studies() / "toys"), str(paths.home())):
        with pytest.raises(UserError, match="--output is"):
            check_output(wrong, force=True)
    (tmp_path / "mmsr-vectors.json").write_text("{}")
    assert check_output(str(tmp_path), force=True) == tmp_path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="which this command runs in"):
        check_output(".", force=True)


def test_a_file_of_vectors_grows_as_they_come(tmp_path: Path):
    vectors = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    with _writing(tmp_path, "user", 1000, 4) as write:
        write.array.flush()
        before = (tmp_path / "users.npy").stat().st_size
        assert before < 4000, "what is laid out beforehand ends the process where the disk is full"
        write(pa.array(map(str, range(1000))), np.asfortranarray(vectors))
    assert np.array_equal(np.load(tmp_path / "users.npy"), vectors)
