"""Crops as they are kept: PNG files of 8-bit RGB, written so that they are read fast.

They are decoded by OpenCV, which is faster than Pillow: only whole files with nothing in them but
pixels. PNG is lossless, so that these are the same. All other files are left to `read_image`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.media import read_image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = b"\x08\x02\x00\x00\x00"
"""The end of a header: 8 bits, RGB, deflated, filtered, not interlaced."""
PLAIN = (b"IHDR", b"IDAT", b"IEND")


def read_crop(path: Path) -> NDArray[np.uint8]:
    """Read a crop as RGB uint8 (H, W, 3).

    Raises
    ------
    MissingMedia, UnreadableMedia
        As `read_image`.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return read_image(path)  # which says what is wrong
    if not is_plain(data):
        return read_image(path)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        return read_image(path)
    crop: NDArray[np.uint8] = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded)
    return crop


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image (H, W, 3) as PNG whose rows are differences to the row above.

    These are undone in half the time of the filter that is usually chosen for photos, and the file
    is about as large.
    """
    height, width = image.shape[:2]
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # the filter "up"
    rows[:, 1:] = image.reshape(height, -1)
    rows[1:, 1:] -= image.reshape(height, -1)[:-1]
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    chunks = {
        b"IHDR": struct.pack(">II", width, height) + RGB,
        b"IDAT": deflate.compress(rows.tobytes()) + deflate.flush(),
        b"IEND": b"",
    }
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def is_plain(data: bytes) -> bool:
    """Tell whether these are the bytes of an undamaged RGB PNG without any further information.

    Orientation, transparency and the like would be in further chunks.
    """
    if not data.startswith(SIGNATURE) or data[24:29] != RGB:
        return False
    at, kind = len(SIGNATURE), b""
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if kind not in PLAIN or data[end : end + 4] != _checksum(data, at + 4, end):
            return False
        at = end + 4
    return kind == b"IEND" and at == len(data)


def _checksum(data: bytes, start: int, end: int) -> bytes:
    return struct.pack(">I", zlib.crc32(memoryview(data)[start:end]))
