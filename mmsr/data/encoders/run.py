"""Encoding the texts and images of items: in batches, equal ones once, with a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.data.dataset import FeatureTable
from mmsr.data.encoders.base import Encoder
from mmsr.data.encoders.cache import vector_cache
from mmsr.data.encoders.images import (
    ImageFile,
    Unreadable,
    open_image,
    pixels_limited,
    read_image,
)
from mmsr.data.encoders.lacks import ABSENT, Lack
from mmsr.data.progress import Advance, Reporter
from mmsr.errors import UserError, shown

_READERS = 8
"""Threads that read images."""
_CHUNK = 1024
"""Most images that are read ahead."""


@dataclass(frozen=True)
class Encoded:
    """The vectors of one modality.

    Attributes
    ----------
    table : the vectors.
    lacks : the items without one, by index.
    """

    table: FeatureTable
    lacks: tuple[Lack, ...]


def encode_texts(
    texts: Sequence[str | None], name: str, encoder: Encoder, reporter: Reporter
) -> Encoded:
    """Encode the texts of items.

    Parameters
    ----------
    texts : text by item index; None where there is none.
    name : the encoder as the user named it.
    encoder : encodes them.
    reporter : shows the progress.

    Raises
    ------
    UserError : the encoder fails.
    """
    given = {item: text for item, text in enumerate(texts) if text}
    lacks = [Lack(item, "", ABSENT) for item, text in enumerate(texts) if not text]
    if encoder.batch_size is None:
        items = list(given)
        with reporter.stage("encoding text"):
            found, vectors, _ = _encode_at_once(given.values(), name, encoder)
        rows = [items[row] for row in found]
        return _finish(rows, vectors, lacks, dict.fromkeys(given, ""), "text", name)
    # Texts of one length make the best batches.
    items = sorted(given, key=lambda item: -len(given[item]))
    keys = [sha256(given[item].encode()).digest() for item in items]
    with reporter.stage("encoding text", len(items)) as advance:
        found, vectors, _ = _encode(
            keys, lambda rows: [given[items[row]] for row in rows], name, encoder, advance
        )
    rows = [items[row] for row in found]
    return _finish(rows, vectors, lacks, dict.fromkeys(given, ""), "text", name)


def encode_images(
    images: Sequence[ImageFile | None], name: str, encoder: Encoder, reporter: Reporter
) -> Encoded:
    """Encode the images of items.

    Parameters
    ----------
    images : where each item's image is, by item index; None where it has none.
    name, encoder, reporter : see `encode_texts`.

    Raises
    ------
    UserError : the encoder fails, or no image can be read.
    """
    given = {item: image for item, image in enumerate(images) if image is not None}
    sources = {item: image.source for item, image in given.items()}
    lacks = [Lack(item, "", ABSENT) for item, image in enumerate(images) if image is None]
    items, keys = [], []
    with reporter.stage("reading images", len(given)) as advance:
        order = list(given)
        digests = _together(lambda item: sha256(read_image(given[item])).digest(), order)
        for item, data in zip(order, digests, strict=True):
            if isinstance(data, Unreadable):
                lacks.append(Lack(item, sources[item], str(data)))
            else:
                items.append(item)
                keys.append(data)
            advance(1)

    def opened(row: int) -> Any:
        data = read_image(given[items[row]])
        if sha256(data).digest() != keys[row]:
            raise Unreadable("changed meanwhile")
        return open_image(data)

    with reporter.stage("encoding images", len(items)) as advance, pixels_limited():
        if encoder.batch_size is None:
            opened_images = _together(opened, range(len(items)))
            found, vectors, failed = _encode_at_once(opened_images, name, encoder)
            advance(len(items))
        else:
            found, vectors, failed = _encode(
                keys, lambda rows: _together(opened, rows), name, encoder, advance
            )
    lacks += [Lack(items[row], sources[items[row]], reason) for row, reason in failed.items()]
    rows = [items[row] for row in found]
    return _finish(rows, vectors, lacks, sources, "image", name)


def _encode_at_once(
    contents: Iterable[Any], name: str, encoder: Encoder
) -> tuple[list[int], NDArray[np.float32], dict[int, str]]:
    """Encode everything in one call, without a cache.

    Parameters
    ----------
    contents : each may be an `Unreadable`.
    name, encoder : the encoder.

    Returns
    -------
    rows, vectors, failed : see `_encode`.
    """
    inputs: dict[int, Any] = {}
    failed: dict[int, str] = {}
    for row, content in enumerate(contents):
        if isinstance(content, Unreadable):
            failed[row] = str(content)
        else:
            inputs[row] = content
    if not inputs:
        return [], np.empty((0, 1), dtype=np.float32), failed
    return list(inputs), _checked(encoder, name, list(inputs.values())), failed


def _encode(
    keys: Sequence[bytes],
    load: Callable[[list[int]], Iterable[Any]],
    name: str,
    encoder: Encoder,
    advance: Advance,
) -> tuple[list[int], NDArray[np.float32], dict[int, str]]:
    """Encode the batches of which the cache lacks a part.

    A batch is encoded whole, so that it is the same whatever the cache holds; what the cache has
    stays as it is.

    Parameters
    ----------
    keys : SHA-256 of each content.
    load : gives the content of each of some rows, or an `Unreadable`.
    name, encoder : the encoder.
    advance : called with the number of contents that were done.

    Returns
    -------
    rows : the rows that have a vector.
    vectors : their vectors.
    failed : why others cannot be read, by row.
    """
    size = encoder.batch_size
    assert size is not None, "such an encoder's vectors may not be cached"
    rows_of: dict[bytes, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    unique = list(rows_of)
    failed: dict[bytes, str] = {}

    def loaded(some: list[bytes]) -> dict[bytes, Any]:
        return dict(zip(some, load([rows_of[key][0] for key in some]), strict=True))

    with vector_cache(name, encoder.version) as cache:
        known = cache.known(unique)
        for start in range(0, len(unique), size):
            batch = unique[start : start + size]
            contents = loaded([key for key in batch if key not in known])
            bad = {key: str(one) for key, one in contents.items() if isinstance(one, Unreadable)}
            if len(bad) < len(contents):
                contents |= loaded([key for key in batch if key in known])
                inputs = [key for key in batch if not isinstance(contents[key], Unreadable)]
                cache.add(inputs, _checked(encoder, name, [contents[key] for key in inputs]))
            failed |= bad
            advance(sum(len(rows_of[key]) for key in batch))
        vectors = cache.get([key for key in unique if key not in failed])
    place = {key: at for at, key in enumerate(key for key in unique if key not in failed)}
    rows = [row for row, key in enumerate(keys) if key in place]
    reasons = {row: failed[key] for row, key in enumerate(keys) if key in failed}
    return rows, vectors[[place[keys[row]] for row in rows]], reasons


def _together(load: Callable[[int], Any], keys: Sequence[int]) -> Iterator[Any]:
    """What `load` gives for each key, in their order, or the `Unreadable` that it raises."""

    def tried(key: int) -> Any:
        try:
            return load(key)
        except Unreadable as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(keys), _CHUNK):
            yield from pool.map(tried, keys[start : start + _CHUNK])


def _checked(encoder: Encoder, name: str, batch: list[Any]) -> NDArray[np.float32]:
    """Vectors of a batch, if they are an array of one row for each input."""
    try:
        vectors = np.asarray(encoder.encode(batch), dtype=np.float32)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # whatever the class of a user, or a library, raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{encoder.modality} encoder {shown(name)} failed: {reason}") from error
    if vectors.ndim != 2 or len(vectors) != len(batch) or vectors.shape[1] < 1:
        raise UserError(
            f"{encoder.modality} encoder {shown(name)} gave an array of shape {vectors.shape} for "
            f"{len(batch)} inputs: it must give one row for each"
        )
    return vectors


def _finish(
    items: Sequence[int],
    vectors: NDArray[np.float32],
    lacks: list[Lack],
    sources: dict[int, str],
    modality: str,
    name: str,
) -> Encoded:
    """Leave out rows that say that there is no vector, and order the others by item."""
    array = np.array(items, dtype=np.int64)
    known = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    lacks += [
        Lack(int(item), sources[int(item)], "the encoder has no vector for it")
        for item in array[~known]
    ]
    if not known.any():
        first = next((lack for lack in lacks if not lack.absent), None)
        why = f": the first: {first.source} {first.reason}" if first else ""
        raise UserError(
            f"{modality} encoder {shown(name)}: none of {len(sources):,} {modality}s gives a "
            f"vector{why}"
        )
    order = np.argsort(array[known])
    table = FeatureTable(array[known][order], np.ascontiguousarray(vectors[known][order]))
    return Encoded(table, tuple(sorted(lacks, key=lambda lack: lack.item)))
