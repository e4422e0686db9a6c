"""Putting a forged face into a photo: colour, blending and the restored sharpness.

In go float32 RGB arrays (H, W, 3) in 0 to 255 and a soft mask (H, W), out comes the joined picture.
A generator that works at a low resolution loses fine detail; `restored` gives the forged part the
contrast and the grain of the original again, so that sharpness alone tells nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.plan import Blending

_LEVELS = 4
_SCALINGS = 2
# The final resize and JPEG take more from grain than from what was there before.
_SURPLUS = 1.3
_GRAIN = 0.45
_MOST_GRAIN = 7.0
# How far, in pixels, detail is looked at together where grain takes its place, and how strong
# that is.
_NEAR = 1.5
_STRENGTH = 1.1


def blend(target: Floats, source: Floats, mask: Floats, *, blending: Blending) -> Floats:
    """Return the target with the source put in where the mask is 1.

    Outside the mask's support (dilated by a few pixels) the target is unchanged.
    """
    match blending:
        case "alpha":
            return np.asarray(target + mask[..., None] * (source - target))
        case "poisson":
            joined = _poisson(target, source, mask)
        case "multiband":
            joined = _multiband(target, source, mask)
    near = cv2.GaussianBlur(cv2.dilate(mask, np.ones((5, 5), np.uint8)), (0, 0), 2.5)
    near = np.clip(1.5 * near, 0, 1)[..., None]
    return np.asarray(target + near * (joined - target))


def matched_colour(source: Floats, target: Floats, mask: Floats) -> Floats:
    """Return the source with the mean and spread of the target's colours inside the mask.

    Source: Reinhard et al., "Color transfer between images", 2001, in CIE Lab.
    """
    weight = mask / max(float(mask.sum()), 1.0)
    lab = cv2.cvtColor(np.clip(source, 0, 255) / 255, cv2.COLOR_RGB2Lab)
    goal = cv2.cvtColor(np.clip(target, 0, 255) / 255, cv2.COLOR_RGB2Lab)
    mean, wanted = _mean(lab, weight), _mean(goal, weight)
    spread = np.sqrt(_mean((lab - mean) ** 2, weight))
    aim = np.sqrt(_mean((goal - wanted) ** 2, weight))
    lab = (lab - mean) * np.clip(aim / np.maximum(spread, 1e-3), 0.6, 1.6) + wanted
    return np.asarray(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB) * 255)


def restored(joined: Floats, target: Floats, mask: Floats, *, rng: np.random.Generator) -> Floats:
    """Return the forged picture with the sharpness and grain of the original.

    It is done in luma, octave by octave, as the final resize moves detail from one to the next:
    grain is added until the median contrast agrees inside the mask, then what is there is scaled
    until the energy agrees in all that was touched.
    """
    inside, touched = mask > 0.25, mask > 0.02
    if inside.sum() < 64:
        return joined
    reach = np.minimum(1, 1.5 * mask)
    grain = _octaves(rng.standard_normal(mask.shape, np.float32))
    change = np.zeros_like(mask)
    for band, goal, noise in zip(
        _octaves(_luma(joined)), _octaves(_luma(target)), grain, strict=True
    ):
        new = band
        lacking = _median(goal, inside) ** 2 - _median(band, inside) ** 2
        if lacking > 0:
            strength = (_GRAIN * lacking) ** 0.5 / _median(noise, inside)
            new = new + min(strength, _MOST_GRAIN) * mask * noise
        energy = _SURPLUS * float((goal[touched] ** 2).sum())
        for _ in range(_SCALINGS):
            ratio = energy / max(float((new[touched] ** 2).sum()), 1e-6)
            new = new * (1 + (min(max(ratio**0.5, 0.6), 2.0) - 1) * reach)
        change += new - band
    return np.asarray(joined + change[..., None])


def regrained(
    source: Floats,
    target: Floats,
    *,
    kept: tuple[float, float, float],
    rng: np.random.Generator,
) -> Floats:
    """Return a smooth picture with the grain of another laid over, as a compositor does.

    A network that draws a face small leaves neither pores nor stubble. What is missing is in part
    the target's own finest detail, in part noise that is, place by place, as strong as that;
    noise of one strength would fill in the cheeks what is missing at the eyes.

    Parameters
    ----------
    kept
        What part of it, 0 to 1, is the target's own, by octave, the finest first.
    """
    noises = _octaves(rng.standard_normal(target.shape[:2], np.float32))
    change = np.zeros(target.shape[:2], np.float32)
    for band, goal, noise, share in zip(
        _octaves(_luma(source)), _octaves(_luma(target)), noises, kept, strict=True
    ):
        missing = cv2.GaussianBlur(goal**2 - band**2, (0, 0), _NEAR)
        grain = np.minimum(np.sqrt(np.maximum(missing, 0)), _MOST_GRAIN) * noise / noise.std()
        change += _STRENGTH * ((1 - share) ** 0.5 * grain + share**0.5 * (goal - band))
    return np.asarray(source + change[..., None])


def _octaves(image: Floats) -> list[Floats]:
    """Return the bands of detail of an image (H, W), finest first."""
    bands = []
    for sigma in (0.7, 1.2, 2.0):
        coarser = cv2.GaussianBlur(image, (0, 0), sigma)
        bands.append(image - coarser)
        image = coarser
    return bands


def _median(band: Floats, inside: NDArray[np.bool_]) -> float:
    return float(np.median(np.abs(band[inside][::3])))


def _mean(image: Floats, weight: Floats) -> Floats:
    return np.asarray(np.einsum("hwc,hw->c", image, weight))


def _luma(image: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _poisson(target: Floats, source: Floats, mask: Floats) -> Floats:
    """Solve for the picture whose gradient is the source's in the mask, the target's elsewhere.

    Source: Pérez et al., "Poisson image editing", 2003; solved by sine transforms over the
    rectangle, whose border keeps the target.
    """
    from scipy.fft import dstn, idstn

    difference = source - target
    height, width = mask.shape
    along = (mask[:, 1:] + mask[:, :-1])[..., None] / 2 * np.diff(difference, axis=1)
    down = (mask[1:] + mask[:-1])[..., None] / 2 * np.diff(difference, axis=0)
    divergence = np.diff(along, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1]
    rows = 2 * np.cos(np.pi * np.arange(1, height - 1) / (height - 1)) - 2
    columns = 2 * np.cos(np.pi * np.arange(1, width - 1) / (width - 1)) - 2
    eigen = (rows[:, None] + columns).astype(np.float32)[..., None]
    inner = idstn(dstn(divergence, type=1, axes=(0, 1)) / eigen, type=1, axes=(0, 1))
    joined = target.copy()
    joined[1:-1, 1:-1] += inner
    return joined


def _multiband(target: Floats, source: Floats, mask: Floats) -> Floats:
    """Join each octave of detail with a mask as soft as the octave is coarse.

    Source: Burt and Adelson, "A multiresolution spline", 1983.
    """
    difference, weight = source - target, mask
    bands, weights = [], []
    for _ in range(_LEVELS):
        smaller = cv2.pyrDown(difference)
        size = (difference.shape[1], difference.shape[0])
        bands.append(difference - cv2.pyrUp(smaller, dstsize=size))
        weights.append(weight)
        difference, weight = smaller, cv2.pyrDown(weight)
    joined = difference * weight[..., None]
    for band, weight in zip(reversed(bands), reversed(weights), strict=True):
        joined = (
            cv2.pyrUp(joined, dstsize=(band.shape[1], band.shape[0])) + band * weight[..., None]
        )
    return np.asarray(target + joined)
