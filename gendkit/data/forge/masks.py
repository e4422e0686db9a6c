"""Where a forgery is put in: masks of five families, each over some part of the face.

In go the points of a face and a plan, out comes a soft mask (H, W) float32 from 0 to 1. No mask
reaches beyond the face, and each covers a part of the lower face, so that every family of forgeries
can act under every mask.
"""

from __future__ import annotations

import cv2
import numpy as np

from gendkit.data.forge.geometry import HULL, OVAL, Floats, pixel_grid
from gendkit.data.forge.plan import Plan


def draw_mask(points: Floats, plan: Plan, shape: tuple[int, ...], *, unit: float) -> Floats:
    """Return the plan's mask.

    Parameters
    ----------
    points
        `face_points` (N, 2), in pixels of the mask.
    unit
        Eye distance in pixels.
    """
    rng = plan.generator(1)
    oval = _filled(_inner_oval(points), shape)
    match plan.mask:
        case "ellipse":
            mask = _ellipse(points, shape, rng)
        case "hull":
            mask = _filled(cv2.convexHull(points[list(HULL)])[:, 0], shape)
        case "half-face":
            mask = oval * _half(points, shape, rng, unit=unit)
        case "mouth":
            mask = _mouth(points, shape, rng)
        case "noise":
            mask = oval * _noise(shape, rng, points=points)
    mask = np.minimum(_elastic(mask, rng, unit=unit), oval)
    return _feathered(mask, width=plan.feather * unit)


def _filled(polygon: Floats, shape: tuple[int, ...]) -> Floats:
    mask = np.zeros(shape[:2], np.uint8)
    corners = np.round(polygon * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(mask / np.float32(255), np.float32)


def _inner_oval(points: Floats) -> Floats:
    """Return the oval of the face drawn in by a tenth, and further at the forehead for the hair."""
    oval = points[list(OVAL)]
    middle, _, down = _frame(points)
    height = (oval - middle) @ down / (down @ down)
    factor = np.where(height < -0.6, 0.78, 0.9)[:, None]
    return np.asarray(middle + factor * (oval - middle), np.float32)


def _frame(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the middle of the face, half its width and half its height as vectors."""
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    across = points[1] - points[0]
    return 0.45 * eyes + 0.55 * mouth, across, mouth - eyes


def _ellipse(points: Floats, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    centre, across, down = _frame(points)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None]
    wide, high = rng.uniform(0.75, 1.0), rng.uniform(0.8, 1.05)
    return _filled(
        (centre + wide * np.cos(angle) * across + high * np.sin(angle) * down).astype(np.float32),
        shape,
    )


def _mouth(points: Floats, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    _, across, down = _frame(points)
    centre = points[3:5].mean(0) + 0.05 * down
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)[:, None]
    wide, high = rng.uniform(0.6, 0.8), rng.uniform(0.38, 0.5)
    return _filled(
        (centre + wide * np.cos(angle) * across + high * np.sin(angle) * down).astype(np.float32),
        shape,
    )


def _half(
    points: Floats, shape: tuple[int, ...], rng: np.random.Generator, *, unit: float
) -> Floats:
    centre, across, down = _frame(points)
    direction = (across, -across, down)[rng.integers(3)]
    normal = direction / np.linalg.norm(direction)
    distance = (pixel_grid(shape) - centre) @ normal / unit
    return np.asarray(np.clip(distance / 0.3 + 0.6, 0, 1), np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator, *, points: Floats) -> Floats:
    """Return a smooth random map over half of the plane, raised towards the mouth."""
    grid = rng.standard_normal((6, 6)).astype(np.float32)
    field = cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    field = (field - np.median(field)) / field.std()
    _, across, down = _frame(points)
    offset = (pixel_grid(shape) - points[3:5].mean(0)) / (
        0.7 * max(np.linalg.norm(across), np.linalg.norm(down))
    )
    field += 1.2 * np.exp(-(offset**2).sum(-1))
    return np.asarray(np.clip(field * 1.5 + 0.6, 0, 1), np.float32)


def _elastic(mask: Floats, rng: np.random.Generator, *, unit: float) -> Floats:
    grid = rng.uniform(-1, 1, (5, 5, 2)).astype(np.float32)
    shift = cv2.resize(grid, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    where = pixel_grid(mask.shape) + 0.12 * unit * shift
    return np.asarray(cv2.remap(mask, where, None, cv2.INTER_LINEAR))


def _feathered(mask: Floats, *, width: float) -> Floats:
    """Return the mask with an edge that falls off inwards over about `width` pixels."""
    sigma = max(width / 2, 0.5)
    shrunk = cv2.GaussianBlur(mask, (0, 0), sigma)
    return np.asarray(np.clip(2 * shrunk - 1, 0, 1) ** 0.8 * np.minimum(1, mask * 4), np.float32)
