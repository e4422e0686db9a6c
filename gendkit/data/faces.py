"""From a face's five landmarks to an aligned crop, and which of several faces is meant.

An RGB image and landmarks enter; a square RGB crop of the same dtype leaves, in which the eyes, the
nose and the mouth stand where `TEMPLATE` has them. A crop keeps the face's own resolution unless a
size is asked for: what a manipulation leaves behind is often finer than a resize.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gendkit.errors import InvalidImage
from gendkit.plugin.protocols import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Image

TEMPLATE: tuple[tuple[float, float], ...] = (
    (0.34, 0.46),
    (0.66, 0.46),
    (0.50, 0.64),
    (0.37, 0.82),
    (0.63, 0.82),
)
"""Where the landmarks stand in a crop of scale 1, as fractions of its side: x right, y down."""

LARGEST = 8192
_FIRST, _SECOND = np.triu_indices(len(TEMPLATE), 1)


def align_face(
    image: Image,
    landmarks: NDArray[np.floating],
    *,
    scale: float = 1.3,
    size: int | None = None,
) -> Image:
    """Cut a face out so that its landmarks fall onto the template.

    The similarity transform (rotation, scale, shift) is fitted by least median of squares, which
    ignores a landmark that is far off; pixels are interpolated bilinearly and are black outside the
    image.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3). It is not changed.
    landmarks
        (5, 2) x, y in pixels, in the order of `Face.landmarks`.
    scale
        Side of the crop over that of the template: 1.3 leaves a margin of 15 % all round.
    size
        Side of the crop in pixels; by default the face's own, which is the mean ratio of the
        distances between landmarks to those in the template, times `scale`, rounded.

    Returns
    -------
    RGB uint8 (size, size, 3).

    Raises
    ------
    InvalidImage
        For an image or landmarks of another shape or dtype, landmarks that are not finite or that
        coincide, and for a crop of less than one or more than 8192 pixels.

    References
    ----------
    GenD, "Deepfake Detection that Generalizes Across Benchmarks", arXiv 2508.06248.
    """
    import cv2

    check_image(image)
    points = _checked_landmarks(landmarks)
    if not scale > 0 or not np.isfinite(scale):
        raise InvalidImage(f"the scale of a crop must be positive, got {scale}.")
    side = native_size(points, scale=scale) if size is None else int(size)
    if not 1 <= side <= LARGEST:
        raise InvalidImage(f"a crop has 1 to {LARGEST} pixels a side, got {side}.")
    target = ((np.asarray(TEMPLATE) - 0.5) / scale + 0.5) * side
    matrix, _ = cv2.estimateAffinePartial2D(points, target, method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        raise InvalidImage(
            f"no similarity transform fits the landmarks {points.round(1).tolist()}."
        )
    crop: Image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return crop


def whole_picture(image: Image, *, size: int | None = None) -> Image:
    """Return a picture that counts as a face as it is, such as one that was cropped before.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3). It is not changed.
    size
        By default every pixel is kept, of whatever shape the picture is. With a size, the short
        side is scaled to it (by area where it shrinks, else bilinearly) and the middle square is
        kept.

    Returns
    -------
    A copy: RGB uint8 (H, W, 3), or (size, size, 3).

    Raises
    ------
    InvalidImage
        For an image of another shape or dtype, or of more than 8192 pixels a side in the end.
    """
    import cv2

    check_image(image)
    if size is None and max(image.shape) <= LARGEST:
        return image.copy()
    if size is None or not 1 <= size <= LARGEST:
        got = max(image.shape) if size is None else size
        raise InvalidImage(f"a crop has 1 to {LARGEST} pixels a side, got {got}.")
    height, width = image.shape[:2]
    factor = size / min(height, width)
    sides = (max(size, round(width * factor)), max(size, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled: Image = image if factor == 1 else cv2.resize(image, sides, interpolation=how)
    top, left = ((side - size) // 2 for side in scaled.shape[:2])
    return scaled[top : top + size, left : left + size].copy()


def native_size(landmarks: NDArray[np.floating], *, scale: float = 1.3) -> int:
    """Return the side in pixels at which a crop keeps the face's own resolution.

    Parameters
    ----------
    landmarks
        (5, 2) x, y in pixels.
    scale
        As for `align_face`.
    """
    ratio = _distances(np.asarray(landmarks, dtype=np.float64)) / _distances(np.asarray(TEMPLATE))
    return max(1, int(np.floor(ratio.mean() * scale + 0.5)))


def largest_face(faces: Sequence[Face]) -> Face | None:
    """Return the face with the largest box; of equal ones the first; None if there is none."""
    return max(faces, key=lambda face: _area(face.box), default=None)


def by_size(faces: Sequence[Face]) -> list[Face]:
    """Return the faces, the one with the largest box first; of equal ones in the order given."""
    return sorted(faces, key=lambda face: -_area(face.box))


def overlapping_face(faces: Sequence[Face], mask: NDArray[np.generic]) -> Face | None:
    """Return the face whose box covers most of a manipulation mask.

    Parameters
    ----------
    faces
        The faces of one frame.
    mask
        (H, W) or (H, W, C) of that frame; a pixel is manipulated where any channel is not zero.

    Returns
    -------
    The first face of those with the largest overlap in pixels; None for an empty mask or one that
    no face overlaps: such a frame is left out.

    Raises
    ------
    InvalidImage
        If the mask is no picture.
    """
    _check_mask(mask)
    best, most = None, 0
    for face in faces:
        if (pixels := overlap(face.box, mask)) > most:
            best, most = face, pixels
    return best


def overlap(box: tuple[float, float, float, float], mask: NDArray[np.generic]) -> int:
    """Count the manipulated pixels in a box; as for `overlapping_face`.

    Raises
    ------
    InvalidImage
        If the mask is no picture.
    """
    _check_mask(mask)
    left, top = (max(0, int(np.floor(v))) for v in box[:2])
    right, bottom = (max(0, int(np.ceil(v))) for v in box[2:])
    inside = mask[top:bottom, left:right] != 0
    return int(np.count_nonzero(inside.any(axis=2) if mask.ndim == 3 else inside))


def faces_within(
    shape: Sequence[int],
    boxes: NDArray[np.floating],
    landmarks: NDArray[np.floating],
    scores: NDArray[np.floating],
) -> list[Face]:
    """Return what a detector found as faces, in its order, clipped to the image.

    Parameters
    ----------
    shape
        Of the image, (H, W, 3).
    boxes
        (N, 4) left, top, right, bottom in pixels of the image. One of which less than a pixel a
        side is left is no face.
    landmarks, scores
        (N, 5, 2) x, y in pixels, and (N,) confidences.
    """
    limit = np.array([shape[1] - 1, shape[0] - 1], dtype=np.float64)
    faces = []
    for box, points, score in zip(boxes, landmarks, scores, strict=True):
        left, top, right, bottom = np.clip(box.reshape(2, 2), 0, limit).ravel().tolist()
        if right - left >= 1 and bottom - top >= 1:
            faces.append(
                Face(
                    box=(left, top, right, bottom),
                    landmarks=np.clip(points, 0, limit).astype(np.float32),
                    confidence=float(score),
                )
            )
    return faces


def check_image(image: Image) -> None:
    """Refuse what is no RGB uint8 image (H, W, 3) with a pixel.

    Raises
    ------
    InvalidImage
        With what was got.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = getattr(image, "dtype", type(image).__name__)
        raise InvalidImage(f"an image is an RGB uint8 array (H, W, 3), got {got}.")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InvalidImage(f"an image is an RGB uint8 array (H, W, 3), got shape {image.shape}.")


def _check_mask(mask: NDArray[np.generic]) -> None:
    if mask.ndim not in (2, 3):
        raise InvalidImage(f"a mask has the shape (H, W) or (H, W, C), got {mask.shape}.")


def _area(box: tuple[float, float, float, float]) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.linalg.norm(points[_FIRST] - points[_SECOND], axis=1)
    return distances


def _checked_landmarks(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (len(TEMPLATE), 2):
        raise InvalidImage(f"landmarks have the shape (5, 2), got {points.shape}.")
    if not np.isfinite(points).all():
        raise InvalidImage(f"landmarks are not finite: {points.tolist()}.")
    if _distances(points).min() < 1e-3:
        raise InvalidImage(f"two landmarks coincide: {points.round(2).tolist()}.")
    return points
