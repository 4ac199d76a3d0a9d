"""What tests of every floor share: a home of their own, and a small shop."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from mmsr.data import Dataset, Sources, prepare

# How long an example takes is the machine's affair.
settings.register_profile("mmsr", deadline=None)
settings.load_profile("mmsr")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_USERS, N_ITEMS = 60, 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$MMSR_HOME`."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MMSR_HOME", str(folder))
    return folder


def write_shop(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Neutral tables of a small shop; two items lack an image and one a text."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS):
        at = rng.integers(N_ITEMS)
        for step in range(rng.integers(6, 15)):
            rows.append((f"u{user}", f"i{at}", step))
            at = (at + rng.choice([1, 1, 1, 7])) % N_ITEMS
    interactions = folder / "interactions.csv"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv(
        interactions, index=False
    )
    features = {}
    for modality, width, missing in (("image", 12, {0, 5}), ("text", 8, {5})):
        items = [i for i in range(N_ITEMS) if i not in missing]
        vectors = rng.normal(size=(len(items), width)) + np.array(items)[:, None] % 4
        features[modality] = folder / f"{modality}.parquet"
        pd.DataFrame({"item_id": [f"i{i}" for i in items], "vector": list(vectors)}).to_parquet(
            features[modality]
        )
    return interactions, features


@pytest.fixture(scope="session")
def shop_tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """The shop's interactions, and features by modality."""
    return write_shop(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a folder in a new S3 bucket."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/mmsr"


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `$MMSR_HOME` that holds the prepared data set `shop`; tests must not change it."""
    folder = tmp_path_factory.mktemp("shop")
    interactions, features = write_shop(folder / "tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        prepare("shop", Sources(interactions=interactions, features=features))
    return folder / "home"


@pytest.fixture
def shop(shop_home: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The prepared data set `shop`, opened."""
    monkeypatch.setenv("MMSR_HOME", str(shop_home))
    return Dataset.open("shop")
