"""Faces by the colour of skin: from an RGB image to round patches with five dark points in them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from gendkit.errors import InvalidArgument
from gendkit.plugin import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIDE = 240
"""Longest side, in pixels, of the picture that is looked at."""
SKIN = np.array([[30, 135, 80], [255, 180, 125]])
"""Least and greatest Y, Cr and Cb of skin."""
LANDMARKS = np.array([[-0.5, -0.28], [0.5, -0.28], [0.0, 0.35], [-0.37, 0.86], [0.37, 0.86]])
"""Eyes, nose and mouth of a drawn face that has its centre at (0, 0)."""
USUAL, SPREAD, STEPS = np.array([0.0, 0.12, 0.75]), np.array([0.3, 0.4, 0.2]), (13, 17, 9)
"""How they are moved (x, y) and scaled to fit, in radii of the patch: on average, and how far."""
BOX = np.array([[-1.0, -1.0], [1.0, 1.3]])
HEAD = np.array([[-1.2, -1.5], [1.2, 2.5]])
LEAST, MOST, FACES = 0.05, 0.48, 8
"""Radius of a patch over the frame's short side: a larger one is a wall. How many are looked at."""


class SkinPatches:
    """Finds a face where a large circle fits into what has the colour of skin.

    This is a placeholder for a network, and made to be replaced: it takes a hand or a wooden door
    for a face. The landmarks are those of an average face, put where the patch is darkest: in four
    of five drawn faces, all are within 0.4 distances of the eyes.

    Parameters
    ----------
    threshold
        Least confidence, 0 to 1: the share of the face's box that has the colour of skin.

    Raises
    ------
    InvalidArgument
        For another threshold.
    """

    def __init__(self, *, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise InvalidArgument(f"a threshold is 0 to 1, got {threshold}.")
        self._threshold = threshold

    @property
    def threshold(self) -> float:
        """The least confidence that counts as a face."""
        return self._threshold

    def __call__(self, image: NDArray[np.uint8], /) -> list[Face]:
        """Return the faces of an RGB uint8 image (H, W, 3), most confident first."""
        height, width = image.shape[:2]
        factor = SIDE / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        colours: Any = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
        skin: Any = cv2.inRange(colours, SKIN[0], SKIN[1])
        faces = []
        for centre, radius, share in _patches(skin):
            points = centre + radius * np.concatenate(
                [BOX, _landmarks(colours[..., 0], centre, radius)]
            )
            # A pixel's centre has integer coordinates in both pictures.
            points = ((points + 0.5) / factor - 0.5).clip(0, [width - 1, height - 1])
            left, top, right, bottom = points[:2].ravel().tolist()
            faces.append(
                Face(
                    box=(left, top, right, bottom),
                    landmarks=points[2:].astype(np.float32),
                    confidence=share,
                )
            )
        faces = [face for face in faces if face.confidence >= self._threshold]
        return sorted(faces, key=lambda face: -face.confidence)


def _patches(skin: Any) -> Iterator[tuple[Floats, float, float]]:
    """Yield centre, radius and share of skin of the largest circles, without holes in them."""
    outlines, _ = cv2.findContours(skin, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(skin), outlines, -1, 1, cv2.FILLED)
    left: Any = filled.copy()
    largest = 0.0
    for _ in range(FACES):
        # With a border, because the frame ends what is in it.
        distance = cv2.distanceTransform(np.pad(left, 1), cv2.DIST_L2, 5)
        _, radius, _, (x, y) = cv2.minMaxLoc(distance)
        largest = max(largest, radius)
        if radius < max(LEAST * min(skin.shape), largest / 2):
            return
        centre = np.array([x - 1.0, y - 1.0])
        if radius <= MOST * min(skin.shape):
            yield centre, radius, float(_inside(filled, centre, radius, BOX).mean())
        _inside(left, centre, radius, HEAD)[:] = 0


def _inside(picture: Any, centre: Floats, radius: float, shape: Floats) -> Any:
    """Return the part of a picture that a rectangle around a patch covers."""
    corners = (centre + radius * shape).round().clip(0).astype(int)
    (left, top), (right, bottom) = corners.tolist()
    return picture[top : bottom + 1, left : right + 1]


def _landmarks(light: Any, centre: Floats, radius: float) -> Floats:
    """Return the landmarks (5, 2) of the patch, from its centre in its radii."""
    side = 2 * max(1, int(0.1 * radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    dark: Any = cv2.morphologyEx(light, cv2.MORPH_BLACKHAT, kernel).astype(np.float32)
    dark = cv2.GaussianBlur(dark, (0, 0), max(0.06 * radius, 0.3))
    tried = np.array(list(product(*(np.linspace(-1, 1, count) for count in STEPS))))
    moved = USUAL + tried * SPREAD  # x, y and scale
    places = moved[:, None, :2] + moved[:, 2:, None] * LANDMARKS
    at = (centre + radius * places).round().astype(int)
    x, y = (at[..., axis].clip(0, dark.shape[1 - axis] - 1) for axis in (0, 1))
    # Both eyes and both corners have to be dark, so that a brow or a moustache alone is none.
    left, right, nose, corner, other = dark[y, x].T
    found = np.minimum(left, right) + np.minimum(corner, other) + nose / 4
    found *= 1 - 0.2 * np.square(tried).mean(axis=1)
    best: Floats = places[found.argmax()]
    return best
