"""Images of items from files and folders, readable and not."""

from __future__ import annotations

import csv
import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr import paths
from mmsr.data.encoders import run
from mmsr.data.encoders.images import (
    ImageFile,
    Unreadable,
    files_by_id,
    open_image,
    pixels_limited,
    read_image,
)
from mmsr.errors import UserError

COLOURS = {"image_encoder": "fakes:Colours"}
MEMORY = Path("/proc/self/mem")
RED, BLUE = (250, 10, 20), (10, 20, 250)


def picture(path: Path, colour: tuple[int, ...] = RED, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def as_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reasons(made) -> dict[str, str]:
    with (paths.datasets() / made.dataset.name / "without_vectors.csv").open(newline="") as file:
        return {row["item_id"]: row["reason"] for row in csv.DictReader(file)}


def test_paths_start_from_the_items_table(shop, tmp_path):
    for i in range(10):
        picture(tmp_path / "photos" / f"{i}.png", (i * 20, 0, 0))
    absolute = picture(tmp_path / "elsewhere" / "x.png", BLUE)
    images = [f"photos/{i}.png" for i in range(10)] + [str(absolute), None]
    made = shop.make({"image": images}, **COLOURS)
    expected = {f"i{i}": [i * 20, 0, 0, 1] for i in range(10)} | {"i10": [*BLUE, 1]}
    assert shop.vectors(made, "image") == expected
    assert [len(batch) for batch in shop.batches()] == [3, 3, 3, 2]
    assert reasons(made) == {"i11": "nothing given"}
    assert made.dataset.manifest.provenance.dropped.unencoded == {}
    assert all("image" not in line for line in shop.said)


def test_files_named_by_item_id_need_no_items_table(shop, tmp_path):
    for i in range(0, 12, 2):
        picture(tmp_path / "photos" / f"i{i}.PNG", (i, i, i))
    picture(tmp_path / "photos" / "unknown.png")
    (tmp_path / "photos" / "i1.txt").write_text("no image")
    made = shop.make(images=tmp_path / "photos", **COLOURS)
    assert shop.vectors(made, "image") == {f"i{i}": [i, i, i, 1] for i in range(0, 12, 2)}
    command = made.dataset.manifest.provenance.command("d")
    assert f"--images {tmp_path}/photos" in command
    assert "--image-encoder fakes:Colours" in command


def test_the_column_counts_before_a_file_named_by_id(shop, tmp_path):
    picture(tmp_path / "photos" / "blue.png", BLUE)
    for i in (0, 1):
        picture(tmp_path / "photos" / f"i{i}.png", RED)
    made = shop.make({"image": ["blue.png", *[None] * 11]}, images=tmp_path / "photos", **COLOURS)
    assert shop.vectors(made, "image") == {"i0": [*BLUE, 1], "i1": [*RED, 1]}


def test_what_cannot_be_read_is_listed_and_has_no_vector(shop, tmp_path):
    whole = as_bytes(Image.effect_noise((64, 64), 50), "JPEG")
    files = {
        "cut.jpg": whole[: len(whole) // 2],
        "empty.png": b"",
        "text.png": b"<html>404</html>",
        "good.png": as_bytes(Image.new("RGB", (4, 4), RED)),
        "other.png": as_bytes(Image.new("RGB", (4, 4), BLUE)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    names = [*files, "missing.png", "folder.png", "a\0b.png", "x" * 300 + ".png"]
    made = shop.make({"image": [*names, None, "good.png", "text.png"]}, **COLOURS)
    assert set(shop.vectors(made, "image")) == {"i3", "i4", "i10"}
    found = reasons(made)
    assert found == {
        "i0": "a damaged image",
        "i1": "an empty file",
        "i2": "no image",
        "i5": "no such file",
        "i6": "Is a directory",
        "i7": "not a file's name",
        "i8": "File name too long",
        "i9": "nothing given",
        "i11": "no image",
    }
    assert made.dataset.manifest.provenance.dropped.unencoded == {"image": 8}
    assert shop.said[-1] == (
        "note: 8 items have no image vector (all in without_vectors.csv): i0: cut.jpg a damaged "
        "image; i1: empty.png an empty file; i11: text.png no image; …"
    )


@pytest.mark.parametrize("encoder", ["fakes:Colours", "fakes:AllColours"])
def test_none_that_can_be_read_is_an_error(shop, tmp_path, encoder):
    with pytest.raises(UserError, match=r"none of 12 images gives a vector: .*no such file"):
        shop.make({"image": [f"{i}.png" for i in range(12)]}, image_encoder=encoder)


def test_vectors_that_depend_on_all_images_are_not_cached(shop, tmp_path):
    for i in range(9):
        picture(tmp_path / f"{i}.png", (i % 5, 0, 0))
    (tmp_path / "9.png").write_bytes(b"no image")
    images = [f"{i}.png" for i in range(11)] + [None]
    for overwrite in (False, True):
        made = shop.make({"image": images}, overwrite=overwrite, image_encoder="fakes:AllColours")
        assert shop.vectors(made, "image") == {f"i{i}": [i % 5, 0, 0, 1] for i in range(9)}
        assert reasons(made) == {"i9": "no image", "i10": "no such file", "i11": "nothing given"}
        assert [len(batch) for batch in shop.batches()] == [9] * (1 + overwrite)
    assert not paths.vectors_cache().exists()


def test_a_changed_photo_is_another_input(shop, tmp_path):
    photos = [picture(tmp_path / "photos" / f"i{i}.png", (i, 0, 0)) for i in range(12)]
    for colour, settings in (
        (BLUE, {"images": tmp_path / "photos"}),
        (RED, {"items": {"image": [f"photos/i{i}.png" for i in range(12)]}}),
    ):
        role = "images" if "images" in settings else "items/images"
        name = role.replace("/", "-")
        shop.make(name=name, **settings, **COLOURS)
        shop.encoded()
        assert not shop.make(name=name, **settings, **COLOURS).fresh
        picture(photos[3], colour)
        with pytest.raises(UserError, match=rf"made differently \({role}\)"):
            shop.make(name=name, **settings, **COLOURS)
        made = shop.make(name=name, overwrite=True, **settings, **COLOURS)
        assert shop.encoded() == [[8, 6, "RGB"]] * 3, "its batch"
        assert shop.vectors(made, "image")["i3"] == [*colour, 1]
        assert made.dataset.manifest.provenance.inputs[-1].role == role
        picture(photos[3], (3, 0, 1))


def test_an_interrupted_import_encodes_the_remaining_images(shop, tmp_path, monkeypatch):
    for i in range(12):
        picture(tmp_path / "photos" / f"i{i}.png", (i, 0, 0))
    monkeypatch.setenv("FAKE_FAILS_AT", "2")
    with pytest.raises(UserError, match="the power went"):
        shop.make(images=tmp_path / "photos", **COLOURS)
    assert len(shop.encoded()) == 6
    monkeypatch.delenv("FAKE_FAILS_AT")
    made = shop.make(images=tmp_path / "photos", **COLOURS)
    assert len(shop.encoded()) == 6
    assert len(shop.vectors(made, "image")) == 12


@pytest.mark.skipif(not MEMORY.exists(), reason="needs a file that even root cannot read")
def test_files_that_cannot_be_read_are_a_missing_modality(shop, tmp_path):
    photos = tmp_path / "photos"
    for i in range(3, 12):
        picture(photos / f"i{i}.png", (i, 0, 0))
    (photos / "i1.png").symlink_to(MEMORY)
    os.mkfifo(photos / "i2.png")
    (photos / "more").mkdir()
    (photos / "more" / "named.png").symlink_to(MEMORY)
    (photos / "notes.txt").symlink_to(MEMORY)
    (photos / os.fsdecode(b"\xff.png")).symlink_to(MEMORY)
    given = {"items": {"image": ["more/named.png", *[None] * 11]}, "images": photos}
    made = shop.make(**given, **COLOURS)
    unread = "Input/output error"
    assert reasons(made) == {"i0": unread, "i1": unread, "i2": "a pipe"}
    assert set(shop.vectors(made, "image")) == {f"i{i}" for i in range(3, 12)}
    (photos / "notes.txt").unlink()
    (photos / "notes.txt").write_text("of no item")
    assert not shop.make(**given, **COLOURS).fresh
    (photos / "i1.png").unlink()
    picture(photos / "i1.png", (1, 0, 0))
    with pytest.raises(UserError, match=r"made differently \(images\)"):
        shop.make(**given, **COLOURS)


def test_a_photo_that_changes_meanwhile_is_not_kept_as_the_one_of_before(
    shop, tmp_path, monkeypatch
):
    for i in range(12):
        picture(tmp_path / "photos" / f"i{i}.png", (i, 0, 0))

    encode = run._encode

    def changing(*given):
        picture(tmp_path / "photos" / "i3.png", BLUE)
        return encode(*given)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_encode", changing)
        made = shop.make(images=tmp_path / "photos", **COLOURS)
    assert reasons(made) == {"i3": "changed meanwhile"}
    for colour in (BLUE, (3, 0, 0)):
        picture(tmp_path / "photos" / "i3.png", colour)
        made = shop.make(images=tmp_path / "photos", overwrite=True, **COLOURS)
        assert shop.vectors(made, "image")["i3"] == [*colour, 1]


def test_an_absent_folder_of_images_is_refused(shop, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        shop.make(images=tmp_path / "nowhere", **COLOURS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_images_of_every_mode_become_rgb(mode):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    grey = Image.new("L", (5, 7), 0)
    image = Image.new("I;16", (5, 7)) if mode == "I;16" else grey.convert(mode)
    opened = open_image(as_bytes(image, kind))
    assert (opened.mode, opened.size) == ("RGB", (5, 7))


def test_transparent_parts_are_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (10, 20, 30, 255))
    pixels = np.asarray(open_image(as_bytes(image)))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [10, 20, 30]


def test_photos_are_turned_as_the_camera_says():
    image = Image.new("RGB", (40, 20), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert open_image(as_bytes(image, "JPEG", exif=exif)).size == (20, 40)


def test_large_images_are_reduced():
    assert open_image(as_bytes(Image.new("RGB", (3000, 1500)), "JPEG")).size == (1024, 512)


def test_images_of_too_many_pixels_are_refused():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    header = (12_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    with pixels_limited(), pytest.raises(Unreadable, match="too many pixels"):
        open_image(bomb)


def test_files_larger_than_the_limit_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("mmsr.data.encoders.images.LARGEST", 1 << 20)
    path = tmp_path / "a.png"
    path.write_bytes(bytes(2 << 20))
    with pytest.raises(Unreadable, match="larger than 1 MB"):
        read_image(ImageFile("a.png", path))


def test_the_first_file_of_an_id_counts(tmp_path):
    for name in ("b.png", "a.v2.jpeg", "b.gif", "c.txt"):
        (tmp_path / name).touch()
    assert files_by_id(tmp_path) == {"a.v2": tmp_path / "a.v2.jpeg", "b": tmp_path / "b.gif"}
