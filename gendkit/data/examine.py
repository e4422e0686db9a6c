"""From one clip to its face crops: which frames are looked at, and what was found in each.

A file or a `Clip` enters; an `Examined` with one `Crop` a frame, or a face, leaves, in order of
time. Frames are decoded in rounds: as many as faces are wanted in a first pass, then, while faces
are missing, more in further passes; at most 64 frames are held at a time. The result is that of
looking at one frame after the other until there are enough faces.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gendkit.data.extractors import UNBUILT
from gendkit.data.faces import align_face, by_size, largest_face, overlapping_face
from gendkit.data.media import ORDERS, Facts, Order, frame_order
from gendkit.data.sources import HELD, Source, source_of
from gendkit.data.tracks import link
from gendkit.errors import InvalidArgument, InvalidImage, first_line
from gendkit.markup import card, visible
from gendkit.plugin.protocols import Clip, Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Face, FaceExtractor, Image

LEAST = 16
NO_FACE = "no face found"
EMPTY_MASK = "the manipulation mask is empty"
OFF_MASK = "no face overlaps the manipulation mask"
DAMAGED = "the frame does not decode"
NO_FRAME = "the clip has no such frame"

Box = tuple[float, float, float, float]
Which = Literal["largest", "all"]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What was found in one frame.

    Attributes
    ----------
    frame, time
        Number in order of display, and time stamp in seconds; None for a picture.
    image
        RGB uint8 crop of the face that is meant, or None without a usable face.
    box, landmarks
        In pixels of the frame, to hundredths: left, top, right, bottom, and five x, y; None
        without a face.
    confidence
        Of the face extractor; None where the dataset gave the landmarks.
    reason
        Why there is no crop; empty if there is one.
    track
        Person within the clip, from 0, where all faces are taken; see `gendkit.data.tracks`.
    """

    frame: int
    time: float | None
    image: Image | None = field(default=None, repr=False)
    box: Box | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    confidence: float | None = None
    reason: str = ""
    track: int = 0


Crops = tuple[Crop, ...]


@dataclass(frozen=True, kw_only=True)
class Examined:
    """All that was looked at in one clip.

    Attributes
    ----------
    crops
        In order of time: one a frame, or of all faces one each, of a frame the largest first;
        frames without a usable face are among them.
    frames_total
        Number of frames of the clip, as far as they decode.
    frames_looked_at
        How many of them a face was sought in.
    problem
        What is wrong with the file though frames could be read, such as being cut off; empty if
        nothing is.
    """

    crops: tuple[Crop, ...]
    frames_total: int
    frames_looked_at: int
    problem: str = ""

    @property
    def faces(self) -> tuple[Crop, ...]:
        """The crops that have an image."""
        return tuple(crop for crop in self.crops if crop.image is not None)

    def __repr__(self) -> str:
        return f"Examined({self._counts})"

    def _repr_html_(self) -> str:
        reasons = Counter(crop.reason for crop in self.crops if crop.reason)
        facts = {f"without a face ({n})": reason for reason, n in reasons.items()}
        return card("Examined", {"faces": self._counts, **facts, "problem": self.problem or None})

    @property
    def _counts(self) -> str:
        looked = f"{self.frames_looked_at} frames looked at, of {self.frames_total}"
        return f"{len(self.faces)} in {looked}"


def examine(
    media: str | Path | Clip,
    *,
    extractor: FaceExtractor,
    frames: int = 32,
    order: Order | Sequence[int] = "spread",
    seed: int = 0,
    scale: float = 1.3,
    size: int | None = None,
    which: Which = "largest",
) -> Examined:
    """Look at a clip's frames until enough faces are found, and crop them.

    Parameters
    ----------
    media
        A video, a picture, or a clip whose media is a file or a function that renders its frames.
        A rendered frame that brings landmarks is cropped by them.
    extractor
        Finds the faces.
    frames
        How many frames with a usable face are wanted.
    order, seed
        In which order frames are looked at; see `frame_order`. Numbers of frames mean just these:
        each is among the crops, with its reason if the clip has no such frame, and `frames` is not
        regarded.
    scale, size
        Of the crop; see `align_face`.
    which
        `largest`: of each frame the largest face, or where it brings a manipulation mask the one
        that overlaps it most. `all`: each face, with the person's `track`.

    Raises
    ------
    InvalidArgument
        For numbers of frames that are negative, or given twice.
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If nothing in it decodes. A file that is cut off or damaged in places is examined as far as
        it goes, and `Examined.problem` says so.
    MissingAsset, CorruptAsset, MissingDependency, PluginError
        From an extractor that is built when it is first asked. Any other error of an extractor
        becomes the reason of that frame.
    """
    source = source_of(media)
    look = functools.partial(_look, extractor=extractor, scale=scale, size=size, which=which)
    found: dict[int, Crops] = {}
    facts = source.inspect()
    total, problems = facts.frames or 0, [facts.problem]
    asked = [] if isinstance(order, str) else _explicit(order)
    kind: Order = order if isinstance(order, str) else "spread"
    frames = len(asked) or frames

    def sequence_of(total: int) -> list[int]:
        if not asked:
            return source.numbers(frame_order(total, kind, count=frames, seed=seed))
        there = set(source.numbers(np.arange(total)))
        return [number for number in asked if number in there]

    sequence = sequence_of(total)
    done = 0
    while done < len(sequence) and (missing := frames - _faces(found, sequence[:done])) > 0:
        # A long stretch without a face is searched in passes that grow and hold no frame: an hour
        # of it in passes of 64 frames would be decoded more than a thousand times.
        stream = done // 2 > HELD
        length = done // 2 if stream else min(HELD, max(2 * missing, LEAST) if done else frames)
        turn = sequence[done : done + length]
        seen = _search(source, turn, look, found=found, missing=missing, stream=stream)
        problems += seen.problem.split("; ")
        done += len(turn)
        if seen.frames is not None and seen.frames != total:
            total, done = seen.frames, 0
            sequence = sequence_of(total)
    chosen = _chosen(found, sequence[:done], frames)
    _crop_again(source, found, chosen, scale=scale, size=size)
    absent = set(asked) - set(sequence)
    found |= {n: (Crop(frame=n, time=None, reason=NO_FRAME),) for n in absent}
    frames_of = [found[number] for number in sorted({*chosen, *absent})]
    return Examined(
        crops=_tracked(frames_of) if which == "all" else tuple(crop for crop, *_ in frames_of),
        frames_total=total,
        frames_looked_at=len(chosen),
        problem="; ".join(dict.fromkeys(filter(None, problems))),
    )


def _explicit(order: Sequence[int]) -> list[int]:
    """Return numbers of frames that were asked for, if they can be."""
    asked = [int(number) for number in order]
    if not asked or min(asked) < 0 or len(set(asked)) < len(asked):
        raise InvalidArgument(
            f"frames {asked[:8]} cannot be looked at; give numbers from 0, each once, or an order "
            f"such as {ORDERS[0]}."
        )
    return asked


def _search(
    source: Source,
    turn: list[int],
    look: Callable[[Frame], Crops],
    *,
    found: dict[int, Crops],
    missing: int,
    stream: bool,
) -> Facts:
    """Look at the frames of a round in their order until no face is missing; add to `found`."""
    new = [number for number in turn if number not in found]
    if not new:
        return Facts(frames=None)
    held: dict[int, Frame] = {}
    seen: set[int] = set()

    def visit(frame: Frame) -> None:
        seen.add(frame.index)
        if stream:
            found[frame.index] = tuple(replace(crop, image=None) for crop in look(frame))
        else:
            held[frame.index] = frame

    facts = source.walk(new, visit)
    for number in set(new) - seen:
        found[number] = (Crop(frame=number, time=None, reason=DAMAGED),)
    for number in turn:
        if missing == 0:
            break
        if number in held:
            found[number] = look(held.pop(number))
        missing -= _usable(found[number])
    return facts


def _look(
    frame: Frame, *, extractor: FaceExtractor, scale: float, size: int | None, which: Which
) -> Crops:
    """Return what was found in a frame: one crop, or with `all` one of each face."""
    blank = Crop(frame=frame.index, time=frame.time, reason=NO_FACE)
    if reason := _masked_out(frame):
        return (replace(blank, reason=reason),)
    if frame.landmarks is not None:
        points = rounded_points(frame.landmarks)
        known = replace(blank, landmarks=points, box=_bounds(points))
        return (_cropped(frame, known, scale=scale, size=size),)
    try:
        faces = extractor(frame.image)
        meant = _meant(faces, frame.mask, which)
    except UNBUILT:
        raise
    except Exception as error:  # one frame of a batch, and code of a plugin
        return (replace(blank, reason=f"the face extractor failed: {visible(first_line(error))}"),)
    if not meant:
        return (replace(blank, reason=OFF_MASK) if faces else blank,)
    crops = []
    for face in meant:
        left, top, right, bottom = (_rounded(edge) for edge in face.box)
        known = replace(
            blank,
            landmarks=rounded_points(face.landmarks),
            box=(left, top, right, bottom),
            confidence=round(float(face.confidence), 4),
        )
        crops.append(_cropped(frame, known, scale=scale, size=size))
    return tuple(crops)


def _cropped(frame: Frame, known: Crop, *, scale: float, size: int | None) -> Crop:
    """Cut out a face whose landmarks are known."""
    try:
        points = np.array(known.landmarks, np.float32)
        image = align_face(frame.image, points, scale=scale, size=size)
    except InvalidImage as error:
        return replace(known, reason=str(error))
    return replace(known, image=image, reason="")


def _masked_out(frame: Frame) -> str:
    """Return why a frame's mask leaves it out before a face is sought; empty if it does not."""
    if frame.mask is None:
        return ""
    got, expected = np.shape(frame.mask), frame.image.shape[:2]
    if got != expected:
        return f"the manipulation mask has the shape {got}, expected that of the image, {expected}"
    return "" if np.any(frame.mask) else EMPTY_MASK


def _meant(faces: Sequence[Face], mask: NDArray[np.bool_] | None, which: Which) -> Sequence[Face]:
    if which == "all":
        return by_size(faces)
    one = largest_face(faces) if mask is None else overlapping_face(faces, mask)
    return () if one is None else (one,)


def _tracked(frames: list[Crops]) -> tuple[Crop, ...]:
    """Return the crops of the frames, each with its track."""
    boxes = [[crop.box for crop in crops if crop.box is not None] for crops in frames]
    out = []
    for crops, tracks in zip(frames, link(boxes), strict=True):
        numbers = iter(tracks)
        out += [crop if crop.box is None else replace(crop, track=next(numbers)) for crop in crops]
    return tuple(out)


def _usable(crops: Crops) -> bool:
    return any(not crop.reason for crop in crops)


def _faces(found: dict[int, Crops], sequence: list[int]) -> int:
    return sum(number in found and _usable(found[number]) for number in sequence)


def _chosen(found: dict[int, Crops], sequence: list[int], wanted: int) -> list[int]:
    """Return the numbers up to the last face that is wanted, in the order of looking."""
    chosen: list[int] = []
    for number in sequence:
        if wanted == 0:
            break
        chosen.append(number)
        wanted -= _usable(found[number])
    return chosen


def _crop_again(
    source: Source, found: dict[int, Crops], chosen: list[int], *, scale: float, size: int | None
) -> None:
    """Cut out the faces that were found in a pass that held no frames."""

    def visit(frame: Frame) -> None:
        found[frame.index] = tuple(
            crop if crop.reason else _cropped(frame, crop, scale=scale, size=size)
            for crop in found[frame.index]
        )

    uncut = [n for n in chosen if any(not c.reason and c.image is None for c in found[n])]
    if uncut:
        source.walk(uncut, visit)


def rounded_points(points: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """Return landmarks (N, 2) as pairs, to hundredths of a pixel."""
    return tuple((_rounded(x), _rounded(y)) for x, y in points)


def _bounds(points: tuple[tuple[float, float], ...]) -> Box:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _rounded(pixels: float) -> float:
    """Round to 1/100 pixel: machines whose last bits differ then write the same manifest."""
    return round(float(pixels), 2)
