"""From a picture's file, or its bytes, to RGB uint8 (H, W, 3), upright as it is shown.

An animation is a picture of several frames, each with a time.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.errors import MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

ANIMATED = frozenset({".gif", ".png", ".webp", ".avif"})
"""Suffixes of pictures that can have several frames."""
BY_HEIF = frozenset({".heic", ".heif"})
"""Those that Pillow reads with the package pillow-heif."""
UNTIMED = 0.1
"""Seconds that a frame of an animation is shown if the file does not say it, as in browsers."""


def read_image(path: str | Path) -> Image:
    """Read a picture as RGB uint8 (H, W, 3).

    It is turned upright by its EXIF orientation. Palettes are resolved; transparent parts are put
    on black; of 16-bit samples the upper byte is kept; of an animation, the first frame is read
    (see `read_animation`). Colour profiles are not applied.

    Raises
    ------
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If it is no picture, is cut off, or has samples without a defined range.
    """
    path = existing_file(path)
    return _decoded(path, path)


def count_pictures(path: str | Path) -> int:
    """Return how many frames a picture's file has: 1, or more for an animation.

    What cannot be read counts as 1, whose reading then says what is wrong.
    """
    path = Path(path)
    if path.suffix.lower() not in ANIMATED:
        return 1
    from PIL import Image as pillow

    try:
        with pillow.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except _unreadable():
        return 1


def read_animation(path: str | Path) -> Iterator[tuple[float, Image]]:
    """Yield the frames of an animation, each with the time in seconds at which it is first shown.

    Each is what is seen then: what a frame leaves as it was is there. Transparent parts are put on
    black. A frame without a duration counts as a tenth of a second.

    Raises
    ------
    UnreadableMedia
        At the first frame that does not decode.
    """
    from PIL import Image as pillow

    path = existing_file(path)
    time = 0.0
    try:
        with pillow.open(path) as picture:
            for number in range(int(getattr(picture, "n_frames", 1))):
                picture.seek(number)
                picture.load()
                # Some formats tell a frame's duration only once it is decoded.
                duration = float(picture.info.get("duration") or 1000 * UNTIMED) / 1000
                yield time, _rgb(picture)
                time += duration
    except _unreadable() as error:
        raise UnreadableMedia(f"{path} stops being readable ({line_of(error, path)}).") from None


def decode_image(data: bytes, *, name: str) -> Image:
    """Read a picture out of the bytes of its file, as `read_image` does.

    Parameters
    ----------
    data
        The file's content.
    name
        What the picture is called in an error.

    Raises
    ------
    UnreadableMedia
        As `read_image`.
    """
    return _decoded(io.BytesIO(data), name)


def _decoded(source: Path | io.BytesIO, name: str | Path) -> Image:
    from PIL import Image as pillow
    from PIL import ImageOps

    todo = "copy or export it again"
    if Path(name).suffix.lower() in BY_HEIF and not _with_heif():
        todo = "HEIC needs a package: python -m pip install pillow-heif"
    try:
        with pillow.open(source) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return _rgb(upright)
    except _unreadable() as error:
        raise UnreadableMedia(
            f"{name} cannot be read as a picture ({line_of(error, source)}); expected is a whole "
            f"picture: {todo}."
        ) from None


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for files that are none, or damaged."""
    from PIL.Image import DecompressionBombError

    kinds = (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error)
    return (*kinds, DecompressionBombError)


def _with_heif() -> bool:
    """Let Pillow read HEIC, if the package for it is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        return True
    return False


def _rgb(picture: Any) -> Image:
    from PIL import Image as pillow

    wide = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG")
    if wide:
        grey = (np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode in ("I", "F"):
        raise ValueError(f"samples of mode {picture.mode} have no defined range")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        black = pillow.new("RGBA", clear.size, (0, 0, 0, 255))
        picture = pillow.alpha_composite(black, clear)
    return np.array(picture.convert("RGB"))


def existing_file(path: str | Path) -> Path:
    """Return the path of a file that exists, else raise `MissingMedia`."""
    path = Path(path)
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "no file"
        raise MissingMedia(f"{path} is {kind}.")
    return path


def line_of(error: Exception, path: Path | io.BytesIO) -> str:
    """Return an error's text in one line, without the path, which a message has already."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].replace(repr(str(path)), "").replace(repr(path), "").strip(" :")
