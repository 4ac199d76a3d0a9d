"""The losses that draw negatives, against torch's own in float64 and against the full softmax."""

from __future__ import annotations

import math
from typing import Self

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr.config import Config
from mmsr.config.loss import LOSS_NAMES
from mmsr.errors import UserError
from mmsr.models.base import SequentialRecommender
from mmsr.models.inputs import ModelInputs
from mmsr.training.losses.make import make_loss
from mmsr.training.losses.sampled import (
    Scores,
    binary_cross_entropy,
    bpr,
    corrected,
    draw,
    gbce_power,
    sampled_softmax,
    score,
)

B, I, D, K = 6, 40, 5, 9  # noqa: E741
SAMPLED = [name for name in LOSS_NAMES if name not in ("softmax", "own")]


class Vectors(SequentialRecommender):
    """Free vectors in a model's place; it notes which items' vectors are asked for."""

    @classmethod
    def build(cls, config: Config, inputs: ModelInputs) -> Self:
        raise NotImplementedError  # nobody builds this double from a config

    def __init__(self, n_items: int = I) -> None:
        super().__init__()
        self.n_items = n_items
        self.table = torch.nn.Parameter(torch.randn(n_items, D))
        self.asked: list[int] = []

    def user_vectors(self, histories_BL: Tensor) -> Tensor:
        raise NotImplementedError

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        self.asked.append(self.n_items if items is None else len(items))
        return self.table if items is None else self.table[items]


@pytest.fixture
def batch() -> tuple[Vectors, Tensor, Tensor]:
    torch.manual_seed(0)
    return Vectors(), torch.randn(B, D, requires_grad=True), torch.randint(I, (B,))


def settings(name: str, **knobs: object) -> Config:
    own = {f"training.loss.{key}": value for key, value in knobs.items()}
    return Config(dataset="shop").replace({"training.loss.name": name, **own})


def negatives_of(targets: Tensor, *, shared: bool) -> Tensor:
    """Negatives of which some are the targets themselves."""
    generator = torch.Generator().manual_seed(1)
    found = torch.randint(I, (K,) if shared else (B, K), generator=generator)
    found[..., 2] = targets[0]
    return found


@pytest.mark.parametrize("shared", [True, False])
def test_scores_are_products_and_the_target_is_known_among_negatives(batch, shared):
    model, users, targets = batch
    negatives = negatives_of(targets, shared=shared)
    found = score(model, users, targets, negatives)
    every = users @ model.table.T
    rows = torch.arange(B)[:, None]
    torch.testing.assert_close(found.targets_B, every[rows[:, 0], targets])
    torch.testing.assert_close(found.negatives_BK, every[rows, negatives.expand(B, K)])
    assert torch.equal(found.same_BK, negatives.expand(B, K) == targets[:, None])
    assert found.same_BK[0, 2]


def written_out(name: str, targets_B: Tensor, negatives_BK: Tensor, same_BK: Tensor) -> Tensor:
    """Each loss as its paper writes it, row by row, in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for target, negatives, same in zip(
        targets_B.double(), negatives_BK.double(), same_BK, strict=True
    ):
        others = negatives[~same]
        if name == "sampled_softmax":
            logits = torch.cat([target[None], others])
            total = total + F.cross_entropy(logits[None], torch.zeros(1, dtype=torch.long))
        elif name == "bpr":
            total = total - torch.log(torch.sigmoid(target - others)).mean()
        else:
            rate = K / (I - 1)
            beta = rate * (0.6 * (1 - 1 / rate) + 1 / rate) if name == "gbce" else 1.0
            positive = torch.log(torch.sigmoid(target) ** beta)
            total = total - (positive + torch.log(1 - torch.sigmoid(others)).sum()) / (K + 1)
    return total / len(targets_B)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", SAMPLED)
def test_value_and_gradients_are_those_of_the_formula(batch, monkeypatch, name, shared):
    model, users, targets = batch
    negatives = negatives_of(targets, shared=shared)
    monkeypatch.setattr("mmsr.training.losses.make.draw", lambda *_: negatives)
    more = {"calibration": 0.6} if name == "gbce" else {}
    loss = make_loss(settings(name, negatives=K, shared=shared, **more).training)
    value = loss(model, users, targets)
    gradients = torch.autograd.grad(value, (users, model.table))
    scores = score(model, users, targets, negatives)
    expected = written_out(name, scores.targets_B, scores.negatives_BK, scores.same_BK)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(
        gradients, torch.autograd.grad(expected, (users, model.table)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_all_items_as_negatives_make_the_full_softmax(batch):
    model, users, targets = batch
    scores = score(model, users, targets, torch.arange(I))
    full = make_loss(Config(dataset="shop").training)(model, users, targets)
    torch.testing.assert_close(sampled_softmax(scores), full)


def test_logq_takes_back_how_negatives_were_drawn(batch):
    """With popular negatives, the corrected sums estimate those over items drawn alike."""
    model, users, targets = batch
    popularity = torch.arange(1, I + 1) ** 2
    torch.manual_seed(3)
    negatives = draw((200_000,), I, popularity.double().cumsum(0), users.device)
    with torch.no_grad():
        found = corrected(score(model, users, targets, negatives), targets, negatives, popularity)
        estimate = found.negatives_BK.exp().mean(dim=1) * popularity.sum()
        exact = (users @ model.table.T).exp().sum(dim=1)
    torch.testing.assert_close(estimate, exact, rtol=0.05, atol=0)
    own = (users * model.table[targets]).sum(dim=1) - popularity[targets].log()
    torch.testing.assert_close(found.targets_B, own)


def test_items_are_drawn_as_often_as_they_are_popular():
    torch.manual_seed(0)
    popularity = torch.tensor([0, 3, 1, 0, 4, 0])
    cumulated = popularity.double().cumsum(0)
    drawn = torch.bincount(draw((80_000,), 6, cumulated, torch.device("cpu")), minlength=6)
    expected = 80_000 * popularity / popularity.sum()
    assert (drawn[popularity == 0] == 0).all()
    assert ((drawn - expected).abs() <= 5 * expected.sqrt()).all()
    alike = torch.bincount(draw((60_000,), 6, None, torch.device("cpu")), minlength=6)
    assert ((alike - 10_000).abs() <= 500).all()


def test_few_scores_and_no_catalogue(batch):
    model, users, targets = batch
    for name in SAMPLED:
        for shared in (True, False):
            model.asked.clear()
            make_loss(settings(name, negatives=K, shared=shared).training)(model, users, targets)
            assert model.asked == [B, K if shared else B * K]


def test_large_scores_stay_finite():
    far = torch.tensor([[500.0, -500.0]])
    scores = Scores(torch.tensor([-500.0]), far, torch.zeros(1, 2, dtype=torch.bool))
    assert sampled_softmax(scores).item() == pytest.approx(1000)
    assert binary_cross_entropy(scores, 0.5).item() == pytest.approx((250 + 500) / 3)
    assert bpr(scores).item() == pytest.approx((1000 + math.log(2)) / 2)


def test_a_target_alone_among_negatives_costs_nothing():
    same = Scores(torch.tensor([1.0]), torch.tensor([[1.0]]), torch.tensor([[True]]))
    assert sampled_softmax(same).item() == 0
    assert bpr(same).item() == 0


@pytest.mark.parametrize(
    ("negatives", "items", "calibration", "power"),
    [(256, 10_001, 0.0, 1.0), (256, 10_001, 1.0, 0.0256), (9, 4, 0.75, 1.0), (1, 1, 1.0, 1.0)],
)
def test_power_of_gbce(negatives, items, calibration, power):
    assert gbce_power(negatives, items, calibration) == pytest.approx(power)


def test_smoothing_belongs_to_the_softmax():
    with pytest.raises(UserError, match=r"label_smoothing=0.1 .* softmax only, not for bpr"):
        Config(dataset="shop").replace(
            {"training.loss.name": "bpr", "training.label_smoothing": 0.1}
        )


def test_an_unknown_knob_names_those_of_the_loss():
    with pytest.raises(UserError, match=r"training.loss.calibrations.*training.loss.calibration"):
        settings("gbce", calibrations=0.5)
    with pytest.raises(UserError, match=r"softmax.*sampled_softmax"):
        settings("softmaxx")
