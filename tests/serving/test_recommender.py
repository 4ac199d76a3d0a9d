"""Recommendations: the scores of evaluation, by item ids; what is refused, skipped and left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from mmsr.config.models import MODELS
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.evaluation import evaluate, ranking
from mmsr.models.base import CollaborativeRecommender
from mmsr.serving.ranker import best
from mmsr.serving.recommender import Recommender


def matrix_of(frame: pd.DataFrame, key: str, ids: list[str]) -> NDArray[np.float32]:
    """Scores of all items, a row for each history or user in the order of the answer."""
    wide = frame.pivot(index=key, columns="item_id", values="score")
    return wide.loc[frame[key].unique(), ids].to_numpy()


def histories_of(shop: Dataset, recommender: Recommender) -> tuple[list[list[str]], Any]:
    valid = shop.valid()
    ids = np.array(shop.item_ids[:])
    items = [valid.items[a:b] for a, b in zip(valid.starts, valid.targets, strict=True)]
    return [ids[one].tolist() for one in items], valid


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_evaluation(name, shop, make_recommender):
    recommender = make_recommender(name)
    model, ids = recommender.model, shop.item_ids[:]
    valid = shop.valid()
    with torch.no_grad():
        items = model.item_vectors()
        if isinstance(model, CollaborativeRecommender):
            frame = recommender.recommend_users(top=len(ids), seen="kept")
            found = matrix_of(frame, "user_id", ids)[valid.users]
            alone = [model.user_vectors(torch.tensor([user])) for user in valid.users]
        else:
            histories, _ = histories_of(shop, recommender)
            frame = recommender.recommend(histories, top=len(ids), seen="kept")
            found = matrix_of(frame, "history", ids)
            places = [recommender.catalogue.find(one) for one in histories]
            alone = [model.user_vectors(torch.from_numpy(one)[None]) for one in places]
        expected = (torch.cat(alone) @ items.T).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)
    ranks = evaluate(model, valid, max_history=recommender.config.graph.max_history)
    targets = found[np.arange(len(valid)), valid.target_items()]
    assert (ranks == (found >= targets[:, None]).sum(axis=1)).all()
    assert (frame.groupby(frame.columns[0], sort=False).score.diff().dropna() <= 0).all()


@pytest.mark.parametrize("seen", ["masked", "read_masked"])
def test_places_are_the_ranks_of_evaluation(seen, shop, make_recommender):
    recommender = make_recommender("sasrec", graph__max_history=2)
    histories, valid = histories_of(shop, recommender)
    assert max(map(len, histories)) > 2
    ranks = evaluate(recommender.model, valid, max_history=2, seen=seen)
    frame = recommender.recommend(histories, top=shop.n_items, seen=seen)
    targets = np.array(shop.item_ids[:])[valid.target_items()]
    found = frame[frame.item_id.to_numpy() == targets[frame.history]]
    assert len(found) > len(valid) / 2, "a target that was seen is not recommended"
    assert found["rank"].tolist() == ranks[found.history].tolist()


def test_items_with_equal_scores_go_in_the_order_of_the_catalogue():
    scores = torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0, 2.0, 1.0, -torch.inf]])
    for top in range(1, 9):
        found, items = best(scores, top)
        assert items[0].tolist() == [1, 3, 5, 0, 2, 4, 6, 7][:top]
        assert torch.equal(found, scores[:, items[0]])
    ties = torch.randint(0, 5, (7, 1000), generator=torch.Generator().manual_seed(0)).float()
    whole = best(ties, 1000)[1]
    assert all(torch.equal(best(ties, top)[1], whole[:, :top]) for top in (1, 10, 300, 999))


@pytest.mark.parametrize("name", ["mmsr", "sasrec", "mmgcn"])
def test_scores_are_products_of_the_vectors(name, shop, make_recommender):
    recommender = make_recommender(name)
    items = recommender.item_vectors()
    users = recommender.ranker.vectors(recommender.users.histories)
    found = recommender.recommend_users(top=shop.n_items, seen="kept")
    expected = users @ items.T
    found = matrix_of(found, "user_id", shop.item_ids[:])
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


def test_histories_have_vectors(make_recommender):
    recommender = make_recommender()
    vectors = recommender.user_vectors([["i1", "i2"], ["i3"]])
    found = recommender.recommend([["i1", "i2"], ["i3"]], top=40)
    scores = vectors @ recommender.item_vectors().T
    best = [recommender.catalogue.ids_of(row.argsort()[::-1]).to_pylist() for row in scores]
    assert [group.item_id.tolist() for _, group in found.groupby("history")] == best


def test_chunks_change_nothing(make_recommender, monkeypatch):
    recommender = make_recommender()
    before = recommender.recommend_users(top=5)
    monkeypatch.setattr(ranking, "CHUNK_SCORES", 7 * 40)
    after = recommender.recommend_users(top=5)
    pd.testing.assert_frame_equal(before, after, atol=1e-5)


def test_seen_items_are_kept_or_left_out(make_recommender):
    recommender = make_recommender(graph__max_history=2)
    history = ["i1", "i2", "i3"]

    def found(**options: Any) -> set[str]:
        return set(recommender.recommend([history], top=40, **options).item_id)

    everything = found()
    assert len(everything) == 40
    assert everything - found(seen="masked") == {"i1", "i2", "i3"}
    assert everything - found(seen="read_masked") == {"i2", "i3"}
    masked = make_recommender(training__seen="masked")
    assert len(masked.recommend([history], top=40)) == 37, "as the config has it"
    assert len(masked.recommend([history], top=40, seen="kept")) == 40


def test_unknown_items_are_refused_or_skipped(make_recommender):
    recommender = make_recommender()
    with pytest.raises(UserError, match="history 1 has the unknown item 'x1'"):
        recommender.recommend([["i1"], ["i2", "x1"]])
    found = recommender.recommend([["i1"], ["i2", "x1"]], top=3, unknown="skipped")
    assert found.attrs == {"unknown_items": 1, "empty_histories": 0}
    expected = recommender.recommend([["i1"], ["i2"]], top=3)
    pd.testing.assert_frame_equal(found, expected, check_like=True)
    with pytest.raises(UserError, match="history 0 has no known item"):
        recommender.recommend([["x1"], ["i1"]], unknown="skipped")


def test_empty_histories_are_refused_or_skipped(make_recommender):
    recommender = make_recommender()
    with pytest.raises(UserError, match="history 1 has no item"):
        recommender.recommend([["i1"], []])
    found = recommender.recommend([[], ["i1"], ["x"]], top=2, unknown="skipped", empty="skipped")
    assert found.history.tolist() == [1, 1]
    assert found.attrs == {"unknown_items": 1, "empty_histories": 2}
    assert recommender.recommend([], top=2).empty
    nothing = recommender.recommend([[]], empty="skipped")
    assert nothing.columns.tolist() == found.columns.tolist()


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ("i1", "histories is 'i1': give a list of histories"),
        (["i1"], "history 0 is 'i1': give a list of item ids"),
        ([[1]], "item id 1 is no text"),
        ([["i1", None]], "item id None is no text"),
        (7, "histories is 7"),
        ([7], "history 0 is 7"),
    ],
)
def test_other_things_than_histories(histories, message, make_recommender):
    with pytest.raises(UserError, match=message):
        make_recommender().recommend(histories)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top is 0: give a whole number"),
        ({"top": "3"}, "top is '3'"),
        ({"seen": "hidden"}, "unknown value of seen 'hidden'"),
        ({"new": "no"}, "unknown value of new 'no'"),
        ({"unknown": "kept"}, "unknown value of unknown 'kept'"),
        ({"empty": None}, "unknown value of empty 'None'"),
    ],
)
def test_wrong_options(options, message, make_recommender):
    with pytest.raises(UserError, match=message):
        make_recommender().recommend([["i1"]], **options)


def test_users_by_id(shop, make_recommender):
    recommender = make_recommender()
    found = recommender.recommend_users(["u3", "u1"], top=2)
    assert found.user_id.tolist() == ["u3", "u3", "u1", "u1"]
    place = shop.user_ids[:].index("u3")
    items, offsets = recommender.users.histories.items, recommender.users.histories
    history = np.array(shop.item_ids[:])[items[offsets.starts[place] : offsets.ends[place]]]
    alone = recommender.recommend([history.tolist()], top=2)
    assert found.item_id.tolist()[:2] == alone.item_id.tolist()
    with pytest.raises(UserError, match="unknown user 'nobody'"):
        recommender.recommend_users(["u1", "nobody"])
    found = recommender.recommend_users(["u1", "nobody"], top=1, unknown="skipped")
    assert found.attrs["unknown_users"] == 1


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5], "user id 5 is no text"),
        ([None], "user id None is no text"),
        ("u1", "user_ids is 'u1'"),
        (5, "user_ids is 5"),
    ],
)
def test_other_things_than_ids_of_users(ids, message, make_recommender):
    with pytest.raises(UserError, match=message):
        make_recommender().recommend_users(ids, unknown="skipped")


def test_a_model_of_users_reads_no_histories(make_recommender):
    recommender = make_recommender("mmgcn")
    for ask in (recommender.recommend, recommender.user_vectors, recommender.explain):
        with pytest.raises(UserError, match="mmgcn knows the users of its data set"):
            ask([["i1"]])


def test_new_items_are_scored_by_their_codes_or_left_out(make_recommender, shop):
    settings = {"model__scoring": "item_and_codes", "model__cold_items": "codes"}
    recommender = make_recommender(**settings)
    counts = recommender.catalogue.counts
    assert recommender.catalogue.n_new == (counts == 0).sum()
    counts[recommender.catalogue.find(["i3"])] = 0  # as if nobody had bought it
    assert "i3" not in set(recommender.recommend([["i1"]], top=40, new="masked").item_id)
    assert "i3" in set(recommender.recommend([["i1"]], top=40).item_id)


def test_a_model_that_has_diverged(make_recommender):
    recommender = make_recommender()
    with torch.no_grad():
        recommender.model.tables.item[3, 0] = torch.nan
    with pytest.raises(UserError, match="a score is NaN or infinite: this model has diverged"):
        recommender.recommend([["i1"]])


def test_a_catalogue_of_another_model(make_recommender, shop):
    recommender = make_recommender()
    catalogue = recommender.catalogue
    other = type(catalogue)(catalogue.item_ids.slice(1))
    with pytest.raises(UserError, match="scores 40 items, and the catalogue has 39"):
        Recommender(recommender.model, recommender.config, other, origin="a test")


def test_what_was_not_recorded_is_not_made_up(make_recommender):
    recommender = make_recommender()
    catalogue = type(recommender.catalogue)(recommender.catalogue.item_ids)
    bare = Recommender(recommender.model, recommender.config, catalogue, origin="a folder")
    assert "title" not in bare.recommend([["i1"]])
    with pytest.raises(UserError, match="does not say which items it was trained on"):
        bare.recommend([["i1"]], new="masked")
    with pytest.raises(UserError, match="a folder holds no users"):
        bare.recommend_users()
