"""Self-blended images as published: a face blended with a changed copy of itself.

In goes a picture with five landmarks and a seed, out come the real and the fake picture of a pair.
The recipe and its numbers are those of Shiohara and Yamasaki, "Detecting deepfakes with
self-blended images", CVPR 2022, as in the code that they released:

- Either the source or the target, by a toss of a coin, is changed in colour (RGB by up to 20 levels
  in 3 of 10 cases; hue, saturation and value by up to .3 of OpenCV's levels, which is next to
  nothing; brightness and contrast by up to a tenth) and then in frequency (reduced 2 or 4 times and
  enlarged, or sharpened). Where it is the target, the real picture shows that too.
- The source and its mask are shifted by up to 3 % across and 1.5 % down and stretched by up to 5 %;
  the mask is bent besides, shrunk and blurred, and counts ¼, ½, ¾ or, in half of the cases, all.

They have 81 landmarks, here are five. The hull is that of a mean face carried onto the five: with
the forehead in 3 of 4 cases, as with their 81, else from the brows down, as with their first 68.
Their three further masks, made of parts of the face, need landmarks that five do not give.

It is another thing than the family `self-blend`, which changes a face with numbers of its own and
takes mask, blending, jitter and encoding from the plan that all families share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gendkit.data.forge.geometry import BROWS, JAW, OVAL, Floats, face_points, pixel_grid
from gendkit.data.forge.plan import Subject

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
"""How much of the source is seen where the mask is whole."""
_RGB, _RGB_SHARE = 20.0, 0.3
_HSV = 0.3
_BRIGHTNESS, _CONTRAST = 0.1, 0.1
_REDUCED = (2, 4)
_SHARPEN, _LIGHTNESS = (0.2, 0.5), (0.5, 1.0)
_ACROSS, _DOWN, _STRETCH = 0.03, 0.015, 0.95
_BEND, _BEND_SIGMA = 50.0, 7.0
_LOW_HULL_SHARE = 0.25
_MASK_SIDES = (192, 256)
_KERNELS = (5, 25)
_SIGMAS = (5, 45)
# Room about the landmarks, in their widths and heights: left and right, above, below.
_ROOM_BESIDE, _ROOM_ABOVE, _ROOM_BELOW = 0.5, 1.0, 0.4


def self_blended(subject: Subject, *, seed: int) -> tuple[Subject, Subject]:
    """Return the real and the fake picture of a pair, of one size and with the same landmarks.

    Parameters
    ----------
    subject
        A real face.
    seed
        Of all that is drawn; the same seed gives the same pair.
    """
    rng = np.random.default_rng([0x5B1, seed])
    points = face_points(subject.landmarks)
    rows, columns = _window(points, subject.image.shape)
    points = points - np.array([columns.start, rows.start], np.float32)
    low = rng.random() < _LOW_HULL_SHARE
    changed = _changed(subject.image, rng)
    pair = (changed, subject.image) if rng.random() < 0.5 else (subject.image, changed)
    target = pair[1]
    window = pair[0][rows, columns]
    mask = _hull(points[[*BROWS, *JAW] if low else list(OVAL)], window.shape)
    source, mask = _moved(window, mask, rng)
    mask = _softened(_bent(mask, rng), rng) * RATIOS[rng.integers(len(RATIOS))]
    under = target[rows, columns].astype(np.float32)
    fake = target.copy()
    fake[rows, columns] = _levels(under + mask[..., None] * (source - under))
    return replace(subject, image=target), replace(subject, image=fake)


def _window(points: Floats, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns that the published code cuts out before it blends."""
    seen = points[[*range(5), *BROWS, *JAW]]
    (left, top), (right, bottom) = seen.min(0), seen.max(0)
    wide, high = right - left, bottom - top
    x0, x1 = left - _ROOM_BESIDE * wide, right + _ROOM_BESIDE * wide
    y0, y1 = top - _ROOM_ABOVE * high, bottom + _ROOM_BELOW * high
    return (
        slice(max(int(y0), 0), min(int(y1) + 1, shape[0])),
        slice(max(int(x0), 0), min(int(x1) + 1, shape[1])),
    )


def _hull(points: Floats, shape: tuple[int, ...]) -> Floats:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    return mask.astype(np.float32)


def _changed(image: Image, rng: np.random.Generator) -> Image:
    """Return the picture in other colours, and softer or sharper."""
    picture = image.astype(np.float32)
    if rng.random() < _RGB_SHARE:
        picture = np.clip(picture + rng.uniform(-_RGB, _RGB, 3), 0, 255).astype(np.float32)
    # Of a float32 picture of 0 to 1, OpenCV gives hue in degrees (twice its 8-bit levels).
    hsv = cv2.cvtColor(picture / 255, cv2.COLOR_RGB2HSV)
    hue, saturation, value = rng.uniform(-_HSV, _HSV, 3)
    hsv[..., 0] = (hsv[..., 0] + 2 * hue) % 360
    hsv[..., 1:] = np.clip(hsv[..., 1:] + np.array([saturation, value]) / 255, 0, 1)
    picture = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    contrast = 1 + rng.uniform(-_CONTRAST, _CONTRAST)
    picture = contrast * picture + 255 * rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    changed = _levels(picture)
    if rng.random() < 0.5:
        height, width = changed.shape[:2]
        ratio = _REDUCED[rng.integers(len(_REDUCED))]
        size = (max(width // ratio, 1), max(height // ratio, 1))
        small = cv2.resize(changed, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    amount, lightness = rng.uniform(*_SHARPEN), rng.uniform(*_LIGHTNESS)
    kernel = np.full((3, 3), -amount, np.float32)
    kernel[1, 1] = 1 - amount + amount * (8 + lightness)
    return np.asarray(cv2.filter2D(changed, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def _moved(source: Image, mask: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the source and its mask shifted and stretched about the middle."""
    height, width = mask.shape
    centre = np.array([width, height]) / 2 - 0.5
    shift = np.array([width * rng.uniform(-_ACROSS, _ACROSS), height * rng.uniform(-_DOWN, _DOWN)])
    scale = rng.uniform(_STRETCH, 1 / _STRETCH, 2)
    matrix = np.column_stack([np.diag(scale), centre - scale * centre + shift])

    def moved(image: Floats) -> Floats:
        return np.asarray(
            cv2.warpAffine(
                image, matrix, (width, height), flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        )  # fmt: skip

    return moved(source.astype(np.float32)), moved(mask)


def _bent(mask: Floats, rng: np.random.Generator) -> Floats:
    shift = rng.uniform(-1, 1, (*mask.shape, 2)).astype(np.float32)
    where = pixel_grid(mask.shape) + _BEND * cv2.GaussianBlur(shift, (0, 0), _BEND_SIGMA)
    return np.asarray(cv2.remap(mask, where, None, cv2.INTER_LINEAR))


def _softened(mask: Floats, rng: np.random.Generator) -> Floats:
    """Return the mask shrunk by a blur of which only the untouched inside is kept, and blurred."""
    first, second = (
        int(rng.integers(_KERNELS[0] // 2, _KERNELS[1] // 2 + 1)) * 2 + 1 for _ in "12"
    )
    sides = rng.integers(_MASK_SIDES[0], _MASK_SIDES[1] + 1, 2)
    small = cv2.resize(mask, (int(sides[0]), int(sides[1])))
    inside = cv2.GaussianBlur(small, (first, first), 0)
    inside = (inside >= inside.max() - 1e-3).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (second, second), int(rng.integers(_SIGMAS[0], _SIGMAS[1] + 1)))
    soft /= max(float(soft.max()), 1e-6)
    return np.asarray(cv2.resize(soft, mask.shape[::-1]))


def _levels(picture: Floats) -> Image:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
