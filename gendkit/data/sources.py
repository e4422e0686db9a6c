"""Where the frames of a clip come from: a file, or a function that renders them.

Both are asked for frames by number, in passes in order of display.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gendkit.data.masked import MaskedVideo
from gendkit.data.media import Facts, inspect, walk_frames
from gendkit.errors import GendkitError, UnreadableMedia
from gendkit.markup import visible, words_of
from gendkit.plugin.protocols import Clip, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELD = 64
"""How many frames are held at a time."""


class Source(Protocol):
    """Where frames come from; they are asked for by number, in passes in order of display."""

    def inspect(self) -> Facts:
        """Count the frames, and say what is wrong with the media."""
        ...

    def numbers(self, places: NDArray[np.int64]) -> list[int]:
        """Return the numbers of the frames at some places, counted in order of display."""
        ...

    def walk(self, wanted: Iterable[int], visit: Callable[[Frame], object]) -> Facts:
        """Call a function with each wanted frame; see `gendkit.data.media.walk_frames`."""
        ...


class File:
    """The frames of a video or picture."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def inspect(self) -> Facts:
        """Count them without decoding."""
        return inspect(self._path)

    def numbers(self, places: NDArray[np.int64]) -> list[int]:
        """Return the places: frames are numbered by them."""
        return [int(place) for place in places]

    def walk(self, wanted: Iterable[int], visit: Callable[[Frame], object]) -> Facts:
        """Decode them in one pass."""
        return walk_frames(self._path, wanted, visit)


class Rendered:
    """The frames that a function renders: kept if they are few, else rendered for each pass."""

    def __init__(self, render: Callable[[], Iterable[Frame]], *, name: str) -> None:
        self._render = render
        self._name = name
        self._numbers: list[int] = []
        self._kept: list[Frame] = []

    def inspect(self) -> Facts:
        """Render all once; keep them if they are few.

        Raises
        ------
        UnreadableMedia
            If there is none, if they do not come in order of display, or if the function fails.
        """
        for frame in self._frames():
            if self._numbers and frame.index <= self._numbers[-1]:
                raise UnreadableMedia(
                    f"clip {self._name!r} renders frame {frame.index} after frame "
                    f"{self._numbers[-1]}; frames come in order of display."
                )
            self._numbers.append(frame.index)
            if len(self._numbers) <= HELD:
                self._kept.append(frame)
        if not self._numbers:
            raise UnreadableMedia(f"clip {self._name!r} renders no frame.")
        if len(self._numbers) > HELD:
            self._kept.clear()
        return Facts(frames=len(self._numbers))

    def numbers(self, places: NDArray[np.int64]) -> list[int]:
        """Return the numbers that the frames were given."""
        return [self._numbers[place] for place in places]

    def walk(self, wanted: Iterable[int], visit: Callable[[Frame], object]) -> Facts:
        """Take the kept ones, or render them again as far as the last wanted one."""
        left = set(wanted)
        for frame in self._kept or self._frames():
            if frame.index in left:
                left.remove(frame.index)
                visit(frame)
            if not left:
                break
        return Facts(frames=None)

    def _frames(self) -> Iterator[Frame]:
        """Yield what is rendered; a function that fails costs its own clip."""
        try:
            for frame in self._render():
                if not isinstance(frame, Frame) or frame.index < 0:
                    raise UnreadableMedia(
                        f"clip {self._name!r} renders {_shown(frame)}; expected frames with "
                        "numbers from 0."
                    )
                yield frame
        except GendkitError:
            raise
        except Exception as error:  # code of a dataset
            why = visible(words_of(error)).rstrip(".")
            raise UnreadableMedia(f"clip {self._name!r} cannot be rendered: {why}.") from error


def _shown(frame: object) -> str:
    return f"frame {frame.index}" if isinstance(frame, Frame) else f"a {type(frame).__name__}"


def files_of(media: object) -> tuple[Path, ...]:
    """Return the files that a clip's media are; none for a function that renders its frames."""
    if isinstance(media, MaskedVideo):
        return media.video, media.masks
    return (Path(media),) if isinstance(media, str | Path) else ()


def source_of(media: str | Path | Clip) -> Source:
    """Return where the frames of a file, or of a clip, come from."""
    if not isinstance(media, Clip):
        return File(Path(media))
    if isinstance(media.media, str | Path):
        return File(Path(media.media))
    if isinstance(media.media, MaskedVideo):
        return media.media
    return Rendered(media.media, name=media.video)
