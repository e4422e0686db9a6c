"""From a picture's file, or its bytes, to RGB uint8 (H, W, 3), upright as it is shown."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.errors import MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image


def read_image(path: str | Path) -> Image:
    """Read a picture as RGB uint8 (H, W, 3).

    It is turned upright by its EXIF orientation. Palettes are resolved; transparent parts are put
    on black; of 16-bit samples the upper byte is kept; of an animation, the first frame is read.
    Colour profiles are not applied.

    Raises
    ------
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If it is no picture, is cut off, or has samples without a defined range.
    """
    path = existing_file(path)
    return _decoded(path, path)


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

    try:
        with pillow.open(source) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return _rgb(upright)
    except (
        OSError,
        SyntaxError,
        ValueError,
        IndexError,
        struct.error,
        zlib.error,
        pillow.DecompressionBombError,
    ) as error:
        raise UnreadableMedia(
            f"{name} cannot be read as a picture ({line_of(error, source)}); expected is a whole "
            "picture: copy or export it again."
        ) from None


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
