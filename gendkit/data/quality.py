"""How good a picture of a face is: how large, how sharp, how bright.

A crop and its landmarks enter, three numbers leave: of a crop that is kept in a manifest and of one
that is scored in the same way, so that the one can be compared with the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gendkit.plugin.protocols import Image

SIDE = 224
"""Pixels a side at which sharpness is measured, whatever the crop's own size: that of the encoders
of the method, so that what they do not see does not count."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What can be said of a face's picture without looking at who it is.

    Attributes
    ----------
    eyes
        Distance of the eyes in pixels of the frame; None where no landmarks are known.
    sharpness
        log10 of the variance of the Laplacian of the grey crop at `SIDE` pixels.
    brightness
        Mean grey level, 0 to 255.
    """

    eyes: float | None
    sharpness: float
    brightness: float


def quality_of(crop: Image, landmarks: ArrayLike | None) -> Quality:
    """Measure one crop.

    Parameters
    ----------
    crop
        RGB uint8 (H, W, 3).
    landmarks
        Five points in pixels of the frame, (5, 2) or (10,), the eyes first; or None.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    kind = cv2.INTER_AREA if min(grey.shape) > SIDE else cv2.INTER_LINEAR
    fine = cv2.Laplacian(cv2.resize(grey, (SIDE, SIDE), interpolation=kind), cv2.CV_32F)
    return Quality(
        eyes=eye_distance(landmarks),
        sharpness=float(np.log10(fine.var() + 1e-6)),
        brightness=float(grey.mean()),
    )


def eye_distance(landmarks: ArrayLike | None) -> float | None:
    """Return the distance of the first two of five points, in their unit; None without points."""
    if landmarks is None or np.size(landmarks) < 4:
        return None
    points = np.asarray(landmarks, np.float64).reshape(-1, 2)
    distance = float(np.linalg.norm(points[1] - points[0]))
    return distance if np.isfinite(distance) else None


def typical(of: Iterable[Quality]) -> Quality:
    """Return the median of each measure over the crops of a person; there must be one."""
    given = list(of)
    eyes = [one.eyes for one in given if one.eyes is not None]
    return Quality(
        eyes=float(np.median(eyes)) if eyes else None,
        sharpness=float(np.median([one.sharpness for one in given])),
        brightness=float(np.median([one.brightness for one in given])),
    )
