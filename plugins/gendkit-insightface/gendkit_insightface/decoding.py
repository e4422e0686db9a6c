"""From the nine outputs of SCRFD to boxes, landmarks and scores, and which of them to keep.

Outputs enter as onnxruntime gives them; places leave in pixels of the square that the network saw.
The network looks at a square of `side` pixels in cells of 8, 16 and 32 pixels. Each cell has two
anchors at its upper left corner; from there it gives the distances to a box's four sides and the
offsets of five landmarks, in cells.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022,
arXiv 2105.04714. Order and meaning of the outputs are those of insightface's `scrfd.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.errors import UnreadableMedia

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STRIDES = (8, 16, 32)
ANCHORS = 2
HEADS = {"scores": 1, "boxes": 4, "landmarks": 10}
"""What the network gives for each anchor and how many numbers that is; each for every stride."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Anchors:
    """The anchors of all strides, in the order of the outputs.

    Attributes
    ----------
    centres
        (N, 2) x, y in pixels of the square.
    strides
        (N,) pixels.
    counts
        How many there are of each stride.
    """

    centres: Floats
    strides: Floats
    counts: tuple[int, ...]

    @classmethod
    def of(cls, side: int) -> Anchors:
        """Return those of a square: row by row, those of one cell after each other."""
        centres = []
        for stride in STRIDES:
            y, x = np.mgrid[: side // stride, : side // stride] * float(stride)
            cells = np.stack([x.ravel(), y.ravel()], axis=1)
            centres.append(np.repeat(cells, ANCHORS, axis=0))
        counts = tuple(len(c) for c in centres)
        return cls(
            centres=np.concatenate(centres),
            strides=np.repeat(np.array(STRIDES, dtype=np.float64), counts),
            counts=counts,
        )


def decoded(
    outputs: Sequence[Any], anchors: Anchors, *, threshold: float
) -> tuple[Floats, Floats, Floats]:
    """Return boxes (N, 4), landmarks (N, 5, 2) and scores (N,) of at least the threshold.

    Parameters
    ----------
    outputs
        Scores of the three strides, then boxes, then landmarks: nine arrays (n, 1), (n, 4) or
        (n, 10), or with a batch of one before.

    Raises
    ------
    UnreadableMedia
        If the outputs are others, or their numbers cannot be what they should.
    """
    scores, sides, points = _heads(outputs, anchors)
    if not (np.isfinite(sides).all() and np.isfinite(points).all()):
        raise UnreadableMedia("its boxes and landmarks are not all finite; the file is damaged.")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise UnreadableMedia(
            f"its scores reach from {scores.min():.3g} to {scores.max():.3g}; expected confidences "
            "from 0 to 1, as SCRFD with a sigmoid at its end gives."
        )
    sure = scores[:, 0] >= threshold
    centres, stride = anchors.centres[sure], anchors.strides[sure, None]
    sides, points = sides[sure] * stride, points[sure] * stride
    boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
    landmarks = centres[:, None] + points.reshape(-1, 5, 2)
    return boxes, landmarks, scores[sure, 0]


def suppressed(boxes: Floats, scores: Floats, *, overlap: float) -> list[int]:
    """Return the numbers of the boxes to keep, best first; of equal scores the first is better.

    One is dropped if its intersection over union with a better one that is kept is more than
    `overlap`. As in insightface, a side counts both its first and its last pixel.
    """
    left = np.argsort(-scores, kind="stable")
    areas = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    keep: list[int] = []
    while len(left):
        best, rest = left[0], left[1:]
        keep.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(high - low + 1, 0), axis=1)
        left = rest[shared <= overlap * (areas[best] + areas[rest] - shared)]
    return keep


def _heads(outputs: Sequence[Any], anchors: Anchors) -> tuple[Floats, Floats, Floats]:
    """Return the outputs of all strides together: (N, 1), (N, 4) and (N, 10)."""
    expected = [(n, width) for width in HEADS.values() for n in anchors.counts]
    got = [np.shape(output) for output in outputs]
    flat = [shape[1:] if len(shape) == 3 and shape[0] == 1 else shape for shape in got]
    if flat != expected:
        raise UnreadableMedia(
            f"it gives {len(got)} outputs of the shapes {_listed(got)}; SCRFD-10GF with landmarks "
            f"gives {len(expected)}: scores, boxes and landmarks of the shapes {_listed(expected)}."
        )
    arrays = [
        np.asarray(output, dtype=np.float64).reshape(shape)
        for output, shape in zip(outputs, expected, strict=True)
    ]
    n = len(STRIDES)
    scores, boxes, points = (np.concatenate(arrays[i : i + n]) for i in (0, n, 2 * n))
    return scores, boxes, points


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(shape).replace(" ", "") for shape in shapes) or "nothing"
