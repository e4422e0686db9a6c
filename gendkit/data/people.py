"""From the faces of a clip's frames to its people: who is who, and who is the main person.

Crops enter, those of a frame together; crops with the number of their person leave. See
`gendkit.data.tracks` for how boxes are linked over time and what that cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gendkit.data.tracks import MISSED, link

if TYPE_CHECKING:
    from gendkit.data.examine import Crop, Crops

NOT_THEM = "the main person of the clip is not among the faces of this frame"


def tracked(frames: Sequence[Crops], *, missed: int | None = MISSED) -> list[Crops]:
    """Return the crops of frames in order of time, each face with the number of its person.

    For how long a person may be `missed`, see `link`.
    """
    boxes = [[crop.box for crop in crops if crop.box is not None] for crops in frames]
    out = []
    for crops, tracks in zip(frames, link(boxes, missed=missed), strict=True):
        numbers = iter(tracks)
        out.append(
            tuple(
                crop if crop.box is None else replace(crop, track=next(numbers)) for crop in crops
            )
        )
    return out


def main_person(
    found: Mapping[int, Crops], looked_at: Sequence[int], *, wanted: int
) -> dict[int, Crop]:
    """Return one crop a frame: that of the clip's main person, or why there is none.

    The main person is the track whose boxes, in pixels and over all frames that were looked at, add
    up to the largest area: who is large, and who is there for long. Of equal ones it is who comes
    first. Whoever is not seen for a while, however long, is the same person when back in the same
    place.

    Parameters
    ----------
    found
        The crops of each frame, by its number.
    looked_at
        Numbers of frames in the order of looking.
    wanted
        How many usable faces of this person are enough: frames after that are left away.

    Returns
    -------
    dict
        By frame number, in the order of looking. All are of track 0, the one person that is left.
    """
    numbers = sorted(looked_at)
    people = dict(zip(numbers, tracked([found[n] for n in numbers], missed=None), strict=True))
    areas: dict[int, float] = {}
    for crops in people.values():
        for crop in crops:
            if crop.box is not None:
                areas[crop.track] = areas.get(crop.track, 0.0) + _area(crop.box)
    main = max(sorted(areas), key=lambda track: areas[track], default=None)
    kept: dict[int, Crop] = {}
    for number in looked_at:
        if wanted == 0:
            break
        crops = people[number]
        own = [crop for crop in crops if crop.box is not None and crop.track == main]
        kept[number] = replace(own[0], track=0) if own else _without(crops[0])
        wanted -= not kept[number].reason
    return kept


def _without(crop: Crop) -> Crop:
    """Return the row of a frame in which only others are seen, or nobody."""
    if crop.box is None:
        return crop
    return replace(
        crop, image=None, box=None, landmarks=None, confidence=None, reason=NOT_THEM, track=0
    )


def _area(box: tuple[float, float, float, float]) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)
