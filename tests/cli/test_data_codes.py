"""`mmsr data codes` as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmsr.cli import app
from mmsr.data import ImportSettings, Sources, prepare


@pytest.fixture
def mmsr(monkeypatch, capsys):
    """Run `mmsr data codes …` in this process: exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmsr", "data", "codes", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as caught:
            app.main()
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def titled(home: Path, tmp_path: Path) -> str:
    """A data set whose titles are hostile: long, with styles and escapes, or missing."""
    rows = [f"u{u},i{(u * 5 + t * t) % 12},{t}" for u in range(30) for t in range(8)]
    interactions = tmp_path / "rows.csv"
    interactions.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    items, vectors = tmp_path / "items.jsonl", tmp_path / "image.jsonl"
    titles = ["x" * 10_000, "[red]not a style[/red]", "\x1b[31mred\x1b[0m", "two\nlines", None]
    with items.open("w") as file:
        for i in range(12):
            file.write(json.dumps({"item_id": f"i{i}", "title": titles[i % 5]}) + "\n")
    with vectors.open("w") as file:
        for i in range(10):
            file.write(json.dumps({"item_id": f"i{i}", "vector": [float(i), i * 2.5]}) + "\n")
    prepare("titled", Sources(interactions, items, {"image": vectors}), ImportSettings(text=False))
    return "titled"


def test_sizes_and_titles_are_shown(mmsr, titled):
    code, out, err = mmsr(titled, "--set", "graph.n_codes=10", "--set", "graph.clustering=balanced")
    assert (code, err) == (0, "")
    header, first, *_ = out.splitlines()
    assert header.split()[:5] == ["modality", "level", "codes", "items", "fitted"]
    assert first.split() == ["image", "1", "10", "10", "10", "1", "1", "1", "0"]
    assert "[red]not a style[/red]" in out
    assert "two lines" in out
    assert f"{'x' * 39}…" in out
    assert "x" * 40 not in out
    assert "i4" in out, "an item without a title is named by its id"
    assert "\x1b" not in out


def test_levels_and_one_modality(mmsr, shop):
    residual = ("--set", "graph.clustering=residual", "--set", "graph.levels=2")
    code, out, _ = mmsr("shop", "text", "--set", "graph.n_codes=4", *residual)
    assert code == 0
    assert "text, level 1: code" in out
    assert "text, level 2: code" in out
    assert "image" not in out


def test_a_config_file_is_read(mmsr, shop, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("dataset: another\ngraph: {n_codes: 7, modalities: [image]}\n")
    code, out, _ = mmsr("shop", "--config", config)
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["image", "1", "7"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("shop", "imge"), "unknown modality 'imge': did you mean 'image'"),
        (("shop", "--set", "graph.n_codes=39"), "n_codes=39 is more than the 38 items"),
        (("shop", "--set", "graph.clustering=residul"), "graph.clustering"),
        (("shop", "--set", "graph.levels=17"), "graph.levels"),
        (("shop", "--config", "nowhere.yaml"), "cannot read config file 'nowhere.yaml'"),
        (("shap",), "unknown data set 'shap'"),
    ],
)
def test_bad_input_is_one_line(mmsr, shop, arguments, told):
    code, out, err = mmsr(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
