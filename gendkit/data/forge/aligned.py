"""The window of a face that small networks see: aligned, square, and put back again.

In goes a picture with five landmarks, out comes a square crop in which eyes, nose and mouth always
lie at about the same places; and such a crop goes back to where it came from. The map is affine, so
a turned head is straightened as far as five points allow.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge.geometry import Floats, to_photo

# The middle and the side of the window in the unit square of the alignment template: from the hair
# line to the chin, with a little room.
MIDDLE = (0.5, 0.57)
SIDE = 1.1
# A crop is sampled twice as fine and averaged.
_FINER = 2
# Blur, in pixels of the crop, before a larger picture is sampled.
_BLUR = 0.4


def window_of(image: NDArray[np.generic], landmarks: Floats, *, size: int) -> Floats:
    """Return the window of a face (size, size, 3) in the values of the picture, as float32."""
    fine = size * _FINER
    matrix = _to_photo(landmarks, fine)
    picture = image.astype(np.float32)
    coarseness = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if coarseness > 1.2:
        picture = cv2.GaussianBlur(picture, (0, 0), _BLUR * coarseness)
    crop = cv2.warpAffine(
        picture, matrix, (fine, fine), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA))


def put_back(window: Floats, landmarks: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a picture (H, W, …) that shows a window where `window_of` would take it from.

    Beyond the window its border is repeated.
    """
    return np.asarray(
        cv2.warpAffine(
            window, _to_photo(landmarks, window.shape[0]), (shape[1], shape[0]),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
        )
    )  # fmt: skip


def _to_photo(landmarks: Floats, size: int) -> NDArray[np.float64]:
    """Return the affine map (2, 3) from pixels of a window to those of the photo."""
    matrix = to_photo(landmarks)
    corner = np.array(MIDDLE) + SIDE * (0.5 / size - 0.5)
    return np.column_stack([matrix[:, :2] * (SIDE / size), matrix[:, :2] @ corner + matrix[:, 2]])
