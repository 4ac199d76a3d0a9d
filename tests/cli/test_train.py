"""`mmsr train` as a user meets it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmsr.cli import app
from mmsr.config import Config, parse_settings
from mmsr.data import Dataset

QUICK = [
    *("--set", "model.width=8", "--set", "graph.n_codes=4", "--set", "training.epochs=2"),
    *("--set", "training.threads=1"),
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmsr.cli.app", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_trains_resumes_and_replays(shop: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    done = run("train", "shop", *QUICK, "--checkpoint", folder)
    assert done.returncode == 0, done.stderr
    assert "epoch   2" in done.stdout
    assert "valid/ndcg@20" in done.stdout
    again = run("train", "shop", *QUICK, "--checkpoint", folder)
    assert again.returncode == 0
    assert "holds a run that finished after epoch 2" in again.stdout

    from mmsr.training import read_checkpoint_state

    state = read_checkpoint_state(folder)
    export = tmp_path / "best.yaml"
    export.write_text(
        yaml.safe_dump(
            {
                "config": state.config,
                "provenance": {
                    "dataset_hash": state.dataset_hash,
                    "metrics": state.best_metrics,
                    "study": "any",
                },
            }
        )
    )
    replay = run("train", "--config", export)
    assert replay.returncode == 0, replay.stderr
    assert "recorded" in replay.stdout
    assert replay.stdout.count("+0.0e+00") == 9


def test_a_resumed_run_and_other_data_are_announced(shop: Dataset, tmp_path: Path) -> None:
    from mmsr.training import read_checkpoint_state, train

    folder, export = tmp_path / "kept", tmp_path / "best.yaml"
    config = Config(dataset="shop").replace(parse_settings(QUICK[1::2]))
    next(train(config, shop)).save_checkpoint(folder)
    done = run("train", "shop", *QUICK, "--checkpoint", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"resumes from epoch 2: epoch 1 is saved in {folder}\nepoch   2")
    assert "resumes" not in run("train", "shop", *QUICK, "--checkpoint", folder).stdout

    state = read_checkpoint_state(folder)
    metrics = {**state.best_metrics, "valid/hr@5": state.best_metrics["valid/hr@5"] + 0.012345}
    metrics["valid/hr@10"] += 1e-9
    provenance = {"dataset_hash": "6ff5" * 16, "metrics": metrics, "study": "any"}
    export.write_text(yaml.safe_dump({"config": state.config, "provenance": provenance}))
    replay = run("train", "--config", export)
    assert replay.returncode == 0, replay.stderr
    assert (
        f"note: shop differs from the data of {export} (content is now {shop.content_hash[:12]}, "
        "it was exported with 6ff56ff56ff5): the metrics will differ"
    ) in replay.stdout
    assert "recorded, % ┃ difference, points" in replay.stdout
    (line,) = (line for line in replay.stdout.splitlines() if "valid/hr@5 " in line)
    now, then, difference = (float(text) for text in re.findall(r"[-+]?\d+\.\d+", line))
    assert difference == -1.2345
    assert now - then == pytest.approx(difference, abs=2e-4)
    assert "-1.0e-07" in replay.stdout
    assert replay.stdout.count("+0.0e+00") == 7


BAD = {
    "no data set": ([], "which data set?"),
    "unknown data set": (["shup"], "unknown data set 'shup': did you mean 'shop'?"),
    "unknown key": (["shop", "--set", "graph.n_code=3"], "did you mean 'graph.n_codes'?"),
    "wrong type": (["shop", "--set", "model.width=wide"], "model.width: Input should be a valid"),
    "no value": (["shop", "--set", "model.width"], "write KEY=VALUE"),
    "metric": (["shop", "--set", "training.select_by=valid/auc"], "unknown metric 'valid/auc'"),
    "more codes than items": (["shop", "--set", "graph.n_codes=500"], "more than the 38 items"),
    "more links than codes": (
        ["shop", "--set", "graph.links_per_item=21"],
        "links_per_item=21 is more than n_codes=20",
    ),
    "device": (["shop", "--set", "graph.n_codes=4", "--device", "cuda:9"], "cannot be used here"),
    "device without values": (
        ["shop", "--set", "graph.n_codes=4", "--device", "meta"],
        "cannot be used here",
    ),
    "missing config": (["shop", "--config", "no.yaml"], "cannot read config file 'no.yaml'"),
    "missing modality": (["shop", "--set", "graph.modalities=[sound]"], "unknown modality 'sound'"),
    "nan": (["shop", "--set", "model.dropout=.nan"], "model.dropout"),
    "seed": (["shop", "--set", "seed=99999999999999999999"], "less than 4294967296"),
    "threads": (["shop", "--set", "training.threads=100000"], "less than or equal to 1024"),
    "memory": (
        ["shop", "--set", "graph.n_codes=4", "--set", "model.width=10000000000000"],
        "not enough memory for this config: lower model.width",
    ),
}


@pytest.fixture
def refused(
    shop: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run `mmsr train …` in this process, which is to refuse it; returns the line that it says."""

    def run_here(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["mmsr", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert stop.value.code == 2
        said = capsys.readouterr()
        assert said.out == "", "said before the first epoch"
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        return said.err

    return run_here


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    refused: Callable[..., str], arguments: list[str], message: str
) -> None:
    assert message in refused(*arguments)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00\x01", ""])
def test_a_config_file_that_is_none(refused: Callable[..., str], tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert "bad.yaml" in refused("shop", "--config", path)


def test_an_unwritable_checkpoint_is_a_clear_error(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said = refused("shop", *QUICK, "--checkpoint", tmp_path / "file" / "run")
    assert "cannot write the checkpoint" in said


def test_a_folder_of_the_users_is_not_taken_for_a_checkpoint(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    said = refused("shop", *QUICK, "--checkpoint", tmp_path)
    assert "holds other things than a checkpoint ('thesis.txt')" in said
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_interrupted_run_goes_on_where_it_was(shop: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    long = ["training.epochs=400" if one == "training.epochs=2" else one for one in QUICK]
    long += ["--set", "training.patience=400"]
    command = [sys.executable, "-m", "mmsr.cli.app", "train", "shop", *long, "--checkpoint", folder]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and so would its children; a terminal's does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (folder / "state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in output
    assert errors == "interrupted\n"

    from mmsr.training import read_checkpoint_state, train

    state = read_checkpoint_state(folder)
    config = Config.from_dict(state.config)
    assert next(train(config, shop, resume=folder)).epoch == state.epoch + 1
