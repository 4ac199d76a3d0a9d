"""`mmsr model list` and `mmsr model describe`."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import yaml

from mmsr.config import Config
from mmsr.config.loss import LOSS_NAMES
from mmsr.config.models import MODELS
from mmsr.console import Console
from mmsr.models.mmsr.aggregators.attention_orders import ORDERS, Gated
from mmsr.models.mmsr.aggregators.gcn import Gcn
from mmsr.models.mmsr.model import FUSIONS
from mmsr.models.mmsr.registry import AGGREGATORS, READOUTS
from mmsr.models.mmsr.scoring import SCORINGS


@pytest.fixture
def mmsr(home, monkeypatch, capsys):
    """Run `mmsr model …` in this process; returns its exit code and what it said."""
    from mmsr.cli.app import main

    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mmsr", "model", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


def sections(text: str) -> dict[str, list[str]]:
    """First words of the lines under each heading."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            heading = line.split(",")[0].strip()
            found[heading] = []
        elif re.match(r"  \S", line):
            found[heading].append(line.split()[0])
    return found


def test_every_registry_entry_is_listed(mmsr):
    code, out, _ = mmsr("list")
    assert code == 0
    assert sections(out) == {
        "model.name": list(MODELS),
        "model.aggregator.name": list(AGGREGATORS),
        "model.aggregator.order": list(ORDERS),
        "model.fusion": list(FUSIONS),
        "model.readout": list(READOUTS),
        "model.scoring": list(SCORINGS),
        "training.loss.name": list(LOSS_NAMES),
    }


def test_sources_are_told(mmsr):
    from mmsr.cli.views.model import registry

    entries = {entry.name: entry for group in registry().values() for entry in group}
    assert entries["gcn"].source == "eq. 8"
    assert entries["synchronous"].source == "eq. 15"
    assert entries["gat"].source.startswith("eqs. 9-11")
    assert all(entries[name].source for name in (*AGGREGATORS, *ORDERS, *FUSIONS))
    assert all(entry.text for entry in entries.values())
    assert not [entry for entry in entries.values() if entry.source and entry.source in entry.text]


def test_a_new_entry_shows_up_by_itself(mmsr, monkeypatch):
    class Newest(Gated):
        """Both branches, and a third (eq. 99)."""

    monkeypatch.setitem(ORDERS, "newest", Newest)
    _, out, _ = mmsr("list")
    line = next(line for line in out.splitlines() if line.startswith("  newest"))
    assert re.fullmatch(r"  newest +Both branches, and a third\. +eq\. 99 *", line)


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_cut(width):
    from mmsr.cli.views.model import show_registry

    console = Console(width=width, file=io.StringIO())
    show_registry(console)
    text = console.file.getvalue()
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def figures(out: str, part: str) -> list[str]:
    line = next(line for line in out.splitlines() if line.startswith(part))
    return line.removeprefix(part).split()


def test_describe_needs_no_data_set(mmsr):
    code, out, _ = mmsr(
        *("describe", "--items", 500, "--batch-size", 16, "--history", 7),
        *("--set", "model.width=16", "--set", "graph.n_codes=10"),
    )
    assert code == 0
    assert "batch of 16 made-up histories, 7.0 items each; 500 items" in out
    parts = ["embeddings", "node input", "layer 1 ", "layer 1 combine gate", "readout", "output"]
    assert [part for part in parts if figures(out, part)] == parts
    assert figures(out, "embeddings")[0] == f"{(500 + 10 + 10) * 16:,}"


def test_describe_a_config_file(mmsr, tmp_path: Path):
    path = tmp_path / "export.yaml"
    config = Config(dataset="elsewhere").replace(
        {"model.aggregator.name": "gcn", "model.layers": 2, "model.width": 8}
    )
    path.write_text(yaml.safe_dump({"config": config.to_dict(), "provenance": {}}))
    code, out, _ = mmsr("describe", "--config", path, "--items", 30, "--batch-size", 4)
    assert code == 0
    assert "2 layers of gcn, width 8" in out
    width = config.model.width
    assert figures(out, "layer 2")[0] == str(
        sum(p.numel() for p in Gcn(config.model.aggregator, 3, width).parameters())
    )


def test_describe_a_data_set(mmsr, shop_home, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(shop_home))
    code, out, _ = mmsr("describe", "shop", "--set", "graph.n_codes=5", "--set", "model.width=8")
    assert code == 0
    assert "training histories of shop" in out
    assert "image (5 codes), text (5 codes)" in out


BAD = {
    "data set": (("describe", "nope"), "unknown data set 'nope'"),
    "key": (("describe", "--set", "model.widht=3"), "did you mean 'model.width'?"),
    "items": (("describe", "--items", "0"), "--items 0: give a whole number of at least 1"),
    "batch": (("describe", "--batch-size", "0"), "--batch-size 0: give a whole number"),
    "history": (("describe", "--history", "-1"), "--history -1: give a whole number"),
    "long history": (("describe", "--history", "51"), "the model reads 50 items at most"),
    "items of a data set": (("describe", "shop", "--items", "9"), "--items is for a made-up"),
    "config": (("describe", "--config", "no.yaml"), "cannot read config file 'no.yaml'"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_code_2(mmsr, arguments, told):
    code, out, err = mmsr(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
