"""Who lends a face to whom: people are paired with the most similar other person.

In go subjects of one split, out comes each one's donor. Pairing keeps the groups of people that are
linked by a swap as small as two (three where the number is odd), so a split can be cut further
without a leak.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from gendkit.data.forge.geometry import Floats, eye_distance, face_points
from gendkit.data.forge.plan import Subject

_SHAPE_WEIGHT = 4.0
_COLOUR_WEIGHT = 1 / 12


def describe(subject: Subject) -> Floats:
    """Return what makes a donor similar (13,): landmark shape and the skin's CIE Lab colour."""
    landmarks = subject.landmarks
    centred = (landmarks - landmarks.mean(0)) / eye_distance(landmarks)
    across = centred[1] - centred[0]
    cosine, sine = across / np.linalg.norm(across)
    shape = centred @ np.array([[cosine, -sine], [sine, cosine]])
    lab = cv2.cvtColor(subject.image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    mask = np.zeros(lab.shape[:2], np.uint8)
    points = face_points(landmarks)
    for eye, corner in ((0, 3), (1, 4)):
        cheek = 0.5 * (points[eye] + points[corner])
        cv2.circle(
            mask, (round(float(cheek[0])), round(float(cheek[1]))),
            max(round(0.15 * eye_distance(landmarks)), 1), 255, -1,
        )  # fmt: skip
    inside = lab[mask > 0]
    colour = np.median(inside, axis=0) if len(inside) else lab.mean((0, 1))
    return np.concatenate([_SHAPE_WEIGHT * shape.ravel(), _COLOUR_WEIGHT * colour]).astype(
        np.float32
    )


def match_donors(descriptions: Mapping[str, Floats]) -> dict[str, str]:
    """Return for each person the donor: the closest pairs first, each person once.

    A single person has no donor and is left out; of an odd number the last takes the nearest one.
    """
    names = list(descriptions)
    if len(names) < 2:
        return {}
    table = np.stack([descriptions[name] for name in names]).astype(np.float64)
    squares = (table**2).sum(-1)
    distance = squares[:, None] + squares[None] - 2 * table @ table.T
    first, second = np.triu_indices(len(names), 1)
    donors: dict[str, str] = {}
    for at in np.argsort(distance[first, second], kind="stable"):
        a, b = names[first[at]], names[second[at]]
        if a not in donors and b not in donors:
            donors[a], donors[b] = b, a
    np.fill_diagonal(distance, np.inf)
    for row, name in enumerate(names):
        if name not in donors:
            donors[name] = names[int(distance[row].argmin())]
    return donors
