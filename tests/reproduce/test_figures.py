"""Figures 4 and 5: what they run, and how they are drawn."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mmsr.config import AGGREGATOR_NAMES
from mmsr.errors import UserError
from mmsr.evaluation.sweep import Sweep, run_sweep
from mmsr.reproduce import draw
from mmsr.reproduce.draw import write
from mmsr.reproduce.figures import MASK_SEEDS
from mmsr.reproduce.request import make_request
from mmsr.reproduce.results import Figure, FigureRow
from mmsr.reproduce.tables import FIGURES, find_table
from mmsr.robustness.request import RATES as RATES_TEXT
from mmsr.robustness.request import parse_rates

RATES = parse_rates(RATES_TEXT)


def drawn(name: str, rows: list[FigureRow]) -> Figure:
    return Figure(
        figure=name,
        title=FIGURES[name].title,
        metric="mrr@20",
        study=f"{name}-shop",
        dataset="shop",
        dataset_hash="0",
        protocol="ratio",
        seeds=(1,),
        epochs=1,
        settings={},
        command="mmsr reproduce",
        created_at="now",
        code={},
        rows=tuple(rows),
    )


def test_figure_4_runs_fusions_and_no_modality_and_others_by_name(request_of):
    default = request_of("fig4", rows=None)
    assert [row.label for row in default.rows] == ["adaptive", "early", "late", "ID only"]
    fusions = [row.settings["model.fusion"] for row in default.rows]
    assert fusions == ["adaptive", "early", "late", "adaptive"]
    assert [row.settings["graph.modalities"] for row in default.rows] == [None, None, None, []]
    more = request_of("fig4", rows=("late", "gcn"))
    assert more.plan.definition == default.plan.definition, "rows can be added to the study"
    assert more.rows[1].settings["model.aggregator.name"] == "gcn"
    named = {row.label for row in find_table("fig4").rows}
    assert set(AGGREGATOR_NAMES) - named == {"dual_attention"}, "which is `adaptive`"


def test_figure_5_is_a_grid_of_codes_and_links(study_home):
    rows = find_table("fig5").choose(["20/1", "30/3"])
    assert [row.settings["graph.n_codes"] for row in rows] == [20, 30]
    assert [row.settings["graph.links_per_item"] for row in rows] == [1, 3]
    with pytest.raises(UserError, match="40 is more than the 38 items of 'shop'"):
        make_request("fig5", "shop", n_seeds=1)
    assert len(find_table("fig5").rows) == 25


def test_figures_leave_test_closed(request_of):
    with pytest.raises(UserError, match="from validation alone"):
        request_of("fig4", rows=None, select_on="test")


def test_curves_are_drawn_with_a_flat_line_for_a_model_without_modalities(tmp_path):
    subsets = (("image",), ("text",), ("image", "text"))
    sweep = Sweep(subsets, RATES, MASK_SEEDS, "mrr@20")
    users = np.repeat(np.arange(20), 2)

    def row(label: str, fall: float) -> FigureRow:
        ranks = [np.full(40, 2) for _ in range(2)]
        curves = run_sweep(
            sweep, lambda mask: [r + int(fall * mask.rate) for r in ranks], users
        ).model_dump(mode="json")
        mean = {"valid/mrr@20": 0.5}
        return FigureRow(label=label, settings={}, trials=(0,), mean=mean, std={}, curves=curves)

    figure = drawn("fig4", [row("adaptive", 9), row("ID only", 0)])
    numbers, picture, page = write(figure, tmp_path / "new")
    assert picture.read_bytes()[1:4] == b"PNG"
    text = page.read_text()
    assert "adaptive, image + text" in text
    assert "bootstrap resamples" in text, "what the picture's footnote says"
    assert text.count('"mode":"lines",') == 6, "a band has no markers of its own"
    found = Figure.model_validate_json(numbers.read_text())
    assert found == figure
    areas = [curve["area"] for row in found.rows for curve in row.curves["curves"]]
    assert areas[3:] == [1.0] * 3
    assert max(areas[:3]) < 0.6


def test_the_panels_of_figure_4_show_all_of_their_curves(tmp_path, monkeypatch):
    """They share an axis, so the first one must not fix it before the others are drawn."""
    calls = []
    monkeypatch.setattr(draw, "draw_curve", lambda *_: calls.append("curve"))
    monkeypatch.setattr(draw, "finish", lambda *_: calls.append("axes"))
    subsets = (("image",), ("text",))
    sweep = Sweep(subsets, RATES, MASK_SEEDS, "mrr@20")
    users = np.repeat(np.arange(5), 2)
    curves = run_sweep(sweep, lambda mask: [np.full(10, 2)], users)
    row = FigureRow(
        label="x", settings={}, trials=(0,), mean={}, std={}, curves=curves.model_dump(mode="json")
    )
    write(drawn("fig4", [row]), tmp_path)
    assert calls == ["curve", "curve", "axes", "axes"]


def test_a_grid_with_holes_is_drawn(tmp_path):
    rows = [
        FigureRow(label=label, settings={}, trials=(0,), mean={"valid/mrr@20": value}, std={})
        for label, value in (("10/1", 0.03), ("20/1", 0.05), ("20/3", 0.04))
    ]
    numbers, picture, page = write(drawn("fig5", rows), tmp_path)
    assert picture.read_bytes()[1:4] == b"PNG"
    assert "heatmap" in page.read_text()
    assert len(json.loads(numbers.read_text())["rows"]) == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the figure"):
        write(drawn("fig5", rows), tmp_path / "file")


@pytest.mark.slow
def test_figures_from_the_command_to_their_files(shop_home, tmp_path, mmsr_here, ray_here):
    home = tmp_path / "home"
    shutil.copytree(shop_home / "datasets", home / "datasets")

    def run(*arguments: str) -> str:
        done = mmsr_here(home, "reproduce", *arguments, "--dataset", "shop")
        assert done.code == 0, done.out + done.err
        return done.out

    small = ("--set", "model.width=8", "--epochs", "1", "--seeds", "1")
    codes = ("--set", "graph.n_codes=6", "--set", "graph.links_per_item=2")
    out = run("fig4", "--rows", "adaptive,ID only", *small, *codes)
    assert "ID only" in out
    study = home / "studies" / "fig4-shop"
    rows = json.loads((study / "fig4-shop.json").read_text())["rows"]
    adaptive, bare = (row["curves"]["curves"] for row in rows)
    assert {curve["area"] for curve in bare} == {1.0}
    assert all(
        point["rate"] == rate for point, rate in zip(adaptive[0]["points"], RATES, strict=True)
    )
    assert adaptive[0]["points"][0]["value"] == rows[0]["mean"]["valid/mrr@20"]
    kept = len(list((study / "robustness" / "ranks").iterdir()))
    assert kept == (1 + 3 * (len(RATES) - 1)) + 1, "without modalities all points are one"
    assert "nothing to do" in run("fig4", "--rows", "adaptive,ID only", *small, *codes)
    assert len(list((study / "robustness" / "ranks").iterdir())) == kept
