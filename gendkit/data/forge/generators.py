"""Five generators that need no network: a face blended with itself, swapped, enlarged or moved.

In goes a scene, out comes a picture of its region and the part of the mask in which it is put in.
"""

from __future__ import annotations

import cv2
import numpy as np

from gendkit.data.forge import geometry
from gendkit.data.forge.blending import matched_colour
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.scene import Scene, axes, coarse, laid_over, recoloured
from gendkit.data.forge.upsampler import Upsampler

LIP_RESOLUTION = 96


def self_blend(scene: Scene) -> tuple[Floats, Floats]:
    """Blend a face with itself, moved, recoloured and sharpened or blurred a little.

    Source: the idea of Shiohara and Yamasaki, "Detecting deepfakes with self-blended images",
    2022. The numbers are our own, and mask and blending are the plan's; the dataset `self-blended`
    does it as published (`gendkit.data.forge.self_blending`).
    """
    rng, unit = scene.rng, scene.unit
    source = recoloured(scene.image, rng, amount=1.0)
    angle = rng.uniform(0, 2 * np.pi)
    move = rng.uniform(0.04, 0.09) * unit * np.array([np.cos(angle), np.sin(angle)])
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.02, 0.05)
    centre = scene.points[:5].mean(0)
    where = centre + (geometry.pixel_grid(scene.mask.shape) - centre) / scale - move
    source = geometry.sample(source, where.astype(np.float32))
    if rng.random() < 0.5:
        source = coarse(source, scene.coarseness)
    else:
        source = source + rng.uniform(0.2, 0.6) * (source - cv2.GaussianBlur(source, (0, 0), 1.5))
    return source, scene.mask


def landmark_swap(scene: Scene) -> tuple[Floats, Floats]:
    """Lay a donor's face over the target's, triangle by triangle, in the target's colours."""
    assert scene.donor is not None
    source = laid_over(scene.donor, scene.points, scene.image.shape, unit=scene.unit)
    source = coarse(source, scene.coarseness)
    return matched_colour(source, scene.image, scene.mask), scene.mask


def upsampling(scene: Scene) -> tuple[Floats, Floats]:
    """Reduce the face and enlarge it by zero insertion and a fitted transposed convolution."""
    assert isinstance(scene.tool, Upsampler)
    factor = min(max(round(scene.coarseness), 2), 4)
    rng = scene.rng
    phase = rng.integers(factor, size=2)
    height, width = (n // factor for n in np.array(scene.mask.shape) - phase)
    window = tuple(
        slice(int(p), int(p) + factor * n) for p, n in zip(phase, (height, width), strict=True)
    )
    small = cv2.resize(scene.image[window], (width, height), interpolation=cv2.INTER_AREA)
    low = cv2.GaussianBlur(small, (0, 0), 1.0)
    small = low + rng.uniform(1.2, 1.7) * (small - low)
    small += rng.normal(0, 2.0, small.shape).astype(np.float32)
    source = scene.image.copy()
    source[window] = scene.tool(recoloured(small, rng, amount=0.8), factor=factor)
    return source, scene.mask


def reenactment(scene: Scene) -> tuple[Floats, Floats]:
    """Move mouth, brows and jaw along a smooth thin-plate flow, then soften what was stretched."""
    rng, unit, points = scene.rng, scene.unit, scene.points
    across, down = axes(points)
    shift = np.zeros_like(points)
    raised = rng.choice([-1, 1]) * rng.uniform(0.06, 0.13)
    tilt = rng.uniform(-0.04, 0.04)
    shift[list(geometry.LEFT_BROW)] += (raised + tilt) * down
    shift[list(geometry.RIGHT_BROW)] += (raised - tilt) * down
    wide = rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    lift = rng.choice([-1, 1]) * rng.uniform(0.03, 0.08)
    opened = rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    shift[3] += -wide * across + lift * down
    shift[4] += wide * across + lift * down
    shift[geometry.UPPER_LIP] -= 0.3 * opened * down
    shift[geometry.LOWER_LIP] += 0.9 * opened * down
    shift[list(geometry.CHIN)] += 0.5 * opened * down + 0.04 * rng.normal() * across
    flow = geometry.thin_plate_flow(points + shift * unit, -shift * unit, scene.image.shape)
    flow *= scene.mask[..., None]
    where = geometry.pixel_grid(scene.mask.shape) + flow
    source = geometry.sample(scene.image, where.astype(np.float32))
    amount = np.clip(np.linalg.norm(flow, axis=-1) / (0.06 * unit), 0, 1)
    soft = coarse(source, max(scene.coarseness, 2.0))
    source = source + amount[..., None] * (soft - source)
    # The flow is already confined to the mask, so the picture is put in almost wherever it acts.
    return recoloured(source, rng, amount=0.8), np.clip(1.6 * scene.mask, 0, 1)


def lip_replacement(scene: Scene) -> tuple[Floats, Floats]:
    """Render the lower face anew at 96 pixels with another mouth, enlarge it, feather it."""
    rng, unit, points = scene.rng, scene.unit, scene.points
    across, down = axes(points)
    shift = np.zeros_like(points)
    opened = rng.choice([-1, 1]) * rng.uniform(0.06, 0.13)
    wide = rng.choice([-1, 1]) * rng.uniform(0.05, 0.11)
    shift[3] -= wide * across
    shift[4] += wide * across
    shift[geometry.UPPER_LIP] -= 0.4 * opened * down
    shift[geometry.LOWER_LIP] += opened * down
    shift[list(geometry.CHIN)] += 0.4 * opened * down
    flow = geometry.thin_plate_flow(points + shift * unit, -shift * unit, scene.image.shape)
    centre = 0.3 * points[2] + 0.7 * points[3:5].mean(0)
    height = ((geometry.pixel_grid(scene.mask.shape) - centre) @ down) / unit
    lower = np.clip(height / 0.35 + 0.75, 0, 1).astype(np.float32)
    mask = scene.mask * lower
    where = geometry.pixel_grid(scene.mask.shape) + flow * mask[..., None]
    source = geometry.sample(scene.image, where.astype(np.float32))
    source = coarse(source, scene.face_size / LIP_RESOLUTION)
    source = cv2.bilateralFilter(source, 5, 14, 3)
    return recoloured(source, rng, amount=0.9), mask
