"""What a drawing is made of: a canvas with a projection, outlines, and natural noise.

In go outlines in the coordinates of a face that faces the viewer, in eye distances about the point
between the eyes; out come soft masks and painted pixels of the turned head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge.geometry import Floats

if TYPE_CHECKING:
    from gendkit.data.drawn import Shot

Colour = Sequence[float] | NDArray[np.floating]
Outline = Sequence[tuple[float, float]]


class Canvas:
    """A picture and the projection of face coordinates onto it."""

    def __init__(self, shot: Shot, size: int, image: Floats) -> None:
        self.image = image
        self.size = size
        self.unit = shot.scale * size
        self.origin = np.array([0.5 + shot.shift[0], 0.44 + shot.shift[1]]) * size
        cosine, sine = np.cos(shot.roll), np.sin(shot.roll)
        self.turn = np.array([[cosine, -sine], [sine, cosine]])
        self.yaw, self.pitch = shot.yaw, shot.pitch

    def flat(
        self, points: Outline | NDArray[np.floating], depth: float = 0.0
    ) -> NDArray[np.float64]:
        """Return face coordinates after the head has turned, in eye distances."""
        p = np.asarray(points, np.float64).reshape(-1, 2)
        x = p[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = p[:, 1] * np.cos(self.pitch) + depth * np.sin(self.pitch)
        return np.stack([x, y], axis=-1)

    def pixels(
        self, points: Outline | NDArray[np.floating], depth: float = 0.0
    ) -> NDArray[np.float64]:
        """Return the pixels (N, 2) of face coordinates in eye distances."""
        return np.asarray(self.flat(points, depth) @ self.turn.T * self.unit + self.origin)

    def cover(
        self, points: Outline | NDArray[np.floating], *, depth: float = 0.0, soft: float = 0.015
    ) -> tuple[tuple[slice, slice], Floats]:
        """Return the window and the mask in it that a closed smooth outline covers."""
        corners = self.pixels(points, depth)
        sigma = max(soft * self.unit, 0.4)
        pad = int(3 * sigma) + 2
        low = np.maximum(np.floor(corners.min(0)).astype(int) - pad, 0)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + pad + 1, self.size)
        if (high <= low).any():
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(
            mask, [np.round((corners - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4
        )
        soft_mask = cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32) / 255
        return (slice(low[1], high[1]), slice(low[0], high[0])), soft_mask

    def paint(
        self,
        points: Outline | NDArray[np.floating],
        colour: Colour,
        *,
        depth: float = 0.0,
        soft: float = 0.015,
        opacity: float = 1.0,
        texture: Floats | None = None,
        within: Floats | None = None,
    ) -> None:
        """Paint a closed outline; `texture` (H, W) is added, `within` (H, W) confines it."""
        window, mask = self.cover(points, depth=depth, soft=soft)
        if not mask.size:
            return
        if within is not None:
            mask = mask * within[window]
        paint: Floats = np.asarray(colour, np.float32)
        if texture is not None:
            paint = paint * (1 + texture[window][..., None])
        part = self.image[window]
        part += (opacity * mask)[..., None] * (paint - part)


def natural_noise(
    shape: tuple[int, int], rng: np.random.Generator, *, exponent: float = 1.0
) -> Floats:
    """Return noise (H, W) of mean 0 and spread 1 whose amplitude falls as frequency**-exponent.

    Natural pictures have an exponent of about 1 (Field 1987).
    """
    from scipy.fft import irfft2

    rows = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(shape[1]).astype(np.float32)
    squared = rows**2 + columns**2
    squared[0, 0] = np.inf
    spectrum = rng.standard_normal((2, *squared.shape), np.float32)
    complex_ = (spectrum[0] + 1j * spectrum[1]) * squared ** np.float32(-exponent / 2)
    noise = irfft2(complex_, s=shape)
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def oval(
    centre: tuple[float, float], wide: float, high: float, *, power: float = 1.0
) -> NDArray[np.float64]:
    """Return an ellipse (36, 2); a power below 1 makes it squarer."""
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack(
        [
            centre[0] + wide * np.sign(c) * np.abs(c) ** power,
            centre[1] + high * np.sign(s) * np.abs(s) ** power,
        ],
        axis=-1,
    )


def smooth(points: Outline | NDArray[np.floating], *, dense: int = 8) -> NDArray[np.float64]:
    """Return a closed Catmull-Rom curve (dense N, 2) through N points."""
    p = np.asarray(points, np.float64)
    t = np.linspace(0, 1, dense, endpoint=False)[:, None, None]
    a, b, c, d = (np.roll(p, shift, axis=0)[None] for shift in (1, 0, -1, -2))
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2))
