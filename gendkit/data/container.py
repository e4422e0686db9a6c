"""What a file says of itself: container, streams, codecs, tags; told, never believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gendkit.data.media import is_image
from gendkit.data.video import open_container
from gendkit.errors import MissingMedia, UnreadableMedia, first_line

BLOCK = 1 << 20
EXIF = {
    271: "make", 272: "model", 305: "software", 306: "date_time", 315: "artist",
    36867: "date_time_original", 42036: "lens",
}  # fmt: skip
_SUB = 0x8769


def file_hash(path: str | Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises
    ------
    MissingMedia
        If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingMedia(f"there is no file {path}.")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def container_facts(path: str | Path) -> dict[str, Any]:
    """Return what the container of a picture or video states, as JSON values.

    Anybody can write anything there. Texts are as the file has them, for whoever shows them to
    escape.

    Returns
    -------
    dict
        `format`, `duration` in seconds and `bit_rate` in bit/s (None if not stated), `tags`, and
        `streams`: one mapping each with `kind`, `codec` and, of pictures, `width`, `height`,
        `pixels` (their format), `frame_rate` and `frames` as stated; of sound, `sample_rate` and
        `channels`.

    Raises
    ------
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If it is neither picture nor video.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingMedia(f"there is no file {path}.")
    return _picture(path) if is_image(path) else _video(path)


def quantisation_tables(path: str | Path) -> Mapping[int, Sequence[int]]:
    """Return a JPEG's quantisation tables by number, each 64 steps; of other pictures none.

    Raises
    ------
    UnreadableMedia
        If it is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            tables: Mapping[int, Sequence[int]] = getattr(picture, "quantization", {})
            return tables or {}
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise UnreadableMedia(f"{path} is no picture ({first_line(error)}).") from None


def _picture(path: Path) -> dict[str, Any]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            exif = picture.getexif()
            both = {**exif, **exif.get_ifd(_SUB)}
            tags = {name: str(both[key]).strip() for key, name in EXIF.items() if key in both}
            stream = {
                "kind": "picture",
                "codec": str(picture.format or "").lower(),
                "width": picture.width,
                "height": picture.height,
                "pixels": picture.mode,
                "frame_rate": None,
                "frames": getattr(picture, "n_frames", 1),
            }
            return {
                "format": str(picture.format or "").lower(),
                "duration": None,
                "bit_rate": None,
                "tags": tags,
                "streams": [stream],
            }
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise UnreadableMedia(
            f"{path} cannot be read as a picture ({first_line(error)}); expected is a whole "
            "picture: copy or export it again."
        ) from None


def _video(path: Path) -> dict[str, Any]:
    with open_container(path) as container:
        return {
            "format": container.format.name,
            "duration": None if container.duration is None else container.duration / 1e6,
            "bit_rate": container.bit_rate or None,
            "tags": _tags(container.metadata),
            "streams": [_stream(stream) for stream in container.streams],
        }


def _stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    facts: dict[str, Any] = {
        "kind": {"video": "pictures", "audio": "sound"}.get(stream.type, stream.type),
        "codec": getattr(context, "name", None),
        "profile": getattr(context, "profile", None),
        "tags": _tags(stream.metadata),
    }
    if stream.type == "video":
        rate = stream.average_rate
        facts |= {
            "width": context.width,
            "height": context.height,
            "pixels": context.pix_fmt,
            "frame_rate": None if rate is None else float(rate),
            "frames": stream.frames or None,
        }
    elif stream.type == "audio":
        facts |= {
            "sample_rate": context.sample_rate,
            "channels": getattr(context, "channels", None),
        }
    return facts


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {str(key): str(value) for key, value in tags.items()}
