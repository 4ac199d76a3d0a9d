"""Explanations: effects against models that are asked again; shares, codes and the picture."""

from __future__ import annotations

import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmsr.config.models import MODELS
from mmsr.errors import UserError
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.explanation import Explanation, ReadCode, ReadItem
from mmsr.serving.picture import draw
from mmsr.serving.ranker import Ranked
from mmsr.serving.recommender import Recommender

HISTORY = ["i1", "i2", "i5", "i1", "i7"]
OF_USERS = {"mmgcn", "mgat", "bm3"}


def scores_of(frame: pd.DataFrame, items: list[str]) -> np.ndarray:
    return frame.set_index("item_id").score.loc[items].to_numpy()


def enlarge(recommender: Recommender) -> None:
    """Draw larger weights: with those that training starts from, some effects are near zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in recommender.model.parameters():
            weights.add_(0.3 * torch.randn_like(weights))


@pytest.mark.parametrize("name", sorted(set(MODELS) - OF_USERS))
def test_an_effect_is_what_is_lost_without_the_item(name, make_recommender):
    recommender = make_recommender(name)
    enlarge(recommender)
    found = recommender.explain(HISTORY, top=4)
    ids = recommender.catalogue.ids_of(found.recommended).to_pylist()
    before = recommender.recommend([HISTORY], top=40)
    assert before.item_id.tolist()[:4] == ids
    scale = before.score.abs().max()
    read = recommender.catalogue.ids_of(np.array([one.item for one in found.items])).to_pylist()
    assert read == ["i7", "i1", "i5", "i2"], "the latest first"
    assert [one.times for one in found.items] == [1, 2, 1, 1]
    for id_, one in zip(read, found.items, strict=True):
        rest = [item for item in HISTORY if item != id_]
        after = recommender.recommend([rest], top=40)
        expected = scores_of(before, ids) - scores_of(after, ids)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(one.effects, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("history", [HISTORY, ["i1", "i2", "i7", "i7"]])
def test_an_effect_in_a_history_that_is_longer_than_what_is_read(history, make_recommender):
    recommender = make_recommender("sasrec", graph__max_history=2)
    enlarge(recommender)
    found = recommender.explain(history, top=4)
    ids = recommender.catalogue.ids_of(found.recommended).to_pylist()
    before = scores_of(recommender.recommend([history], top=40), ids)
    for one in found.items:
        id_ = recommender.catalogue.ids_of(np.array([one.item])).to_pylist()[0]
        rest = [item for item in history if item != id_]
        after = scores_of(recommender.recommend([rest], top=40), ids)
        np.testing.assert_allclose(one.effects, before - after, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mmsr", "nova"])
def test_a_modality_s_effect_is_what_is_lost_without_it(name, make_recommender):
    recommender = make_recommender(name)
    enlarge(recommender)
    found = recommender.explain(HISTORY, top=3)
    assert found.modalities == ("image", "text")
    tables, model = recommender.model.tables, recommender.model
    items = torch.from_numpy(found.recommended)
    for one in found.items:
        id_ = recommender.catalogue.ids_of(np.array([one.item])).to_pylist()[0]
        expected = {"image", "text"} - ({"image", "text"} if id_ == "i5" else set())
        assert set(one.modality_effects) == expected, "i5 has neither"
        for modality, effects in one.modality_effects.items():
            links = tables.links(modality).clone()
            links[one.item] = -1
            history = torch.from_numpy(recommender.catalogue.find(HISTORY))[None]
            with torch.no_grad():
                vectors = model.item_vectors(items)
                before = model.user_vectors(history) @ vectors.T
                with tables.relinked({modality: links}):
                    after = model.user_vectors(history) @ vectors.T
            assert (before - after).abs().max() > 1e-3
            scale = before.abs().max().item()
            np.testing.assert_allclose(effects, (before - after)[0], rtol=1e-4, atol=1e-5 * scale)


def test_codes_that_were_read(make_recommender):
    recommender = make_recommender()
    found = recommender.explain(HISTORY)
    assert found.has_attention
    total = sum(one.share for one in found.items) + sum(one.share for one in found.codes)
    assert total == pytest.approx(1, abs=1e-5)
    history = {one.item for one in found.items}
    for one in found.codes:
        links = recommender.model.tables.links(one.modality).numpy()
        assert set(one.items) == {item for item in history if one.code in links[item]}
        nearest = np.flatnonzero(links[:, 0] == one.code)
        counts = recommender.catalogue.counts
        assert set(one.examples) <= set(nearest.tolist())
        assert counts[list(one.examples)].min(initial=99) >= np.sort(counts[nearest])[-3:].min(
            initial=0
        )


def test_a_model_without_attention_has_effects_alone(make_recommender):
    found = make_recommender("sasrec").explain(HISTORY)
    assert not found.has_attention
    assert {one.share for one in found.items} == {None}
    assert found.codes == ()


def test_a_single_item_cannot_be_left_out(make_recommender):
    (one,) = make_recommender().explain(["i1"]).items
    assert one.effects == ()
    assert one.modality_effects.keys() == {"image", "text"}
    with pytest.raises(UserError, match="the history has no item"):
        make_recommender().explain([])


def test_only_what_is_read_is_explained(make_recommender):
    found = make_recommender(graph__max_history=2).explain(HISTORY)
    assert len(found.items) == 2


@pytest.mark.parametrize("ending", [".png", ".svg"])
@pytest.mark.parametrize("history", [HISTORY, ["i1"]])
@pytest.mark.parametrize("name", ["mmsr", "sasrec"])
def test_a_picture(name, history, ending, make_recommender, tmp_path: Path):
    recommender = make_recommender(name)
    hostile = ["$x_{$ & <script>", "日本\x1b[31m", "", "a" * 500, None, "\\frac{1}"]
    titles = pa.array([hostile[place % len(hostile)] for place in range(40)])
    catalogue = Catalogue(recommender.catalogue.item_ids, titles)
    path = tmp_path / f"picture{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(recommender.explain(history), catalogue, "a $title", path)
    start = path.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") if ending == ".png" else b"<?xml" in start
    if ending == ".svg":
        ElementTree.parse(path)  # letters that XML does not allow end it


def made_up(n_items: int, n_recommended: int) -> Explanation:
    """An explanation of a history of so many items, each linked to one code."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(2 * n_items)).tolist()
    items = tuple(
        ReadItem(item, 1, shares[item], tuple(rng.normal(size=n_recommended).tolist()), {})
        for item in range(n_items)
    )
    codes = tuple(
        ReadCode("text", code, shares[n_items + code], (code,), (code,)) for code in range(n_items)
    )
    ranked = Ranked(np.arange(n_recommended)[None], np.ones((1, n_recommended), np.float32))
    return Explanation(ranked, items, codes, True, ("text",))


@pytest.mark.parametrize(("n_items", "n_recommended"), [(2, 1), (50, 10), (200, 150)])
def test_a_picture_has_room_for_what_it_shows(n_items, n_recommended, tmp_path: Path, monkeypatch):
    titles = ["日本語のとても長い題名のおもちゃ" * 3, "Möbius " * 30, "dice 🎲", "$x", None]
    ids = pa.array([f"id-{item}" for item in range(200)])
    catalogue = Catalogue(ids, pa.array([titles[item % 5] for item in range(200)]))
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or save(self, *a, **k)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(made_up(n_items, n_recommended), catalogue, "word " * 100, tmp_path / "a.png")
    (figure,) = drawn
    assert max(figure.get_size_inches()) < 13
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    width, height = figure.bbox.size
    for text in texts:
        box = text.get_window_extent()
        assert -1 <= box.x0 <= box.x1 <= width + 1, text
        assert -1 <= box.y0 <= box.y1 <= height + 1, text
    shown = {text.get_text() for text in texts}
    assert {"id-0", "1. id-0"} <= shown, "the font has no letters for the title"
    if n_items > 2:
        assert {"dice", "$x", "id-4"} <= shown
        assert any(f"the latest 15 of {n_items} items" in text for text in shown)
    for axes in figure.axes[:2]:
        assert len(axes.get_yticklabels()) <= 15
    assert len(figure.axes[1].get_xticklabels()) == min(n_recommended, 15)
    assert ("the first 15 of 150 recommendations" in shown) == (n_recommended == 150)


def test_a_picture_without_recommendations(make_recommender, tmp_path: Path):
    recommender = make_recommender()
    recommender.catalogue.counts[:] = 0
    found = recommender.explain(HISTORY, new="masked")
    assert len(found.recommended) == 0
    drawn = []
    original = Axes.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "text", lambda *a, **k: drawn.append(a[3]) or original(*a, **k))
        draw(found, recommender.catalogue, "a title", tmp_path / "a.png")
    assert "nothing is recommended" in drawn
