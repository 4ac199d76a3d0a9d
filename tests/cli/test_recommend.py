"""`mmsr recommend` and `mmsr embed` as a user types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mmsr.cli.app import app
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.openings import openings
from mmsr.errors import UserError
from mmsr.training import train

CONFIG = Config(dataset="shop").replace(
    {"graph.n_codes": 5, "model.width": 8, "training.epochs": 1, "graph.max_history": 3}
)


@pytest.fixture(scope="module")
def run_folder(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the shop's model."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(shop_home))
        (result,) = train(CONFIG, Dataset.open("shop"))
        result.save_checkpoint(folder)
    return folder


@pytest.fixture
def recommend(run_folder: Path, shop: Dataset):
    def call(*words: object) -> Result:
        return CliRunner().invoke(app, ["recommend", str(run_folder), *map(str, words)])

    return call


def test_one_history(recommend, run_folder):
    done = recommend("--history", " i1, i2,i3,i4,i1 ", "--top", 3)
    assert done.exit_code == 0, done.exception
    assert f"epoch 1 of checkpoint {run_folder}, trained on the training part" in done.stdout
    assert "history  5 items; the model reads the latest 3, oldest first" in done.stdout
    assert "items of the history may be recommended (--seen)" in done.stdout
    history, _, best = done.stdout.partition("\n\n")
    assert history.count("i1") == 2
    assert [line.split()[0] for line in best.splitlines()[1:4]] == ["1", "2", "3"]
    masked = recommend("--history", "i1,i2", "--top", 40, "--seen", "masked").stdout
    assert "items of the history are not recommended" in masked
    assert "40  i" not in masked
    assert "38  i" in masked


def test_what_cannot_be_read(recommend):
    done = recommend("--history", "i1,xx")
    assert isinstance(done.exception, UserError)
    assert "the history has the unknown item 'xx'" in str(done.exception)
    done = recommend("--history", "i1,xx", "--unknown", "skipped")
    assert "history  1 item; 1 unknown skipped, oldest first" in done.stdout
    done = recommend("--history", "xx", "--unknown", "skipped", "--empty", "skipped", "--explain")
    assert done.exit_code == 0
    assert "no recommendation: the history has no known item" in done.stdout


def test_nothing_is_left_to_recommend(recommend):
    everything = ",".join(f"i{item}" for item in range(40))
    done = recommend("--history", everything, "--seen", "masked", "--explain")
    assert done.exit_code == 0
    assert "no recommendation: all items of the catalogue are left out" in done.stdout


def test_explained(recommend, tmp_path: Path):
    picture = tmp_path / "new" / "why.svg"
    done = recommend("--history", "i1,i2,i7", "--explain", "--picture", picture, "--top", 2)
    assert done.exit_code == 0, done.exception
    for text in ("what the model read, the latest first", "share %", "of image", "of text"):
        assert text in done.stdout
    assert "codes that attention read" in done.stdout
    assert f"wrote {picture}" in done.stdout.replace("\n", "")
    assert b"<svg" in picture.read_bytes()
    again = recommend("--history", "i1", "--picture", picture)
    assert "replace it with --force" in str(again.exception)


def test_all_users_and_those_of_a_file(recommend, shop, tmp_path: Path):
    output = tmp_path / "top.parquet"
    done = recommend("--all-users", "-o", output, "--top", 4)
    assert done.exit_code == 0, done.exception
    assert f"wrote {output}: 240 recommendations for 60 users" in done.stdout.replace("\n", " ")
    assert pd.read_parquet(output).user_id.nunique() == 60
    assert openings(shop) == ()
    (tmp_path / "users.csv").write_text("history\ni1 i2\nxx\n")
    words = ("--users", tmp_path / "users.csv", "-o", output)
    assert "exists: name another file" in str(recommend(*words).exception)
    assert "row 2 has the unknown item" in str(recommend(*words, "--force").exception)
    skip = ("--unknown", "skipped", "--empty", "skipped")
    done = recommend(*words, "--force", *skip)
    assert "left out: 1 user without a known item" in done.stdout
    assert "skipped: 1 unknown" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "for whom? give one of --history"),
        (("--history", "i1", "--all-users"), "for whom? give one of --history"),
        (("--all-users",), "--output FILE is missing"),
        (("--all-users", "-o", "a.csv"), "name a file that ends in .parquet"),
        (("--history", "i1", "-o", "a.parquet"), "one history is shown"),
        (("--all-users", "-o", "a.parquet", "--explain"), "are for one history"),
        (("--history", "i1", "--picture", "a.gif"), "ends in .png or .svg"),
        (("--history", "i1", "--top", "0"), "top is 0"),
        (("--history", "i1", "--seen", "no"), "unknown value of seen 'no'"),
        (("--history", "i1", "--trial", "3"), "trial is for studies"),
        (("--users", "none.csv", "-o", "a.parquet"), "--users 'none.csv': there is no such file"),
        (("--all-users", "-o", "s3://b/a.parquet"), "give a file of this machine"),
        (("--history", "i1", "--picture", "s3://b/a.png"), "give a file of this machine"),
    ],
)
def test_bad_words(words, message, recommend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = recommend(*words)
    assert isinstance(done.exception, UserError), done.exception
    assert message in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--users", "none.csv", "-o", "a.parquet"]])
def test_bad_words_load_no_torch(words):
    code = (
        "import sys\nfrom mmsr.cli.app import main\n"
        f"sys.argv = ['mmsr', 'recommend', 'x', *{words}]\n"
        "try: main()\nfinally: print(sorted({'torch', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "[]\n")


def test_embedded(run_folder, shop, tmp_path: Path):
    folder = tmp_path / "vectors"
    words = ["embed", str(run_folder), "-o", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert "vectors of 40 items and 60 users, 8 wide" in done.stdout.replace("\n", " ")
    assert "score: inner product" in done.stdout
    assert np.load(folder / "users.npy").shape == (60, 8)
    assert "--force" in str(CliRunner().invoke(app, words).exception)
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
