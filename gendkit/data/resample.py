"""Pillow's resampling of RGB images with antialiasing, to the bit, in a fraction of its time.

Each side is a weighted sum over neighbours, with weights in 22 bits and a result in 8 bits. The
sums run over whole rows at once, which a compiler makes vectors of; for x the image is transposed.
To compile takes half a second, once in a process.

x always comes first, as in Pillow up to 12, which the pretrained encoders were fed with. Pillow 13
begins with y where that is less work, so that what it makes of an image that is not square depends
on its version: pixels of photos differed by up to 10 grey levels. Crops of faces are square.

References
----------
Pillow's `Image.resize`; the weights and their rounding are those of its `Resample.c`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int32]
Filter = Literal["bicubic", "bilinear", "lanczos", "hamming", "area", "nearest"]

BITS = 22
REACH = {"bicubic": 2.0, "bilinear": 1.0, "lanczos": 3.0, "hamming": 1.0, "area": 0.5}
CUBIC = -0.5
"""Of Keys' cubic: its slope at 1."""


def resample(image: Pixels, size: tuple[int, int], box: tuple[int, int, int, int],
             kind: Filter = "bicubic") -> Pixels:  # fmt: skip
    """Resize an image and cut a box out of the result; only the box is computed.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3).
    size
        Width and height of the whole result.
    box
        Left, top, right and bottom of what is kept of it.
    kind
        The filter, widened where the image is made smaller; `area` is Pillow's `BOX`, and `nearest`
        takes one pixel.

    Returns
    -------
    ndarray
        uint8 (bottom - top, right - left, 3), as Pillow gives it by `resize` and `crop`.
    """
    (height, width), (left, top, right, bottom) = image.shape[:2], box
    across = weights(width, size[0], left, right, kind)
    down = weights(height, size[1], top, bottom, kind)
    turned = cv2.transpose(np.ascontiguousarray(image))
    turned = _summed(turned.reshape(width, height * 3), *across)
    narrow = cv2.transpose(turned.reshape(-1, height, 3))
    return _summed(narrow.reshape(height, -1), *down).reshape(bottom - top, right - left, 3)


def _summed(rows: Pixels, first: Integers, weights: Integers) -> Pixels:
    out = np.empty((len(first), rows.shape[1]), np.uint8)
    _kernel()(rows, first, weights, out)
    return out


@lru_cache(maxsize=256)
def weights(
    before: int, after: int, start: int, stop: int, kind: Filter
) -> tuple[Integers, Integers]:
    """Return the first neighbour (n,) and the weights (n, k) of new pixels `start` to `stop`.

    Weights are in `BITS` fraction bits; where one is of a pixel that is not there, it is 0.
    """
    step = before / after
    if kind == "nearest":  # one after another, as Pillow adds steps: on ties their rounding counts
        centre = np.add.accumulate(np.r_[0.5 * step, np.full(stop - 1, step)])[start:]
        at = np.minimum(centre.astype(np.int32), before - 1)
        return at, np.full((stop - start, 1), 1 << BITS, np.int32)
    centre = (np.arange(start, stop) + 0.5) * step
    wide = max(step, 1.0)
    reach = REACH[kind] * wide
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), before)
    offset = np.arange((last - first).max())
    x = np.abs((offset + first[:, None] - centre[:, None] + 0.5) * (1.0 / wide))
    found = np.where(offset < (last - first)[:, None], _FILTERS[kind](x), 0.0)
    total = np.cumsum(found, axis=1)[:, -1:]  # one after another, as Pillow adds them
    found = found / np.where(total == 0, 1.0, total) * (1 << BITS)
    rounded = (found + np.where(found < 0, -0.5, 0.5)).astype(np.int32)
    return first.astype(np.int32), rounded


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 1, 1.0 - x, 0.0)


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _hamming(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0.0)


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x <= 0.5, 1.0, 0.0)


_FILTERS: dict[Filter, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "bicubic": _cubic,
    "bilinear": _linear,
    "lanczos": _lanczos,
    "hamming": _hamming,
    "area": _box,
}


_LOCK = threading.Lock()


def _kernel() -> Callable[[Pixels, Integers, Integers, Pixels], None]:
    """Return the sum of weighted rows, compiled once; it runs without Python's lock."""
    with _LOCK:
        return _compiled()


@cache
def _compiled() -> Callable[[Pixels, Integers, Integers, Pixels], None]:
    import numba

    types = "void(uint8[:, ::1], int32[::1], int32[:, ::1], uint8[:, ::1])"
    compiled: Any = numba.njit(types, nogil=True)(_sum_rows)
    return compiled  # type: ignore[no-any-return]


def _sum_rows(rows: Pixels, first: Integers, weights: Integers, out: Pixels) -> None:
    """Fill each row of `out` (n, m) with the weighted sum of rows (N, m) that begin at `first`.

    Neighbours beyond the last row have the weight 0.
    """
    count, width = rows.shape
    total = np.empty(width, np.int32)
    for i in range(len(out)):
        for j in range(width):
            total[j] = 1 << (BITS - 1)
        for k in range(weights.shape[1]):
            weight, at = weights[i, k], first[i] + k
            if at < count:
                row = rows[at]
                for j in range(width):
                    total[j] += weight * np.int32(row[j])
        line = out[i]
        for j in range(width):
            line[j] = min(max(total[j] >> BITS, 0), 255)
