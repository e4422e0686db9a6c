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
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.asked import explicit
from gendkit.data.extractors import UNBUILT, looks_for_faces
from gendkit.data.faces import align_face, whole_picture
from gendkit.data.media import Facts, Order, frame_order
from gendkit.data.people import main_person, tracked
from gendkit.data.sources import HELD, Source, source_of
from gendkit.data.which import OFF_MASK, Which, check_which, chosen, is_real, masked_out
from gendkit.errors import InvalidImage, first_line
from gendkit.markup import card, visible
from gendkit.plugin.protocols import Clip, Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import FaceExtractor, Image

LEAST = 16
HELD_PIXELS = 1 << 29
"""Of all frames that are held at a time, as 64 of 4K: larger ones are looked at one by one."""
NO_FACE = "no face found"
DAMAGED = "the frame does not decode"
NO_FRAME = "the clip has no such frame"

Box = tuple[float, float, float, float]


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
        without a face. A picture that counts as the face as it is has a box and no landmarks.
    confidence
        Of the face extractor; None where no face was sought.
    reason
        Why there is no crop; empty if there is one.
    track
        Person within the clip, from 0, where all faces are taken; see `gendkit.data.tracks`.
    picture
        Height and width of the frame in pixels; None if it does not decode.
    """

    frame: int
    time: float | None
    image: Image | None = field(default=None, repr=False)
    box: Box | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    confidence: float | None = None
    reason: str = ""
    track: int = 0
    picture: tuple[int, int] | None = field(default=None, repr=False, compare=False)


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
        How many of them a face was sought in; more than there are rows if it took more to know
        who the main person is.
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
    which: Which = "meant",
) -> Examined:
    """Look at a clip's frames until enough faces are found, and crop them.

    Parameters
    ----------
    media
        A video, a picture, or a clip whose media is a file or a function that renders its frames.
        A rendered frame that brings landmarks is cropped by them.
    extractor
        Finds the faces. One that looks for none (`detects` is False, such as `whole-frame`) is not
        asked: each picture is kept whole and as it is, whatever landmarks it brings.
    frames
        How many frames with a usable face are wanted.
    order, seed
        In which order frames are looked at; see `frame_order`. Numbers of frames mean just these:
        each is among the crops, with its reason if the clip has no such frame, and `frames` is not
        regarded.
    scale, size
        Of the crop; see `align_face`. Of whole pictures only `size` matters; see `whole_picture`.
    which
        Which faces are cropped; see `gendkit.data.which.Which`. With `all` each has its person's
        `track`; with `track` frames are looked at until enough show the clip's main person.

    Raises
    ------
    InvalidArgument
        For numbers of frames that are negative, or given twice, and for a rule that there is not.
    MissingMedia
        If there is no such file.
    UnreadableMedia
        If nothing in it decodes. A file that is cut off or damaged in places is examined as far as
        it goes, and `Examined.problem` says so.
    MissingAsset, CorruptAsset, MissingDependency, PluginError
        From an extractor that is built when it is first asked. Any other error of an extractor
        becomes the reason of that frame.
    """
    check_which(which)
    source = source_of(media)
    look = functools.partial(
        _look, extractor=extractor, scale=scale, size=size, which=which, real=is_real(media)
    )
    found: dict[int, Crops] = {}
    facts = source.inspect()
    total, problems = facts.frames or 0, [facts.problem]
    large = facts.pixels * min(HELD, total) > HELD_PIXELS
    asked = [] if isinstance(order, str) else explicit(order)
    kind: Order = order if isinstance(order, str) else "spread"
    frames = len(asked) or frames

    def sequence_of(total: int) -> list[int]:
        if not asked:
            return source.numbers(frame_order(total, kind, count=frames, seed=seed))
        there = set(source.numbers(np.arange(total)))
        return [number for number in asked if number in there]

    sequence = sequence_of(total)
    done, wanted = 0, frames
    while done < len(sequence) and (missing := wanted - _faces(found, sequence[:done])) > 0:
        # A long stretch without a face is searched in passes that grow and hold no frame: an hour
        # of it in passes of 64 frames would be decoded more than a thousand times.
        stretch = done // 2 > HELD
        stream = stretch or large
        length = done // 2 if stretch else min(HELD, max(2 * missing, LEAST) if done else frames)
        turn = sequence[done : done + length]
        seen = _search(source, turn, look, found=found, missing=missing, stream=stream)
        problems += seen.problem.split("; ")
        done += len(turn)
        if seen.frames is not None and seen.frames != total:
            total, done = seen.frames, 0
            sequence = sequence_of(total)
        if which == "track":
            done = next((i for i, n in enumerate(sequence[:done]) if n not in found), done)
            wanted = _wanted(found, sequence[:done], wanted, frames)
    taken = _chosen(found, sequence[:done], wanted)
    looked_at = len(taken)
    if which == "track":
        kept = main_person(found, taken, wanted=frames)
        taken = list(kept)
        found |= {number: (crop,) for number, crop in kept.items()}
    _crop_again(source, found, taken, scale=scale, size=size)
    absent = set(asked) - set(sequence)
    found |= {n: (Crop(frame=n, time=None, reason=NO_FRAME),) for n in absent}
    frames_of = [found[number] for number in sorted({*taken, *absent})]
    frames_of = tracked(frames_of) if which == "all" else frames_of
    return Examined(
        crops=tuple(crop for crops in frames_of for crop in crops),
        frames_total=total,
        frames_looked_at=looked_at,
        problem="; ".join(dict.fromkeys(filter(None, problems))),
    )


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
    frame: Frame,
    *,
    extractor: FaceExtractor,
    scale: float,
    size: int | None,
    which: Which,
    real: bool,
) -> Crops:
    """Return what was found in a frame: one crop, or one of each face that the rule asks for."""
    height, width = frame.image.shape[:2]
    blank = Crop(frame=frame.index, time=frame.time, reason=NO_FACE, picture=(height, width))
    if reason := masked_out(frame, which=which, real=real):
        return (replace(blank, reason=reason),)
    if not looks_for_faces(extractor):
        whole = replace(blank, box=(0.0, 0.0, width - 1.0, height - 1.0))
        return (cropped(frame, whole, scale=scale, size=size),)
    if frame.landmarks is not None:
        points = rounded_points(frame.landmarks)
        known = replace(blank, landmarks=points, box=_bounds(points))
        return (cropped(frame, known, scale=scale, size=size),)
    try:
        faces = extractor(frame.image)
        meant = chosen(faces, frame.mask, which=which)
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
        crops.append(cropped(frame, known, scale=scale, size=size))
    return tuple(crops)


def cropped(frame: Frame, known: Crop, *, scale: float, size: int | None) -> Crop:
    """Cut out a face whose landmarks are known; without landmarks, the whole picture is meant."""
    try:
        if known.landmarks is None:
            image = whole_picture(frame.image, size=size)
        else:
            points = np.array(known.landmarks, np.float32)
            image = align_face(frame.image, points, scale=scale, size=size)
    except InvalidImage as error:
        return replace(known, image=None, reason=str(error))
    return replace(known, image=image, reason="")


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


def _wanted(found: dict[int, Crops], sequence: list[int], wanted: int, frames: int) -> int:
    """Return how many faces to look for so that enough are those of the clip's main person."""
    if _faces(found, sequence) < wanted:
        return wanted
    kept = main_person(found, _chosen(found, sequence, wanted), wanted=frames)
    missing = frames - sum(not crop.reason for crop in kept.values())
    return wanted + max(missing, wanted // 2) if missing else wanted


def _crop_again(
    source: Source, found: dict[int, Crops], chosen: list[int], *, scale: float, size: int | None
) -> None:
    """Cut out the faces that were found in a pass that held no frames."""

    def visit(frame: Frame) -> None:
        found[frame.index] = tuple(
            crop if crop.reason else cropped(frame, crop, scale=scale, size=size)
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
