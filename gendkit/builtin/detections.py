"""What the built-in face detectors share: the canvas that a network sees, and which boxes stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Image


def canvas(image: Image, factor: float, *, multiple: int) -> tuple[Image, tuple[int, int]]:
    """Resize and put an image into the upper left of a black canvas; return its size (w, h).

    The canvas's sides are multiples of `multiple`.
    """
    import cv2

    height, width = image.shape[:2]
    inner = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    outer = [-(-side // multiple) * multiple for side in inner]
    whole = np.zeros((outer[1], outer[0], 3), dtype=np.uint8)
    whole[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=interpolation)
    return whole, inner


def suppressed(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], *, overlap: float
) -> list[int]:
    """Return the boxes (N, 4) to keep, best first: each lies over a better one by less."""
    left = list(np.argsort(-scores, kind="stable"))
    keep: list[int] = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while left:
        best, rest = left[0], np.asarray(left[1:], dtype=int)
        keep.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        left = list(rest[shared / (area[best] + area[rest] - shared) < overlap])
    return keep
