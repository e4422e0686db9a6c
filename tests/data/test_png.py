"""Crops as PNG: the same pixels however they are written and read, and nothing damaged."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gendkit.data import png
from gendkit.data.media import read_image
from gendkit.data.png import encode_png, is_plain, read_crop
from gendkit.errors import MissingMedia, UnreadableMedia


def crop(height: int = 40, width: int = 31) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (40, 31), (200, 200)])
def test_what_is_written_is_read_by_anybody(size: tuple[int, int]) -> None:
    image = crop(*size)
    data = encode_png(image)
    assert is_plain(data)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1], image)


def test_a_part_of_an_image_is_written_too() -> None:
    part = crop(40, 40)[3:20, ::2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(part)))), part)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_plain_files_are_read_without_pillow_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    Image.fromarray(crop()).save(tmp_path / "a.png", compress_level=level)
    expected = read_image(tmp_path / "a.png")
    monkeypatch.setattr(png, "read_image", None)
    assert np.array_equal(read_crop(tmp_path / "a.png"), expected)


def save(path: Path, kind: str) -> None:
    image = Image.fromarray(crop())
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, "PNG", exif=exif)
    elif kind == "text":
        info = PngImagePlugin.PngInfo()
        info.add_text("author", "nobody")
        image.save(path, "PNG", pnginfo=info)
    elif kind == "transparent":
        image.save(path, "PNG", transparency=(1, 2, 3))
    elif kind == "alpha":
        image.putalpha(90)
        image.save(path, "PNG")
    elif kind == "16 bits":
        Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(40, 30) * 50).save(path, "PNG")
    else:
        image.convert(kind).save(path, "PNG")


@pytest.mark.parametrize(
    "kind", ["turned", "text", "transparent", "alpha", "16 bits", "L", "P", "1"]
)
def test_every_other_png_is_left_to_the_general_reader(tmp_path: Path, kind: str) -> None:
    save(tmp_path / "a.png", kind)
    assert not is_plain((tmp_path / "a.png").read_bytes())
    assert np.array_equal(read_crop(tmp_path / "a.png"), read_image(tmp_path / "a.png"))


def test_other_formats_are_read_as_before(tmp_path: Path) -> None:
    Image.fromarray(crop()).save(tmp_path / "a.jpg")
    assert np.array_equal(read_crop(tmp_path / "a.jpg"), read_image(tmp_path / "a.jpg"))


def test_a_changed_byte_anywhere_makes_a_file_not_plain() -> None:
    data = encode_png(crop(6, 5))
    assert is_plain(data)
    for at in range(len(data)):
        assert not is_plain(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]), at
    for end in range(len(data)):
        assert not is_plain(data[:end]), end
    assert not is_plain(data + b"\0")


def test_a_file_that_is_cut_off_or_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(crop())[:900])
    with pytest.raises(UnreadableMedia, match="expected is a whole picture"):
        read_crop(tmp_path / "a.png")
    with pytest.raises(MissingMedia):
        read_crop(tmp_path / "b.png")
