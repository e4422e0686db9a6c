"""A video whose manipulation masks are a video of their own, as FaceForensics++ has them.

Two files enter, frames with their masks leave. Both are read in passes over the wanted frames, like
any other file; masks are held compressed meanwhile, as a few kilobytes each.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.media import Facts, inspect, walk_frames
from gendkit.errors import MissingMedia, UnreadableMedia
from gendkit.plugin.protocols import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 16
"""Of 255: darker than this is black that was encoded with loss."""
AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class MaskedVideo:
    """The media of a clip: a video and that of its masks, frame by frame.

    A frame after the end of the masks has no mask, which is told as a problem of the clip.

    Attributes
    ----------
    video
        The file that is looked at.
    masks
        A video of the same size, black where nothing was manipulated.
    """

    video: Path
    masks: Path

    def __call__(self) -> Iterator[Frame]:
        """Yield all frames, a few at a time."""
        total = self.inspect().frames or 0
        for start in range(0, total, AT_ONCE):
            frames: list[Frame] = []
            self.walk(range(start, min(start + AT_ONCE, total)), frames.append)
            yield from frames

    def inspect(self) -> Facts:
        """Count the frames of the video without decoding, and say what is wrong with either file.

        Raises
        ------
        MissingMedia, UnreadableMedia
            If a file is gone or cannot be read. The text names no path.
        """
        with self._nameless():
            facts, of_masks = inspect(self.video), inspect(self.masks)
        apart = ""
        if facts.frames != of_masks.frames:
            apart = f"it has {facts.frames} frames and masks for {of_masks.frames}"
        about = f"masks: {of_masks.problem}" if of_masks.problem else ""
        problem = "; ".join(filter(None, (facts.problem, apart, about)))
        return Facts(frames=facts.frames, problem=problem)

    def numbers(self, places: NDArray[np.int64]) -> list[int]:
        """Return the places: frames are numbered by them."""
        return [int(place) for place in places]

    def walk(self, wanted: Iterable[int], visit: Callable[[Frame], object]) -> Facts:
        """Call a function with each wanted frame and its mask, in one pass over either file.

        Raises
        ------
        MissingMedia, UnreadableMedia
            As `inspect`.
        """
        wanted = list(wanted)
        kept: dict[int, tuple[tuple[int, ...], bytes]] = {}

        def keep(frame: Frame) -> None:
            mask = frame.image.max(axis=2) >= FLOOR
            kept[frame.index] = mask.shape, zlib.compress(np.packbits(mask).tobytes(), level=1)

        def give(frame: Frame) -> None:
            shape, packed = kept.pop(frame.index, ((), b""))
            if not packed:
                visit(frame)
                return
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            mask = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
            visit(replace(frame, mask=mask))

        with self._nameless():
            of_masks = walk_frames(self.masks, wanted, keep)
            facts = walk_frames(self.video, wanted, give)
        about = f"masks: {of_masks.problem}" if of_masks.problem else ""
        return replace(facts, problem="; ".join(filter(None, (facts.problem, about))))

    @contextmanager
    def _nameless(self) -> Iterator[None]:
        """Take this machine's paths out of errors: they become reasons in a manifest."""
        try:
            yield
        except (MissingMedia, UnreadableMedia) as error:
            text = str(error).replace(str(self.masks), "the file of its masks")
            raise type(error)(text.replace(str(self.video), "the file")) from error
