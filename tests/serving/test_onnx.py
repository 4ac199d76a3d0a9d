"""Networks as ONNX: the table of the docs is what torch can export."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmsr.config import Config
from mmsr.config.models import MODELS, model_class
from mmsr.errors import UserError
from mmsr.models.base import CollaborativeRecommender
from mmsr.serving.exported.files import ONNX
from mmsr.serving.exported.onnx import Network, check_same, exported
from mmsr.serving.exported.write import export_model
from mmsr.training.example import made_up_example

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
N_ITEMS, LONGEST = 50, 50
STATED = dict(re.findall(r"^\| `(\w+)` \| (yes|no)\b", PAGE.read_text(), re.MULTILINE))
"""What the page says of each model."""


def network_of(**settings: Any) -> Network:
    """The network of a model with random weights over a made-up catalogue."""
    config = Config(dataset="none").replace(
        {"graph.n_codes": 6, "graph.links_per_item": 2, "training.batch_size": 2}
    )
    model = made_up_example(config.replace(settings), N_ITEMS, 7).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.15)
    return Network(model)


def histories(n: int, longest: int) -> torch.Tensor:
    rng = np.random.default_rng(n * longest)
    found = np.full((n, longest), -1)
    for row, length in enumerate([longest, *rng.integers(1, longest + 1, n - 1)]):
        found[row, :length] = rng.integers(0, N_ITEMS, length)
    return torch.from_numpy(found)


def test_the_page_names_every_model() -> None:
    assert STATED.keys() == MODELS.keys()
    of_users = {n for n in MODELS if issubclass(model_class(n), CollaborativeRecommender)}
    assert {name for name, said in STATED.items() if said == "no"} == of_users


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, said in STATED.items() if said == "yes"])
def test_a_model_gives_the_same_scores_as_onnx(name: str) -> None:
    network = network_of(**{"model.name": name})
    if any(isinstance(part, nn.GRU) for part in network.modules()):
        # torch fixes the sizes of all recurrent layers but the first that a process exports.
        data = _in_a_new_process(name)
    else:
        data = exported(network, histories(5, 7), name).SerializeToString()
        assert data == exported(network, histories(5, 7), name).SerializeToString()
    assert str(Path(torch.__file__).parent).encode() not in data
    for shape in ((1, 1), (1, 5), (3, 2), (6, 20), (2, LONGEST)):
        check_same(network, data, histories(*shape), name)
    with torch.no_grad():
        network.items_ID[0, 0] += 0.1
    with pytest.raises(UserError, match="its scores differ from torch's"):
        check_same(network, data, histories(3, 2), name)


def _in_a_new_process(name: str) -> bytes:
    import subprocess

    code = (
        "import sys; from test_onnx import *; "
        f"net = network_of(**{{'model.name': {name!r}}}); "
        f"data = exported(net, histories(5, 7), {name!r}).SerializeToString(); "
        "sys.stdout.buffer.write(data)"
    )
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, check=True, timeout=600
    )
    return done.stdout


def test_what_torch_cannot_export_is_one_clear_error(
    make_recommender: Any, tmp_path: Path, capfd: Any
) -> None:
    recommender = make_recommender(model__aggregator__name="graphormer")
    with pytest.raises(UserError) as caught:
        export_model(recommender, tmp_path / "model", with_onnx=True)
    assert str(caught.value) == (
        "model 'mmsr' cannot be exported as ONNX: what it computes depends on the items of a "
        "history, not on their number alone; leave out --onnx"
    )
    assert not (tmp_path / "model").exists()
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_library_is_named(
    missing: str, make_recommender: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=rf"--onnx needs {missing}: .*mmsr\[onnx\]"):
        export_model(make_recommender(), tmp_path / "model", with_onnx=True)
    assert not (tmp_path / "model" / ONNX).exists()
