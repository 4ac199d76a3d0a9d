"""Encoders by import path that say in files what they were asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mmsr.data.encoders.base import EncoderOptions


class Words:
    """Vectors of texts: their length and how many of a few letters they have."""

    modality = "text"
    version = "1"
    batch_size: int | None = 4

    def __init__(self, options: EncoderOptions) -> None:
        self.device = options.device

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        log = Path(os.environ["FAKE_LOG"])
        fail_at = int(os.environ.get("FAKE_FAILS_AT", "-1"))
        done = calls(log)
        if len(done) == fail_at:
            raise RuntimeError("the power went")
        with log.open("a") as file:
            file.write(json.dumps([describe(one) for one in batch]) + "\n")
        return np.array([self.vector(one) for one in batch], dtype=np.float32)

    def vector(self, text: str) -> list[float]:
        if text == "nothing":
            return [0.0] * 4
        return [len(text), text.count("a"), text.count("e"), 1.0]


class NewWords(Words):
    """The same with other weights."""

    version = "2"


class Colours(Words):
    """Vectors of images: their mean colour."""

    modality = "image"
    batch_size = 3

    def vector(self, image: Image) -> list[float]:
        return [*np.asarray(image, dtype=np.float64).mean(axis=(0, 1)), 1.0]


class AllColours(Colours):
    """The same, of all images in one call."""

    batch_size = None


class Mates(Words):
    """Vectors that depend on the other texts of a batch."""

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        shared = np.full((len(batch), 1), sum(map(len, batch)), dtype=np.float32)
        return np.hstack([super().encode(batch), shared])


class Halves(Words):
    """Batches of no whole number."""

    batch_size = 2.5  # type: ignore[assignment]  # what is refused


class Ragged(Words):
    """One row too few."""

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        return super().encode(batch)[1:]


class Alike(Words):
    """The same vector for all."""

    def vector(self, text: str) -> list[float]:
        return [1.0, 2.0]


class Nothing(Words):
    """Not a number for all."""

    def vector(self, text: str) -> list[float]:
        return [float("nan"), 1.0]


class Unversioned(Words):
    """Vectors that cannot be kept."""

    version = 3


class Unmade(Words):
    """Cannot be made."""

    def __init__(self, options: EncoderOptions) -> None:
        raise KeyError("licence")


def describe(one: Any) -> Any:
    """A text itself; size and mode of an image."""
    return one if isinstance(one, str) else [*one.size, one.mode]


def calls(log: Path) -> list[list[Any]]:
    """What was encoded, by call."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
