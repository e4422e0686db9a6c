"""What a clip's own file states, for the manifest's columns `source_...`; told, never believed.

They are kept so that one can see whether they tell real from fake: a detector would then be praised
for knowing a codec. What is not stated keeps the default of its column. Nothing is kept that could
name a file, a person or a computer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from gendkit.data.container import container_facts, quantisation_tables
from gendkit.data.media import is_image
from gendkit.data.sources import files_of
from gendkit.errors import MissingMedia, UnreadableMedia
from gendkit.plugin.protocols import Clip, Frame

DIGITS = 12
LUMINANCE = 0
"""Number of the table of brightness, by custom."""


class SourceFacts:
    """The facts about one clip.

    Of rendered frames only the size is known, and only once they were rendered: whoever examines
    the clip takes `clip`, which notes it.
    """

    def __init__(self, clip: Clip) -> None:
        self._media = clip.media
        self._size: tuple[int, int] | None = None
        self.clip = clip if files_of(clip.media) else replace(clip, media=self._noted)

    def columns(self) -> dict[str, Any]:
        """Return the manifest's columns that are known."""
        if files := files_of(self._media):
            return file_columns(files[0])
        if self._size is None:
            return {}
        return {"source_width": self._size[1], "source_height": self._size[0]}

    def _noted(self) -> Iterator[Frame]:
        for frame in cast(Callable[[], Iterable[Frame]], self._media)():
            shape = np.shape(frame.image)
            self._size = (shape[0], shape[1]) if len(shape) > 1 else None
            yield frame


def file_columns(path: str | Path) -> dict[str, Any]:
    """Return the columns `source_...` of a picture or video that are known.

    Of a file that cannot be read only its size is, and of one that is not there, nothing.
    """
    path = Path(path)
    try:
        known: dict[str, Any] = {"source_bytes": path.stat().st_size}
    except OSError:
        return {}
    try:
        facts = container_facts(path)
        tables = quantisation_tables(path) if is_image(path) else {}
    except (MissingMedia, UnreadableMedia):
        return known
    kinds = ("picture", "pictures")
    stream = next((s for s in facts["streams"] if s["kind"] in kinds), None)
    if stream is None:
        return known
    known |= {
        "source_width": stream["width"] or None,  # 0 is a file's way to say that it does not know
        "source_height": stream["height"] or None,
        "source_codec": stream["codec"] if is_image(path) else _canonical(stream["codec"]),
        "source_pixel_format": stream["pixels"],
        "source_frame_rate": stream["frame_rate"] or None,
        "source_duration": facts["duration"],
    }
    if tables:
        text = json.dumps({str(k): list(v) for k, v in sorted(tables.items())})
        known["source_tables"] = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        known["source_quantisation"] = float(np.mean(tables.get(LUMINANCE, [np.nan])))
    return {name: value for name, value in known.items() if value is not None}


def _canonical(name: str | None) -> str | None:
    """Return a codec's own name: which decoder reads it differs from computer to computer."""
    import av

    if not name:
        return None
    try:
        return str(av.Codec(name, "r").canonical_name)
    except (av.error.FFmpegError, ValueError):
        return name
