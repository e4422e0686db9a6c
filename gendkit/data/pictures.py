"""From a picture's file, or its bytes, to RGB uint8 (H, W, 3), upright as it is shown.

An animation is a picture of several frames, each with a time.
"""

from __future__ import annotations

import contextlib
import io
import itertools
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
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")
"""Of these Pillow reads files, whatever they are called: other formats run other programs."""
PIXELS = 1 << 27
"""Of a picture, or a frame of a video, at most: what states more is not decoded."""
FRAMES = 1 << 17
"""Of an animation, at most."""
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

    Of a damaged animation those count that can be read. What cannot be read at all counts as 1,
    whose reading then says what is wrong.

    Raises
    ------
    UnreadableMedia
        If an animation is stated to have more than `FRAMES` frames, or more than `PIXELS` pixels.
    """
    path = Path(path)
    if path.suffix.lower() not in ANIMATED:
        return 1
    try:
        with _opened(path, path) as picture:
            count = int(getattr(picture, "n_frames", 1))
    except _unreadable():
        count = _readable(path)
    if count > FRAMES:
        raise UnreadableMedia(
            f"{path} is an animation of {count:,} frames, more than the {FRAMES:,} that are read; "
            "cut it into shorter ones."
        )
    return count


def _readable(path: Path) -> int:
    """Count the frames of an animation before the first that does not decode; at least 1."""
    number = 0
    with contextlib.suppress(UnreadableMedia):
        for number, _ in enumerate(read_animation(path), start=1):
            if number > FRAMES:
                break
    return max(number, 1)


def pixels_of(path: str | Path) -> int:
    """Return how many pixels a picture states that it has; 0 if it cannot be read."""
    try:
        with _opened(Path(path), path) as picture:
            return int(picture.width * picture.height)
    except _unreadable():
        return 0


def check_pixels(name: str | Path, width: int, height: int) -> None:
    """Refuse media that state more pixels than `PIXELS`.

    Raises
    ------
    UnreadableMedia
        Naming it.
    """
    if width * height > PIXELS:
        raise UnreadableMedia(
            f"{name} states {width:,} x {height:,} pixels, more than the {PIXELS:,} that are "
            "decoded; make it smaller."
        )


def read_animation(path: str | Path) -> Iterator[tuple[float, Image]]:
    """Yield the frames of an animation, each with the time in seconds at which it is first shown.

    Each is what is seen then: what a frame leaves as it was is there. It is turned upright as
    `read_image` does it, and transparent parts are put on black. A frame without a duration counts
    as a tenth of a second.

    Raises
    ------
    UnreadableMedia
        At the first frame that does not decode.
    """
    from PIL import ImageOps

    path = existing_file(path)
    time = 0.0
    try:
        with _opened(path, path) as picture:
            for number in itertools.count():
                try:
                    picture.seek(number)
                except EOFError:
                    return
                picture.load()
                # Some formats tell a frame's duration only once it is decoded.
                duration = float(picture.info.get("duration") or 1000 * UNTIMED) / 1000
                yield time, _rgb(ImageOps.exif_transpose(picture))
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
    from PIL import ImageOps

    todo = "copy or export it again"
    if Path(name).suffix.lower() in BY_HEIF and not _with_heif():
        todo = "HEIC needs a package: python -m pip install pillow-heif"
    try:
        with _opened(source, name) as picture:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            return _rgb(picture)
    except _unreadable() as error:
        raise UnreadableMedia(
            f"{name} cannot be read as a picture ({line_of(error, source)}); expected is a whole "
            f"picture: {todo}."
        ) from None


def _opened(source: Path | io.BytesIO, name: str | Path) -> Any:
    """Open a picture of a known format, without decoding it, if it is not too large."""
    from PIL import Image as pillow

    pillow.init()
    if Path(name).suffix.lower() in BY_HEIF:
        _with_heif()
    try:
        picture = pillow.open(source, formats=[kind for kind in FORMATS if kind in pillow.OPEN])
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise UnreadableMedia(
            f"{name} states more pixels than the {PIXELS:,} that are decoded; make it smaller."
        ) from None
    try:
        check_pixels(name, *picture.size)
    except UnreadableMedia:
        picture.close()
        raise
    return picture


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for files that are none, or damaged."""
    return (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error)


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
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def existing_file(path: str | Path) -> Path:
    """Return the path of a file that exists, else raise `MissingMedia`."""
    path = Path(path)
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "no file"
        if path.exists() and not path.is_dir():
            kind = "a device or a pipe, not a file"
        raise MissingMedia(f"{path} is {kind}.")
    return path


def line_of(error: Exception, path: Path | io.BytesIO) -> str:
    """Return an error's text in one line, without the path, which a message has already."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].replace(repr(str(path)), "").replace(repr(path), "").strip(" :")
