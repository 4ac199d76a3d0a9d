"""Texts and images of an import that become vectors: which, by what, and what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsr.data.encoders.base import Encoder, EncoderOptions
from mmsr.data.encoders.images import (
    ImageFile,
    Unreadable,
    files_by_id,
    is_url,
    locate,
    read_image,
)
from mmsr.data.encoders.registry import encoder_class, make_encoder
from mmsr.data.encoders.run import Encoded, encode_images, encode_texts
from mmsr.data.importers.features import check_varied
from mmsr.data.importers.foreign.base import Foreign
from mmsr.data.importers.items import Metadata
from mmsr.data.importers.readers.tables import column_names, read_table
from mmsr.data.importers.sources import Sources, Table
from mmsr.data.manifest import ITEM_IMAGES, ImportSettings, InputFile
from mmsr.data.progress import Reporter
from mmsr.errors import UserError

DEFAULT_TEXT = ImportSettings().text_encoder
"""The encoder of texts that is used unless another is chosen."""


def check_encoders(sources: Sources, settings: ImportSettings) -> None:
    """Check that the chosen encoders exist and have something to encode.

    Parameters
    ----------
    sources : the tables, and the folder of images.
    settings : name the encoders.

    Raises
    ------
    UserError : an encoder is unknown, or there is nothing for it to do.
    """
    if settings.text_encoder != DEFAULT_TEXT:
        if not settings.text:
            raise UserError("--text-encoder and --no-text contradict each other: leave one out")
        if "text" in sources.features or sources.items is None:
            reason = (
                "there is no items table" if sources.items is None else "text features are given"
            )
            raise UserError(f"--text-encoder cannot be used: {reason}; leave it out")
        if settings.text_width != ImportSettings().text_width:
            raise UserError(
                f"--text-width is for --text-encoder {DEFAULT_TEXT} alone: other encoders have a "
                "width of their own; leave it out"
            )
    encoder_class(settings.text_encoder, "text")
    if settings.image_encoder is None:
        if sources.images is not None:
            raise UserError(
                "--images needs an encoder: add --image-encoder, e.g. efficientnet-lite0"
            )
        return
    encoder_class(settings.image_encoder, "image")
    if "image" in sources.features:
        raise UserError("--image-encoder cannot be used: image features are given; leave one out")
    if sources.images is not None and not sources.images.is_dir():
        raise UserError(f"--images {sources.images}: no such folder")
    if sources.images is None and not _has_image_column(sources, settings):
        raise UserError(
            "--image-encoder has no images: give --images FOLDER, or --items with a column image"
        )


def _has_image_column(sources: Sources, settings: ImportSettings) -> bool:
    if sources.items is None:
        return False
    items = sources.items
    names = items.column_names() if isinstance(items, Foreign) else column_names(items)
    return settings.columns.get("image", "image") in names


def _named_images(items: Table, settings: ImportSettings) -> set[str]:
    """What the table of items says of their images: paths and URLs."""
    column = settings.columns.get("image", "image")
    if isinstance(items, Foreign):
        columns = [piece.column(column) for piece in items.pieces({column})]
    else:
        columns = [read_table(items, ("image",), columns=settings.columns).column("image")]
    return {str(name) for one in columns for name in one.to_pylist() if name is not None}


def hash_images(
    sources: Sources, settings: ImportSettings, reporter: Reporter
) -> tuple[InputFile, ...]:
    """Describe all image files that items may have as one input, with a hash of their contents.

    A file that cannot be read counts with the reason: its item lacks the modality.

    Parameters
    ----------
    sources : the tables, and the folder of images.
    settings : whether images are encoded.
    reporter : shows the progress in files.

    Raises
    ------
    UserError : the folder, or the table of items, cannot be read.
    """
    if settings.image_encoder is None:
        return ()
    files: dict[str, Path] = {}
    base = _base(sources)
    if sources.images is not None:
        files |= {path.name: path for path in files_by_id(sources.images).values()}
    if sources.items is not None and _has_image_column(sources, settings):
        for name in _named_images(sources.items, settings):
            path = base / name
            with suppress(OSError, ValueError):  # a name that no file can have
                if not is_url(name) and path.is_file():
                    files[name] = path
    digest, size = hashlib.sha256(), 0
    with reporter.stage("hashing images", len(files)) as advance:
        for name in sorted(files):
            try:
                data = read_image(ImageFile(name, files[name]))
            except Unreadable as error:
                content = str(error)
            else:
                content = hashlib.sha256(data).hexdigest()
                size += len(data)
            digest.update(f"{content} {name}\n".encode(errors="surrogatepass"))
            advance(1)
    return (
        InputFile(
            role=ITEM_IMAGES if sources.images is None else "images",
            path=str(base.absolute()),
            sha256=digest.hexdigest(),
            bytes=size,
        ),
    )


def _base(sources: Sources) -> Path:
    """The folder that relative paths of images start from."""
    if sources.images is not None:
        return sources.images
    return sources.items.parent if isinstance(sources.items, Path) else Path()


@dataclass(frozen=True)
class Encoders:
    """The encoders of an import, with their weights loaded.

    Attributes
    ----------
    text, image : the encoders; None where there is nothing to encode.
    """

    text: Encoder | None
    image: Encoder | None

    @classmethod
    def load(cls, sources: Sources, settings: ImportSettings, device: str) -> Encoders:
        """Load them before anything is read: what is missing is missed at once.

        Parameters
        ----------
        sources : the tables.
        settings : name the encoders.
        device : see `EncoderOptions`.

        Raises
        ------
        UserError : a package, weights or the device is missing.
        """
        options = EncoderOptions("", device, settings.text_width, settings.seed)
        has_text = settings.text and sources.items is not None and "text" not in sources.features
        image = settings.image_encoder
        return cls(
            text=make_encoder(settings.text_encoder, "text", options) if has_text else None,
            image=None if image is None else make_encoder(image, "image", options),
        )


def encode_items(
    encoders: Encoders,
    sources: Sources,
    settings: ImportSettings,
    metadata: Metadata,
    reporter: Reporter,
) -> dict[str, tuple[Encoded, str]]:
    """Encode texts and images.

    Parameters
    ----------
    encoders : loaded by `Encoders.load`.
    sources, settings : the import.
    metadata : texts and images of the items.
    reporter : shows the progress.

    Returns
    -------
    By modality: the vectors, and what made them, for the manifest.

    Raises
    ------
    UserError : nothing can be encoded, or all vectors are equal.
    """
    encoded: dict[str, tuple[Encoded, str]] = {}
    if encoders.text is not None and any(metadata.texts):
        name = settings.text_encoder
        found = encode_texts(metadata.texts, name, encoders.text, reporter)
        encoded["text"] = found, _made_by(name, encoders.text)
    if encoders.image is not None and settings.image_encoder is not None:
        name = settings.image_encoder
        images = _images(sources, metadata, reporter)
        found = encode_images(images, name, encoders.image, reporter)
        encoded["image"] = found, _made_by(name, encoders.image)
    for modality, (found, made_by) in encoded.items():
        check_varied(found.table.vectors, modality, made_by)
    return encoded


def _made_by(name: str, encoder: Encoder) -> str:
    return encoder.version if name == DEFAULT_TEXT else f"{name} ({encoder.version})"


def _images(sources: Sources, metadata: Metadata, reporter: Reporter) -> list[ImageFile | None]:
    """Where the image of each item is; images named by URLs are fetched."""
    table = metadata.table
    ids = table.column("item_id").to_pylist()
    named: list[str | None] = [None] * len(ids)
    if "image" in table.column_names:
        named = table.column("image").to_pylist()
    urls = list(dict.fromkeys(name for name in named if name is not None and is_url(name)))
    fetched: Mapping[str, Path | str] = {}
    if urls:
        from mmsr.data.encoders.download import fetch_images

        fetched = fetch_images(urls, reporter)
    by_id = {} if sources.images is None else files_by_id(sources.images)
    return locate(named, ids, _base(sources), by_id, fetched)
