"""Texts that fake encoders turn into vectors: each once, in batches, whatever happens."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsr import paths
from mmsr.data import ImportSettings, Manifest
from mmsr.data.encoders.base import EncoderOptions
from mmsr.data.encoders.cache import VectorCache
from mmsr.data.encoders.run import encode_texts
from mmsr.data.encoders.text import TfIdf
from mmsr.data.progress import Silent
from mmsr.errors import UserError

from .fakes import Words

WORDS = {"text_encoder": "fakes:Words"}
TITLES = [f"z{'ae' * i} title of {i % 3}" for i in range(12)]


def expected(text: str) -> list[float]:
    return [len(text), text.count("a"), text.count("e"), 1.0]


def test_each_text_is_encoded_once_in_batches(shop):
    titles: list[str | None] = [*TITLES[:9], TITLES[0], None, TITLES[1]]
    made = shop.make({"title": titles}, **WORDS)
    assert [len(batch) for batch in shop.batches()] == [4, 4, 1]
    encoded = shop.encoded()
    assert sorted(encoded) == sorted(TITLES[:9])
    assert [len(text) for text in encoded] == sorted(map(len, encoded), reverse=True)
    assert shop.vectors(made, "text") == {
        f"i{i}": expected(title) for i, title in enumerate(titles) if title
    }
    assert made.dataset.manifest.modalities["text"].source == "fakes:Words (1)"
    assert made.dataset.manifest.modalities["text"].items == 11


@pytest.mark.parametrize("size", [None, 4])
def test_no_text_at_all_is_an_error(size, home):
    encoder = Words(EncoderOptions())
    encoder.batch_size = size
    with pytest.raises(UserError, match="none of 0 texts gives a vector"):
        encode_texts([None, ""], "fakes:Words", encoder, Silent())


def test_a_second_data_set_takes_vectors_from_the_cache(shop):
    first = shop.make({"title": TITLES}, **WORDS)
    shop.encoded()
    changed = [*TITLES[:10], "another", TITLES[0]]
    second = shop.make({"title": changed}, name="e", **WORDS)
    assert shop.encoded() == [TITLES[1], TITLES[0], "another"], "the batch of what is missing"
    assert shop.vectors(second, "text")["i10"] == expected("another")
    again = shop.make({"title": TITLES}, overwrite=True, **WORDS)
    assert shop.encoded() == []
    assert again.dataset.content_hash == first.dataset.content_hash


def test_a_batch_is_the_same_whatever_the_cache_holds(shop):
    mates = {"text_encoder": "fakes:Mates"}
    first = shop.vectors(shop.make({"title": TITLES}, **mates), "text")
    assert len({vector[-1] for vector in first.values()}) == 3, "vectors depend on their batch"
    (file,) = paths.vectors_cache().iterdir()
    with sqlite3.connect(file) as database:
        for (key,) in database.execute("select key from vectors").fetchall()[::3]:
            database.execute("delete from vectors where key = ?", (key,))
    database.close()
    again = shop.make({"title": TITLES}, overwrite=True, **mates)
    assert shop.vectors(again, "text") == first
    # What the cache has stays as it is, though it is in another batch of a second data set.
    changed = ["a title that is longer than all of the others are", *TITLES[1:]]
    second = shop.vectors(shop.make({"title": changed}, name="e", **mates), "text")
    assert {item: second[item] for item in first if item != "i0"} == {
        item: vector for item, vector in first.items() if item != "i0"
    }


def test_another_version_has_vectors_of_its_own(shop):
    shop.make({"title": TITLES}, **WORDS)
    shop.encoded()
    shop.make({"title": TITLES}, name="e", text_encoder="fakes:NewWords")
    assert len(shop.encoded()) == 12
    assert len(list(paths.vectors_cache().glob("fakes-*.db"))) == 2


def test_after_a_failure_only_the_rest_is_encoded(shop, monkeypatch):
    monkeypatch.setenv("FAKE_FAILS_AT", "2")
    with pytest.raises(UserError, match=r"'fakes:Words' failed: RuntimeError: the power went"):
        shop.make({"title": TITLES}, **WORDS)
    assert list(paths.datasets().glob("[!.]*")) == [], "nothing half-made stays"
    before = shop.encoded()
    assert len(before) == 8
    monkeypatch.delenv("FAKE_FAILS_AT")
    resumed = shop.make({"title": TITLES}, **WORDS)
    assert sorted(before + shop.encoded()) == sorted(TITLES)
    for file in paths.vectors_cache().iterdir():
        file.unlink()
    whole = shop.make({"title": TITLES}, overwrite=True, **WORDS)
    assert whole.dataset.content_hash == resumed.dataset.content_hash


def test_a_killed_process_loses_no_batch(shop, tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import fakes\n"
        "from mmsr.data.encoders.base import EncoderOptions\n"
        "from mmsr.data.encoders.run import encode_texts\n"
        "from mmsr.data.progress import Silent\n"
        "class Words(fakes.Words):\n"
        "    def encode(self, batch):\n"
        "        if len(fakes.calls(Path(os.environ['FAKE_LOG']))) == 2: os._exit(9)\n"
        "        return super().encode(batch)\n"
        "encode_texts(sys.argv[2:], 'fakes:Words', Words(EncoderOptions()), Silent())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), *TITLES], timeout=120
    )
    assert done.returncode == 9
    before = shop.encoded()
    assert len(before) == 8
    shop.make({"title": TITLES}, **WORDS)
    assert sorted(before + shop.encoded()) == sorted(TITLES)


def test_repeating_an_import_does_nothing_and_another_encoder_is_another_import(shop):
    shop.make({"title": TITLES}, **WORDS)
    assert not shop.make({"title": TITLES}, **WORDS).fresh
    with pytest.raises(UserError, match=r"made differently \(text_encoder\)"):
        shop.make({"title": TITLES})


def test_texts_without_a_vector_are_listed_and_are_not_zero(shop):
    titles: list[str | None] = ["nothing", None, " ", *TITLES[3:]]
    made = shop.make({"title": titles}, **WORDS)
    assert "i0" not in shop.vectors(made, "text")
    assert all(any(vector) for vector in shop.vectors(made, "text").values())
    assert shop.said[-1] == (
        "note: 1 item has no text vector (all in without_vectors.csv): "
        "i0: the encoder has no vector for it"
    )
    assert made.dataset.manifest.provenance.dropped.unencoded == {"text": 1}
    with (paths.datasets() / made.dataset.name / "without_vectors.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["modality", "item_id", "source", "reason"],
        ["text", "i0", "", "the encoder has no vector for it"],
        ["text", "i1", "", "nothing given"],
        ["text", "i2", "", "nothing given"],
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text_encoder": "fakes:Ragged"}, r"shape \(3, 4\) for 4 inputs"),
        ({"text_encoder": "fakes:Alike"}, "12 text vectors are equal"),
        ({"text_encoder": "fakes:Nothing"}, "none of 12 texts gives a vector"),
        ({"text_encoder": "fakes:Unversioned"}, "version must be a text"),
        ({"text_encoder": "fakes:Halves"}, "batch_size a whole number above 0 or None"),
        ({"text_encoder": "fakes:Unmade"}, "cannot be made: KeyError"),
        ({"text_encoder": "fakes:Colours"}, "its modality is 'image', which must be 'text'"),
        ({"text_encoder": "fakes:Missing"}, "cannot be imported: AttributeError"),
        ({"text_encoder": "nowhere:Words"}, "cannot be imported: ModuleNotFoundError"),
        ({"text_encoder": "minilmm"}, "did you mean 'minilm'"),
        ({"text_encoder": "tfidf:large"}, "'tfidf' takes no argument"),
        ({"text_encoder": "minilm", "text": False}, "contradict each other"),
        ({"text_encoder": "fakes:Words", "text_width": 64}, "--text-width is for"),
        ({"image_encoder": "fakes:Colours"}, "--image-encoder has no images"),
        ({"image_encoder": "fakes:Words"}, "its modality is 'text', which must be 'image'"),
    ],
)
def test_what_is_wrong_with_an_encoder_is_said(shop, settings, message):
    with pytest.raises(UserError, match=message):
        shop.make({"title": TITLES}, **settings)
    assert list(paths.datasets().glob("[!.]*")) == []


def test_a_chosen_encoder_needs_texts(shop, tmp_path):
    with pytest.raises(UserError, match="--text-encoder cannot be used: there is no items table"):
        shop.make(text_encoder="fakes:Words")
    with pytest.raises(UserError, match="--images needs an encoder"):
        shop.make({"title": TITLES}, images=tmp_path)


def test_manifests_of_before_are_read_and_are_up_to_date(shop):
    made = shop.make({"title": TITLES})
    path = paths.datasets() / made.dataset.name / "manifest.json"
    tree: dict[str, Any] = json.loads(path.read_text())
    for name in ("text_encoder", "image_encoder"):
        del tree["provenance"]["settings"][name]
    del tree["provenance"]["dropped"]["unencoded"]
    path.write_text(json.dumps(tree))
    assert Manifest.read(path.parent).provenance.settings == ImportSettings()
    assert not shop.make({"title": TITLES}).fresh


def test_the_default_encoder_gives_the_same_bits_as_ever(shop):
    made = shop.make({"title": TITLES, "brand": ["red", "blue", "green"] * 4})
    assert made.dataset.manifest.modalities["text"].source == "tf-idf + svd"
    assert not paths.vectors_cache().exists()
    # The vectors straight from scikit-learn, as the first version of the encoder made them.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    ids = made.dataset.item_ids
    texts = [f"{TITLES[int(i[1:])]}\n{['red', 'blue', 'green'][int(i[1:]) % 3]}" for i in ids]
    weights = TfidfVectorizer(
        sublinear_tf=True, min_df=2, max_features=20_000, dtype=np.float32
    ).fit_transform(texts)
    rank = min(128, *(size - 1 for size in weights.shape))
    with threadpool_limits(1):
        vectors = TruncatedSVD(rank, random_state=2023).fit_transform(weights)
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    found = made.dataset.features("text").vectors
    np.testing.assert_array_equal(found, unit.astype(np.float32))


def test_tfidf_has_no_vector_for_a_text_of_unknown_words():
    texts = ["red bear", "blue bear", "red kite", "blue kite", "zebra"]
    encoded = encode_texts(texts, "tfidf", TfIdf(EncoderOptions(width=8)), Silent())
    assert encoded.table.items.tolist() == [0, 1, 2, 3]
    assert [lack.item for lack in encoded.lacks] == [4]


@given(
    st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True), max_size=6),
    st.integers(1, 5),
)
@settings(max_examples=25, deadline=None)
def test_a_cache_is_a_map(batches: list[list[int]], width: int) -> None:
    from tempfile import TemporaryDirectory

    def key(number: int) -> bytes:
        return number.to_bytes(32, "big")

    rng = np.random.default_rng(0)
    truth: dict[bytes, np.ndarray] = {}
    with TemporaryDirectory() as folder:
        cache = VectorCache(Path(folder) / "v.db")
        for batch in batches:
            vectors = rng.normal(size=(len(batch), width)).astype(np.float32)
            cache.add([key(n) for n in batch], vectors)
            for n, vector in zip(batch, vectors, strict=True):
                truth.setdefault(key(n), vector)
        everything = [key(n) for n in range(41)]
        assert cache.known(everything) == truth.keys()
        some = [k for k in reversed(everything) if k in truth]
        found = cache.get(some)
        cache.close()
    assert len(found) == len(some)
    for k, vector in zip(some, found, strict=True):
        np.testing.assert_array_equal(vector, truth[k])


def test_a_damaged_cache_is_named(shop):
    shop.make({"title": TITLES}, **WORDS)
    (file,) = paths.vectors_cache().iterdir()
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match=r"\.db is damaged: .*remove it"):
        shop.make({"title": TITLES}, overwrite=True, **WORDS)
    assert not shop.make({"title": TITLES}, **WORDS).fresh, "the data set of before stays"


def test_a_cache_with_vectors_of_two_widths_is_named(tmp_path):
    cache = VectorCache(tmp_path / "v.db")
    cache.add([b"a"], np.ones((1, 2), dtype=np.float32))
    cache.add([b"b"], np.ones((1, 3), dtype=np.float32))
    with pytest.raises(UserError, match="differ in width"):
        cache.get([b"a", b"b"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot use"):
        VectorCache(tmp_path / "v.db")


def test_a_file_that_is_locked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("mmsr.data.encoders.cache._WAIT", 0.01)
    cache = VectorCache(tmp_path / "v.db")
    other = sqlite3.connect(tmp_path / "v.db")
    other.execute("begin exclusive")
    with pytest.raises(UserError, match="database is locked"):
        cache.add([b"a"], np.ones((1, 2), dtype=np.float32))
