"""Images of items: where they are, and how they are read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr.data.folders import cannot
from mmsr.errors import reason_of

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings of the files that are looked for by an item's id."""
LARGEST = 32 << 20
"""Most bytes of an image."""
SIDE = 1024
"""Most pixels of a side of an image that an encoder gets; larger ones are reduced."""


class Unreadable(Exception):
    """A text or image cannot be read; says why in a few words."""


@dataclass(frozen=True)
class ImageFile:
    """Where an item's image is.

    Attributes
    ----------
    source : as the user named it: a path or a URL.
    path : the file; None where there is none.
    problem : why there is no file.
    """

    source: str
    path: Path | None
    problem: str = ""


def is_url(source: str) -> bool:
    """Whether an image's source is a URL, `http` or `https`."""
    return source.lower().startswith(("http://", "https://"))


def files_by_id(folder: Path) -> dict[str, Path]:
    """Image files of a folder by the item ids that they are named by, e.g. `B000.jpg` by `B000`.

    Parameters
    ----------
    folder : the folder. Of several files of one id, the first by name counts.

    Raises
    ------
    UserError : it cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    except OSError as error:
        raise cannot("read", folder, error) from None
    found: dict[str, Path] = {}
    for path in files:
        found.setdefault(path.stem, path)
    return found


def locate(
    sources: Sequence[str | None],
    ids: Sequence[str],
    base: Path,
    by_id: Mapping[str, Path],
    fetched: Mapping[str, Path | str],
) -> list[ImageFile | None]:
    """Find the image of each item: the one that is named for it, or else one with its id.

    Parameters
    ----------
    sources : path or URL by item index; None where there is none.
    ids : item ids by item index.
    base : folder that relative paths start from.
    by_id : files by item id.
    fetched : what became of each URL: its file, or why there is none.
    """
    found: list[ImageFile | None] = []
    for source, name in zip(sources, ids, strict=True):
        if source is None:
            path = by_id.get(name)
            found.append(None if path is None else ImageFile(path.name, path))
        elif is_url(source):
            got = fetched[source]
            found.append(
                ImageFile(source, got) if isinstance(got, Path) else ImageFile(source, None, got)
            )
        else:
            found.append(ImageFile(source, base / source))
    return found


def read_image(image: ImageFile) -> bytes:
    """The bytes of an image's file.

    Parameters
    ----------
    image : where it is.

    Raises
    ------
    Unreadable : it is not there, is a pipe, or is too large.
    """
    if image.path is None:
        raise Unreadable(image.problem)
    try:
        if image.path.is_fifo():  # opening it would wait for a writer
            raise Unreadable("a pipe")
        with image.path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except OSError as error:
        raise Unreadable(reason_of(error)) from None
    except ValueError:  # a zero byte in the name
        raise Unreadable("not a file's name") from None
    if len(data) > LARGEST:
        raise Unreadable(f"larger than {LARGEST >> 20} MB")
    return data


@contextmanager
def pixels_limited() -> Iterator[None]:
    """Context in which Pillow refuses images with more pixels than it deems safe."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def open_image(data: bytes) -> PILImage:
    """An image in RGB, upright, over white, each side at most `SIDE` pixels.

    Parameters
    ----------
    data : bytes of a file of any format that Pillow reads; the first picture of several counts.

    Raises
    ------
    Unreadable : it is no image, is cut off, or has too many pixels (inside `pixels_limited`).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return upright.convert("RGB")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable("too many pixels") from None
    except UnidentifiedImageError:
        raise Unreadable("no image" if data else "an empty file") from None
    except Exception:  # Pillow's readers raise whatever a damaged file leads them to
        raise Unreadable("a damaged image") from None
