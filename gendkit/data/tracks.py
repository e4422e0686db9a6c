"""From the faces of frames to the people of a clip: boxes that stay in place are one track.

People are told apart by where they are, never by what they look like: what could tell faces apart
was made to tell forgeries. So whoever moves farther than a face between two frames that were looked
at, or is not found in two of them, is listed as another person; and where one takes the place of
another at a cut, they are one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
REACH = 1.0
"""How far the middle of a face may move between two frames, in sides of its box."""
GROWTH = 2.0
"""How much its side may grow or shrink."""
MISSED = 1
"""In how many frames in a row a person may not be found."""


def link(frames: Sequence[Sequence[Box]], *, missed: int | None = MISSED) -> list[list[int]]:
    """Give each face of each frame the number of its track.

    Parameters
    ----------
    frames
        In order of time, the boxes (left, top, right, bottom) of the faces in each, largest first.
        A frame that was looked at without a face is there, and empty.
    missed
        In how many frames in a row a person may not be found; None: in any number.

    Returns
    -------
    list
        As `frames`: numbers from 0 in the order in which people come in.

    References
    ----------
    Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    from scipy.optimize import linear_sum_assignment

    last: dict[int, tuple[int, Box]] = {}
    tracks: list[list[int]] = []
    count = 0
    for number, boxes in enumerate(frames):
        alive = [
            t for t, (seen, _) in last.items() if missed is None or number - seen <= missed + 1
        ]
        cost = _apart([last[t][1] for t in alive], boxes)
        found = [-1] * len(boxes)
        rows, columns = linear_sum_assignment(np.minimum(cost, 1e6))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if np.isfinite(cost[row, column]):
                found[column] = alive[row]
        for column, box in enumerate(boxes):
            if found[column] < 0:
                found[column], count = count, count + 1
            last[found[column]] = (number, box)
        tracks.append(found)
    return tracks


def matched(
    faces: Sequence[tuple[int, Box]], known: Sequence[tuple[int, Box, int]]
) -> list[int | None]:
    """Find the known track of each face of another look at the same clip.

    Parameters
    ----------
    faces
        Frame number and box of each.
    known
        Frame number, box and track of those of the first look.

    Returns
    -------
    list
        The track of the face that is in reach in the nearest frame; None where there is none.
    """
    found: list[int | None] = []
    for frame, box in faces:
        away = _apart([box], [other for _, other, _ in known])[0]
        order = sorted(
            (abs(number - frame), distance, track)
            for (number, _, track), distance in zip(known, away.tolist(), strict=True)
            if np.isfinite(distance)
        )
        found.append(order[0][2] if order else None)
    return found


def _apart(one: Sequence[Box], other: Sequence[Box]) -> NDArray[np.float64]:
    """Return how far faces (A, B) are apart, in sides; infinite where they cannot be one person."""
    if not one or not other:
        return np.zeros((len(one), len(other)))
    a, b = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    middle = np.linalg.norm((a[..., :2] + a[..., 2:]) / 2 - (b[..., :2] + b[..., 2:]) / 2, axis=-1)
    sides = [np.sqrt(np.maximum(_area(box), 1e-6)) for box in (a, b)]
    ratio = np.maximum(sides[0] / sides[1], sides[1] / sides[0])
    away = middle / ((sides[0] + sides[1]) / 2)
    return np.where((away <= REACH) & (ratio <= GROWTH), away, np.inf)


def _area(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))
