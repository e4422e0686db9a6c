"""Twin crops: a fake cropped by the landmarks of the real frame that it was made from.

So the pair is aligned pixel by pixel: where the forger changed nothing, both crops are equal up to
what encoding did. Nothing takes the place of the real frame: where it is not to be had, the fake's
row says why and has no crop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from gendkit.data.examine import DAMAGED, NO_FRAME, Crop, Examined, cropped, examine
from gendkit.data.faces import overlap
from gendkit.data.sources import source_of
from gendkit.data.which import OFF_MASK, Which, by_mask, masked_out
from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Clip, FaceExtractor, Frame

CropBy = Literal["own", "pair"]
"""By whose landmarks a fake is cropped: its own, or those of its real frame."""
CROP_BY: tuple[CropBy, ...] = get_args(CropBy)

NO_CROP = "the real frame has no crop"


def check_crop(crop: str) -> None:
    """Refuse a way to crop that there is not.

    Raises
    ------
    InvalidArgument
        With those that there are.
    """
    if crop not in CROP_BY:
        raise InvalidArgument(f"crop is {crop!r}; expected {' or '.join(CROP_BY)}.")


def real_twins(clips: Iterable[Clip]) -> dict[tuple[str, str], Clip | None]:
    """Find the real clip of each fake among some clips.

    It is the one real clip of the same dataset, `pair` and degradation; if there is not one, the
    real clip of that pair that is called as the pair.

    Returns
    -------
    dict
        By dataset and id of the fakes, in their order; None where no clip, or none of several, is
        the one.
    """
    clips = list(clips)
    reals: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if clip.label == 0 and clip.pair:
            reals.setdefault((clip.dataset, clip.pair), []).append(clip)
    twins: dict[tuple[str, str], Clip | None] = {}
    for fake in clips:
        if fake.label == 1:
            there = reals.get((fake.dataset, fake.pair), [])
            alike = [real for real in there if real.degradation == fake.degradation]
            named = [real for real in there if real.video == fake.pair]
            twin = next((few[0] for few in (alike, named) if len(few) == 1), None)
            twins[fake.dataset, fake.video] = twin
    return twins


def examine_twin(
    fake: Clip,
    real: Clip | None,
    *,
    extractor: FaceExtractor,
    scale: float = 1.3,
    size: int | None = None,
    which: Which = "meant",
    **settings: Any,
) -> Examined:
    """Crop a fake by the landmarks of its real clip, in the frames in which that shows a face.

    The real clip is examined as it is for itself, so that a fake needs nothing but its media.

    Parameters
    ----------
    fake, real
        The clips; see `real_twins`.
    extractor, scale, size, which, settings
        As for `examine`, by which the real clip is looked at. A rule that heeds masks leaves out a
        frame of the fake whose mask does not reach the box of the real face.

    Returns
    -------
    Examined
        A crop for each of the real clip, of the same frame number, track, box and landmarks. It has
        no confidence, because nothing was sought in the fake. Without an image it has the reason:
        the real frame has no usable face, the pictures differ in size, the fake has no such frame,
        or its mask is empty.

    Raises
    ------
    MissingMedia
        If there is no real clip, or a file is gone.
    UnreadableMedia
        If nothing in either decodes.
    """
    if real is None:
        named = f"its pair is {fake.pair!r}, and" if fake.pair else "it names no pair, and"
        raise MissingMedia(
            f"{named} no real clip of that pair is among the clips, by whose landmarks this fake "
            "would be cropped; add it, or crop fakes by their own landmarks."
        )
    try:
        model = examine(real, extractor=extractor, scale=scale, size=size, which=which, **settings)
    except (MissingMedia, UnreadableMedia) as error:
        text = str(error).replace(str(real.media), "its file")
        raise type(error)(f"the real clip {real.video} cannot be examined: {text}") from error
    source = source_of(fake)
    facts = source.inspect()
    by_frame: dict[int, list[Crop]] = {}
    for crop in model.crops:
        by_frame.setdefault(crop.frame, []).append(crop)
    wanted = [n for n, crops in by_frame.items() if crops[0].reason != NO_FRAME]
    done: dict[int, list[Crop]] = {}

    def visit(frame: Frame) -> None:
        crops = by_frame[frame.index]
        done[frame.index] = [_twin(frame, c, scale=scale, size=size, which=which) for c in crops]

    walked = source.walk(wanted, visit)
    total = walked.frames or facts.frames or 0
    there = set(source.numbers(np.arange(total)))
    for number in set(by_frame) - set(done):
        reason = DAMAGED if number in there else NO_FRAME
        done[number] = [_without(crop, reason=reason) for crop in by_frame[number]]
    problems = [*facts.problem.split("; "), *walked.problem.split("; ")]
    return Examined(
        crops=tuple(crop for number in by_frame for crop in done[number]),
        frames_total=total,
        frames_looked_at=len(wanted),
        problem="; ".join(dict.fromkeys(filter(None, problems))),
    )


def _twin(frame: Frame, model: Crop, *, scale: float, size: int | None, which: Which) -> Crop:
    """Crop a fake's frame as its real frame was cropped."""
    blank = Crop(frame=frame.index, time=frame.time, track=model.track)
    if model.image is None:
        return replace(blank, reason=f"{NO_CROP}: {model.reason}")
    sides = frame.image.shape[:2]
    if sides != model.picture:
        (high, wide), (height, width) = sides, model.picture or (0, 0)
        return replace(
            blank,
            reason=f"the frame has {wide} x {high} px, and the real frame {width} x {height}",
        )
    if reason := masked_out(frame, which=which, real=False):
        return replace(blank, reason=reason)
    mask, box = frame.mask if by_mask(which) else None, model.box
    if mask is not None and box is not None and not overlap(box, mask):
        return replace(blank, reason=OFF_MASK)
    known = replace(model, time=frame.time, image=None, confidence=None)
    return cropped(frame, known, scale=scale, size=size)


def _without(model: Crop, *, reason: str) -> Crop:
    """Return the row of a frame that was not given, though the real clip was asked for it."""
    if model.reason == NO_FRAME:
        reason = f"{NO_CROP}: {NO_FRAME}"
    return Crop(frame=model.frame, time=None, track=model.track, reason=reason)
