"""The running average of the weights, against its definition."""

from __future__ import annotations

import torch

from mmsr.config import Config, MmsrConfig
from mmsr.models.mmsr.model import MMSR
from mmsr.training.averaging import WeightAverage


def model(seed: int) -> MMSR:
    torch.manual_seed(seed)
    return MMSR(Config(dataset="x", model=MmsrConfig(width=4)), 5, {})


def test_follows_the_definition() -> None:
    live = model(0)
    average, expected = WeightAverage(live, 0.5), live.tables.item.detach().clone()
    for step in range(1, 25):
        with torch.no_grad():
            live.tables.item.normal_()
        average.update(live)
        if step == 1:  # starts from the first weights that training gave
            expected = live.tables.item.detach().clone()
        else:
            keep = min(0.5, step / (step + 10))
            expected = keep * expected + (1 - keep) * live.tables.item.detach()
        torch.testing.assert_close(average.model.tables.item, expected)
    assert not torch.equal(average.model.tables.item, live.tables.item)


def test_goes_on_from_its_state() -> None:
    live, other = model(0), model(1)
    average = WeightAverage(live, 0.9)
    average.update(live)
    average.update(other)
    state = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    again = WeightAverage(model(2), 0.9)
    again.load_state_dict(state)
    for one in (average, again):
        one.update(other)
    assert torch.equal(average.model.tables.item, again.model.tables.item)
