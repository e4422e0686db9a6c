"""From files to frames: pictures, videos, and which frames of a video are looked at.

Paths enter; RGB uint8 arrays (H, W, 3) and `Frame` values leave, upright as a player shows them. A
video is read in one sequential pass that keeps only the wanted frames: seeking to each of 32 frames
costs many times as much. A frame's number is its place in order of display among the frames that
decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from gendkit.data.pictures import (
    count_pictures,
    existing_file,
    line_of,
    pixels_of,
    read_animation,
)
from gendkit.data.pictures import read_image as read_image
from gendkit.data.video import Opened, decoded, decoding_error, upright
from gendkit.data.whole import missing
from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg"}
    | {".png", ".tif", ".tiff", ".webp"}
)
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
Order = Literal["spread", "uniform", "stride", "random"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a pass over a file's packets, or over its frames, tells.

    Attributes
    ----------
    frames
        Number of frames. Of a pass that stopped early, None: the rest was not seen.
    problem
        What is wrong with the file though frames can be had, in one line; empty if nothing is.
    pixels
        Of a frame, as the file states it; 0 where it was not looked at.
    """

    frames: int | None
    problem: str = ""
    pixels: int = 0


def is_image(path: str | Path) -> bool:
    """Tell by its suffix whether a file is a picture."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_video(path: str | Path) -> bool:
    """Tell by its suffix whether a file is a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def find_media(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List the pictures and videos that are meant by files and folders.

    Parameters
    ----------
    paths
        A file or folder, or several. Folders are searched at every depth; hidden files and folders
        in them are passed over, and so are folders of crops that gendkit made of others, and what
        has another suffix.

    Returns
    -------
    The files in the order given, those of a folder sorted by path, each once.

    Raises
    ------
    MissingMedia
        For a path that does not exist, and if a folder holds no media.
    UnreadableMedia
        For a file whose suffix is neither that of a picture nor of a video.
    """
    found: dict[Path, None] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if path.is_dir():
            made = _extracted(path)
            inside = [
                p
                for p in sorted(path.rglob("*"))
                if _is_media(p, under=path) and made.isdisjoint(p.parents)
            ]
            if not inside:
                raise MissingMedia(f"no picture or video under {path}; known: {_known()}.")
            found.update(dict.fromkeys(inside))
        elif not path.exists():
            raise MissingMedia(f"there is no file or folder {path}{_is_dataset(path)}.")
        elif is_image(path) or is_video(path):
            found[path] = None
        else:
            raise UnreadableMedia(f"{path} is neither picture nor video; known: {_known()}.")
    return list(found)


def count_frames(path: str | Path) -> int:
    """Count a video's frames by its packets, without decoding; a picture has one, or is animated.

    Raises
    ------
    MissingMedia, UnreadableMedia
        As `inspect`.
    """
    return inspect(path).frames or 0


def inspect(path: str | Path) -> Facts:
    """Count the frames that a file holds and say what is missing, without decoding.

    Raises
    ------
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If it is no video, or a video without any frame.
    """
    path = existing_file(path)
    if is_image(path):
        return Facts(
            frames=count_pictures(path), problem=_again(missing(path)), pixels=pixels_of(path)
        )
    shown = packets = 0
    problem, end = "", 0.0
    with Opened(path) as (container, stream):
        pixels = stream.width * stream.height
        try:
            for packet in container.demux(stream):
                if packet.size:
                    packets += 1
                    shown += not packet.is_discard
                    if packet.pts is not None:
                        end = max(
                            end, float((packet.pts + (packet.duration or 0)) * stream.time_base)
                        )
        except decoding_error() as error:
            problem = f"reading stops after {packets} frames: {line_of(error, path)}"
        if stream.frames > packets:
            problem = f"cut off: {packets} of the {stream.frames} announced frames are there"
        elif not stream.frames and container.duration:
            announced = container.duration / 1e6
            if announced - end > max(1.0, 0.05 * announced):
                problem = f"cut off: {announced:.1f} s are announced, the video ends at {end:.1f} s"
    if not shown:
        why = f" ({problem})" if problem else ""
        raise UnreadableMedia(
            f"{path} is a video without a frame{why}; expected is at least one: copy or export it "
            "again."
        )
    return Facts(frames=shown, problem=_again(problem or missing(path)), pixels=pixels)


def read_frames(path: str | Path, wanted: Iterable[int]) -> list[Frame]:
    """Read the wanted frames of a video or animation in one pass; a picture is its frame 0.

    Parameters
    ----------
    path
        The file.
    wanted
        Numbers of frames, in any order.

    Returns
    -------
    The frames in order of display; those that do not exist or do not decode are left out.

    Raises
    ------
    MissingMedia, UnreadableMedia
        As `walk_frames`.
    """
    frames: list[Frame] = []
    walk_frames(path, wanted, frames.append)
    return frames


def walk_frames(path: str | Path, wanted: Iterable[int], visit: Callable[[Frame], object]) -> Facts:
    """Call a function with each wanted frame, in order of display, holding one at a time.

    The pass ends behind the last wanted frame. A frame carries the container's time stamp in
    seconds, and is turned and mirrored as the container says; see `gendkit.data.video.upright` for
    its colours. Pixels are taken as square, the two fields of an interlaced frame stay woven
    together, high dynamic range is not mapped to a screen's, and transparency that VP8 and VP9 keep
    beside the frames is not seen.

    Returns
    -------
    The number of frames if the pass came to the end of the file, and what did not decode.

    Raises
    ------
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If it is no video, or if none of its frames decodes.
    """
    path = existing_file(path)
    left = set(wanted)
    if is_image(path):
        return _walk_pictures(path, left, visit)
    problems: list[str] = []
    number = 0
    with Opened(path) as (container, stream):
        # With frame threads the frames in flight are lost when a packet does not decode.
        stream.thread_type = "SLICE"
        for picture in decoded(container, stream, path, problems):
            if not left:
                return Facts(frames=None, problem=_summary(problems))
            if number in left:
                left.remove(number)
                if picture.is_corrupt:
                    problems.append(f"frame {number} is damaged")
                else:
                    visit(Frame(index=number, time=picture.time, image=upright(picture, path)))
            number += 1
    if not number:
        raise UnreadableMedia(
            f"no frame of {path} decodes ({_summary(problems) or 'it is empty'}); expected is at "
            "least one: copy or export it again."
        )
    return Facts(frames=number, problem=_summary(problems))


def frame_order(
    n: int, kind: Order = "spread", *, count: int = 32, seed: int = 0
) -> NDArray[np.int64]:
    """Return the order in which the frames of a video of n frames are looked at.

    Parameters
    ----------
    n
        Number of frames.
    kind
        `spread`: see `spread_order`; `random`: all frames, shuffled; both go on until enough faces
        are found. `uniform`: `count` frames at even distances, the first and the last included;
        `stride`: every (n // count)-th frame from the first; both are at most `count` frames.
    count
        How many frames are meant to be used.
    seed
        Of `random`.

    Returns
    -------
    Numbers of frames (M,), each once, M <= n.

    Raises
    ------
    InvalidArgument
        If n is negative, count is not positive, or the kind is unknown.
    """
    if n < 0 or count < 1:
        raise InvalidArgument(f"n is 0 or more and count 1 or more, got {n} and {count}.")
    match kind:
        case "spread":
            return spread_order(n)
        case "uniform":
            return np.unique(np.linspace(0, n - 1, min(n, count)).astype(np.int64))
        case "stride":
            return np.arange(0, n, max(1, n // count), dtype=np.int64)[:count]
        case "random":
            return np.random.default_rng(seed).permutation(n).astype(np.int64)
    raise InvalidArgument(f"frame order {kind!r} is not one of {', '.join(ORDERS)}.")


def spread_order(n: int) -> NDArray[np.int64]:
    """Return all of 0..n-1, each time the one farthest from all before it, from the middle on.

    The first is n // 2; of equally far ones the lowest is next.

    Returns
    -------
    (n,) a permutation.

    Notes
    -----
    Between two chosen numbers only the (lower) middle can be next, at half their distance. Halving
    all gaps of the largest distance at once takes O(n) in all. Once that distance is 1, the rest
    follows in ascending order.
    """
    middle = n // 2
    edges = [edge for edge in (0, n - 1) if abs(edge - middle) > 1]
    order = [np.arange(n, dtype=np.int64)[middle : middle + 1], np.asarray(edges, dtype=np.int64)]
    known = np.unique([middle, *edges])
    left, length = known[:-1], np.diff(known)
    while length.size and (farthest := int(length.max()) // 2) > 1:
        split = length // 2 == farthest
        order.append(left[split] + farthest)
        pieces = np.where(split, 2, 1)
        at = np.cumsum(pieces)[split] - 1
        left, length = np.repeat(left, pieces), np.repeat(length, pieces)
        left[at] += farthest
        length[at] -= farthest
        length[at - 1] = farthest
    chosen = np.concatenate(order)
    rest = np.ones(n, dtype=bool)
    rest[chosen] = False
    return np.concatenate([chosen, np.flatnonzero(rest)])


def _walk_pictures(path: Path, left: set[int], visit: Callable[[Frame], object]) -> Facts:
    """Visit the only frame of a picture, which has no time, or the wanted ones of an animation."""
    if count_pictures(path) == 1:
        if 0 in left:
            visit(Frame(index=0, image=read_image(path)))
        return Facts(frames=1)
    number, problem = 0, ""
    try:
        for time, image in read_animation(path):
            if not left:
                return Facts(frames=None)
            if number in left:
                left.remove(number)
                visit(Frame(index=number, time=time, image=image))
            number += 1
    except UnreadableMedia as error:
        if not number:
            raise
        problem = f"{line_of(error, path)} after {number} frames"
    return Facts(frames=number, problem=problem)


def _again(problem: str) -> str:
    return f"{problem}, copy it again to have all" if problem else ""


def _is_media(path: Path, *, under: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(under).parts)
    return not hidden and (is_image(path) or is_video(path)) and not path.is_dir()


def _extracted(path: Path) -> set[Path]:
    """Return the folders below a folder that hold crops."""
    from gendkit.data.manifest import FILE

    return {file.parent for file in path.rglob(FILE)} - {path}


def _known() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))


def _summary(problems: list[str]) -> str:
    counts = {text: problems.count(text) for text in problems}
    return "; ".join(f"{text} ({n} times)" if n > 1 else text for text, n in counts.items())


def _is_dataset(path: Path) -> str:
    """Return what to do where a path is no path, but the name of a dataset."""
    name, _, folder = str(path).partition(":")
    if name not in {part.name for part in plugins().parts if part.kind == "dataset"}:
        return ""
    opened = ", ".join(map(repr, filter(None, (name, folder))))
    return (
        f"; {name} is a dataset: `gendkit extract {path} OUT`, or "
        f"gk.extract(gk.dataset({opened}), OUT)"
    )
