"""MTCNN: from an RGB image through three networks to faces with five landmarks.

P-Net proposes places in a pyramid of the image, R-Net drops most of them, O-Net decides and finds
the landmarks; in between, of boxes that overlap the best is kept. All of it is computed on the CPU
in float32. P-Net sees a level of the pyramid in strips, whose answers are exactly those of the
whole, so that a large frame needs little more memory than itself in float32.

Source: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016, arXiv 1604.02878. Weights, thresholds and order of
the steps are those of facenet-pytorch 2.6.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gendkit.data.faces import check_image, faces_within
from gendkit.errors import InvalidArgument
from gendkit_mtcnn import boxes as b
from gendkit_mtcnn.networks import OutputNet, ProposalNet, RefinementNet, load

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face, Image

FACTOR = 0.709
PROPOSED, REFINED = 0.6, 0.7
"""Least probability in the first two stages; that of the third is the extractor's threshold."""
WITHIN_SCALE, BETWEEN = 0.5, 0.7
"""Overlap from which of two boxes one is dropped: in a level of the pyramid, and after it."""
SMALL, LARGE = 24, 48
BATCH = 256
STRIP = 1_000_000
"""Pixels that P-Net sees at once; its maps take about 150 bytes for each."""


class MTCNN:
    """Finds faces and five landmarks each.

    It may be called from several threads at once, and the same image always gives the same faces.

    Parameters
    ----------
    weights
        Files of P-Net, R-Net and O-Net.
    threshold
        Least confidence of the last stage, 0 to 1.
    smallest
        Side in pixels of the smallest face that is proposed; it may be found to be smaller. The
        time for an image goes with its number of pixels over the square of this.

    Raises
    ------
    InvalidArgument
        For a threshold or a side that cannot be.
    UnreadableMedia
        If the weights cannot be read.
    """

    name = "mtcnn"
    """By which the plugin gives it; recorded with the crops."""

    def __init__(
        self, weights: Sequence[str | Path], *, threshold: float = 0.7, smallest: int = 20
    ) -> None:
        if not 0 < threshold < 1:
            raise InvalidArgument(f"a threshold is between 0 and 1, got {threshold}.")
        if not smallest >= b.CELL:
            raise InvalidArgument(
                f"smallest is {smallest} px; the first network sees {b.CELL}, give that or more."
            )
        proposal, refinement, output = weights
        self._threshold = float(threshold)
        self._smallest = smallest
        self._propose = load(ProposalNet, proposal)
        self._refine = load(RefinementNet, refinement)
        self._decide = load(OutputNet, output)

    @property
    def threshold(self) -> float:
        """The least confidence that counts as a face."""
        return self._threshold

    def __call__(self, image: Image, /) -> list[Face]:
        """Return the faces of an RGB uint8 image (H, W, 3), most confident first.

        Boxes and landmarks are clipped to the image. The image is not changed.

        Raises
        ------
        InvalidImage
            For another shape or dtype.
        """
        check_image(image)
        if min(image.shape[:2]) < self._smallest:
            return []
        # A caller's autocast would otherwise reach the networks.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1), dtype=np.float32))
            places, points, scores = self._third(pixels, self._second(pixels, self._first(pixels)))
        # Its boxes count from pixel 1.
        return faces_within(image.shape, (places - 1).numpy(), points.numpy(), scores.numpy())

    def _first(self, image: Tensor) -> Tensor:
        """Return the places (N, 4) that P-Net proposes, as squares."""
        height, width = image.shape[1:]
        found = []
        for scale in b.scales(height, width, smallest=self._smallest, factor=FACTOR):
            level = b.resized(image, int(height * scale + 1), int(width * scale + 1))
            strips = [
                b.candidates(one[0], shifts[0], scale=scale, threshold=PROPOSED, row=row)
                for row, one, shifts in self._strips(_normalised(level))
            ]
            boxes, scores, shifts = (torch.cat(part) for part in zip(*strips, strict=True))
            keep = b.best(boxes, scores, overlap=WITHIN_SCALE)
            found.append((boxes[keep], scores[keep], shifts[keep]))
        if not found:
            return torch.empty(0, 4)
        boxes, scores, shifts = (torch.cat(part) for part in zip(*found, strict=True))
        keep = b.best(boxes, scores, overlap=BETWEEN)
        return b.squared(b.shifted(boxes[keep], shifts[keep], whole=False))

    def _strips(self, level: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Run P-Net over strips of an image; give the first row of each in the whole map."""
        height, width = level.shape[2:]
        rows = max(1, STRIP // (width * b.STRIDE))
        # The map of the whole: two fewer by the first convolution, half of it rounded up, and four
        # fewer by the two others.
        whole = -(-(height - 2) // b.STRIDE) - 4
        for row in range(0, whole, rows):
            end = b.STRIDE * (row + rows - 1) + b.CELL
            yield row, *self._propose(level[:, :, b.STRIDE * row : end])

    def _second(self, image: Tensor, places: Tensor) -> Tensor:
        """Return the places (N, 4) that R-Net keeps, as squares."""
        places, _, crops = _cut(image, places, side=SMALL)
        if not len(places):
            return places
        scores, shifts = (torch.cat(p) for p in zip(*map(self._refine, crops), strict=True))
        sure = scores > REFINED
        places, scores, shifts = places[sure], scores[sure], shifts[sure]
        keep = b.best(places, scores, overlap=BETWEEN)
        return b.squared(b.shifted(places[keep], shifts[keep]))

    def _third(self, image: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (N, 4), landmarks (N, 5, 2) and confidences (N,).

        Landmarks are fractions of the crop that O-Net saw, whose left edge lies half a pixel left
        of its first pixel's centre. facenet-pytorch takes them as fractions of the place before it
        was cut to whole pixels and to the image, and as if the edge were that centre: its points
        lie right and below of these, by 1 pixel on average.
        """
        places, cut, crops = _cut(image, places, side=LARGE)
        if not len(places):
            return places, torch.empty(0, 5, 2), torch.empty(0)
        answers = map(self._decide, crops)
        scores, shifts, points = (torch.cat(part) for part in zip(*answers, strict=True))
        sure = scores > self._threshold
        places, scores, shifts, points = places[sure], scores[sure], shifts[sure], points[sure]
        corners, ends = cut[sure][:, None, :2], cut[sure][:, None, 2:]
        points = points * (ends - corners + 1) + (corners - 1) - 0.5
        boxes = b.shifted(places, shifts)
        keep = b.best_of_nested(boxes, scores, overlap=BETWEEN)
        return boxes[keep], points[keep], scores[keep]


def _cut(image: Tensor, places: Tensor, *, side: int) -> tuple[Tensor, Tensor, Iterator[Tensor]]:
    """Return the places that touch the image, what of them is in it, and crops of that in batches.

    The places and their parts are (N, 4), a batch is (B, 3, side, side).
    """
    cut, there = b.inside(places, height=image.shape[1], width=image.shape[2])
    cut = cut[there]
    batches = (
        _normalised(b.crops(image, cut[first : first + BATCH], side=side))
        for first in range(0, len(cut), BATCH)
    )
    return places[there], cut, batches


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) / 128
