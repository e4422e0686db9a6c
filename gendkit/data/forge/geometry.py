"""Face geometry from five landmarks: auxiliary points, warps and the region to work in.

In go the five landmarks of a face, out come points of the whole face and dense sampling maps. Five
landmarks do not show the jaw or the brows, so these are those of a mean face, carried onto the
photo by the affine map that fits the landmarks best.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# A mean frontal face in the unit square of the alignment template: the five landmarks come first.
LANDMARKS = np.array(
    [(0.34, 0.46), (0.66, 0.46), (0.50, 0.64), (0.37, 0.82), (0.63, 0.82)], np.float64
)
_LEFT = [
    (0.125, 0.46), (0.13, 0.60), (0.15, 0.74), (0.21, 0.88), (0.30, 0.98), (0.40, 1.05),
    (0.12, 0.32), (0.17, 0.19), (0.29, 0.09),
    (0.22, 0.355), (0.32, 0.315), (0.44, 0.355),
    (0.265, 0.465), (0.41, 0.47), (0.34, 0.435), (0.34, 0.49),
    (0.425, 0.65), (0.45, 0.50), (0.26, 0.66), (0.30, 0.80),
]  # fmt: skip
_MIDDLE = [(0.5, 1.07), (0.5, 0.06), (0.5, 0.785), (0.5, 0.82), (0.5, 0.89), (0.5, 0.34),
           (0.5, 0.70), (0.5, 0.95)]  # fmt: skip
CANONICAL = np.array(
    [*LANDMARKS.tolist(), *_LEFT, *((1 - x, y) for x, y in _LEFT), *_MIDDLE], np.float64
)
_N = len(_LEFT)
_R = 5 + _N
_M = 5 + 2 * _N
OVAL = (
    *(5 + i for i in (0, 1, 2, 3, 4, 5)), _M, *(_R + i for i in (5, 4, 3, 2, 1, 0, 6, 7, 8)),
    _M + 1, *(5 + i for i in (8, 7, 6)),
)  # fmt: skip
BROWS = (*(5 + i for i in (9, 10, 11)), *(_R + i for i in (9, 10, 11)))
LEFT_BROW, RIGHT_BROW = BROWS[:3], BROWS[3:]
JAW = (*(5 + i for i in (2, 3, 4, 5)), _M, *(_R + i for i in (5, 4, 3, 2)))
CHIN = (5 + 5, _M, _R + 5)
UPPER_LIP, LIP_LINE, LOWER_LIP = _M + 2, _M + 3, _M + 4
HULL = (*BROWS, 5 + 0, 5 + 1, 5 + 2, 5 + 3, _R + 0, _R + 1, _R + 2, _R + 3, _M)


def to_photo(landmarks: Floats) -> NDArray[np.float64]:
    """Return the affine map (2, 3) from the unit template to a photo, by least squares."""
    known = np.column_stack([LANDMARKS, np.ones(5)])
    solution = np.linalg.lstsq(known, np.asarray(landmarks, np.float64), rcond=None)[0]
    return np.asarray(solution.T)


def face_points(landmarks: Floats) -> Floats:
    """Return all points of the face (N, 2) in pixels, in the order of `CANONICAL`.

    The first five are the landmarks themselves, the others the mean face's.
    """
    matrix = to_photo(landmarks)
    points = CANONICAL @ matrix[:, :2].T + matrix[:, 2]
    points[:5] = landmarks
    return points.astype(np.float32)


def eye_distance(landmarks: Floats) -> float:
    """Return a face's unit of length in pixels: a mean of its landmark distances.

    It equals the distance of the eyes in a frontal face and does not shrink when the head turns.
    """
    got = np.linalg.norm(landmarks[:, None] - landmarks[None], axis=-1)[np.triu_indices(5, 1)]
    mean = np.linalg.norm(LANDMARKS[:, None] - LANDMARKS[None], axis=-1)[np.triu_indices(5, 1)]
    return float(np.mean(got / mean) * 0.32)


def face_region(
    landmarks: Floats, shape: tuple[int, ...], *, margin: float = 0.3
) -> tuple[slice, slice]:
    """Return the rows and columns of an image that hold the face and a margin in eye distances."""
    points = face_points(landmarks)
    pad = margin * eye_distance(landmarks)
    left, top = np.floor(points.min(0) - pad).astype(int)
    right, bottom = np.ceil(points.max(0) + pad).astype(int) + 1
    height, width = shape[:2]
    return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))


@cache
def _triangles() -> tuple[tuple[int, int, int], ...]:
    from scipy.spatial import Delaunay

    return tuple(tuple(int(i) for i in t) for t in Delaunay(CANONICAL).simplices)  # type: ignore[misc]


def piecewise_map(source: Floats, target: Floats, shape: tuple[int, ...]) -> Floats:
    """Return where each pixel (H, W) comes from if triangles of points are carried over affinely.

    Parameters
    ----------
    source, target
        `face_points` of the face that is sampled and of the one that is covered.

    Returns
    -------
    (H, W, 2) x, y in the source; outside the face the affine map of all points.
    """
    triangles = np.array(_triangles())
    ones = np.ones((len(triangles), 3, 1))
    matrices = np.linalg.solve(
        np.concatenate([target[triangles], ones], axis=-1).astype(np.float64),
        source[triangles].astype(np.float64),
    )
    whole = np.linalg.lstsq(
        np.column_stack([target, np.ones(len(target))]).astype(np.float64), source, rcond=None
    )[0]
    table = np.concatenate([matrices, whole[None]]).astype(np.float32)
    index = np.full(shape[:2], len(triangles), np.uint8)
    corners = np.round(target[triangles] * 16).astype(np.int32)
    for number, corner in enumerate(corners):
        cv2.fillConvexPoly(index, corner, number, shift=4)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    flat = table[index]
    return np.asarray(
        flat[..., 0, :] * columns[..., None] + flat[..., 1, :] * rows[..., None] + flat[..., 2, :]
    )


def thin_plate_flow(
    points: Floats, shift: Floats, shape: tuple[int, ...], *, stride: int = 6
) -> Floats:
    """Return the smooth flow (H, W, 2) in pixels that takes the value `shift` (N, 2) at `points`.

    The thin-plate spline (Bookstein 1989) is evaluated on a grid of every `stride`-th pixel and
    enlarged linearly.
    """
    n = len(points)
    unit = float(np.ptp(points, axis=0).max())
    p = points.astype(np.float64) / unit
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _thin_plate(((p[:, None] - p[None]) ** 2).sum(-1)) + 1e-6 * np.eye(n)
    system[:n, n] = system[n, :n] = 1
    system[:n, n + 1 :] = p
    system[n + 1 :, :n] = p.T
    weights = np.linalg.solve(system, np.concatenate([shift, np.zeros((3, 2))]))
    height, width = shape[:2]
    small = (max(height // stride, 2), max(width // stride, 2))
    y = ((np.arange(small[0]) + 0.5) * height / small[0] - 0.5) / unit
    x = ((np.arange(small[1]) + 0.5) * width / small[1] - 0.5) / unit
    squared = (x[None, :, None] - p[:, 0]) ** 2 + (y[:, None, None] - p[:, 1]) ** 2
    flow = _thin_plate(squared) @ weights[:n] + weights[n]
    flow = flow + x[None, :, None] * weights[n + 1] + y[:, None, None] * weights[n + 2]
    return np.asarray(
        cv2.resize(flow.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    )


def sample(image: Floats, where: Floats) -> Floats:
    """Return an image at sampling positions (H, W, 2), bilinearly, mirrored beyond its border."""
    return np.asarray(
        cv2.remap(image, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    )


def pixel_grid(shape: tuple[int, ...]) -> Floats:
    """Return x, y of every pixel (H, W, 2)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack([columns, rows], axis=-1).astype(np.float32)


def _thin_plate(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-12)))
