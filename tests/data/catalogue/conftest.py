"""What the tests of downloads share: a server, and retries without pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmsr.data.catalogue import fetch as fetching
from mmsr.data.catalogue.retries import Retries

from .server import CONTENT, REVIEWS, Site, running


@pytest.fixture
def site() -> Iterator[Site]:
    """A server without files."""
    with running() as one:
        yield one


@pytest.fixture
def pauses() -> list[float]:
    """Pauses that were made, in seconds."""
    return []


@pytest.fixture
def retries(pauses: list[float]) -> Retries:
    """Retries that note their pauses in place of making them; half of a pause is not random."""
    return Retries(sleep=pauses.append, chance=lambda: 1.0)


@pytest.fixture
def target(home: Path) -> Path:
    """Where the file is to be."""
    return home / "downloads" / "toys" / REVIEWS


@pytest.fixture
def get(site: Site, retries: Retries, target: Path) -> Callable[..., Path]:
    """Fetch the reviews of Toys, which have no published checksum, from the server."""
    site.files[REVIEWS] = CONTENT

    def fetch(source: str = "", retries: Retries = retries) -> Path:
        found = fetching.fetch(
            ["toys"], source=source or site.url, roles=["reviews"], retries=retries
        )
        return found[0].path

    return fetch
