"""Boxes between the stages: candidates of a map, shifts, squares, crops, and which to keep.

Boxes are tensors (N, 4) of left, top, right, bottom, and count as the original MATLAB code does:
the first pixel is 1, and a box holds its last pixel. Nothing here depends on the networks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import nms

STRIDE, CELL = 2, 12
"""Of P-Net, in pixels of the image it sees."""


def scales(height: int, width: int, *, smallest: int, factor: float) -> list[float]:
    """Return the scales of the image pyramid.

    The first brings a face of `smallest` pixels to P-Net's 12, each further one is `factor` times
    the one before, and in the last the image's short side is still 12 pixels.
    """
    scale = CELL / smallest
    side = min(height, width) * scale
    found = []
    while side >= CELL:
        found.append(scale)
        scale *= factor
        side *= factor
    return found


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """Return an image (3, H, W) as (1, 3, height, width), each pixel the mean of its area."""
    return interpolate(image[None], size=(height, width), mode="area")


def candidates(
    probabilities: Tensor, shifts: Tensor, *, scale: float, threshold: float, row: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what P-Net takes for faces: boxes (N, 4), probabilities (N,) and box shifts (N, 4).

    Parameters
    ----------
    probabilities, shifts
        Its maps (h, w) and (4, h, w).
    scale
        Of the image it saw.
    threshold
        Least probability.
    row
        Of the map's first row, if it is a strip of a larger one.
    """
    y, x = torch.nonzero(probabilities >= threshold, as_tuple=True)
    corner = STRIDE * torch.stack([x, y + row], dim=1).to(probabilities.dtype)
    boxes = torch.cat([(corner + 1) / scale, (corner + CELL) / scale], dim=1).floor()
    return boxes, probabilities[y, x], shifts[:, y, x].T


def shifted(boxes: Tensor, shifts: Tensor, *, whole: bool = True) -> Tensor:
    """Move the edges of boxes by fractions of their sides (N, 4).

    `whole` counts both the first and the last pixel into a side, as the second and third stage do.
    """
    sides = boxes[:, 2:] - boxes[:, :2] + float(whole)
    return boxes + shifts * sides.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """Return squares around the same centres, with the longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.amax(dim=1, keepdim=True)
    corners = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return torch.cat([corners, corners + longest], dim=1)


def inside(boxes: Tensor, *, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the parts of boxes inside the image, and which of the boxes have one.

    Returns
    -------
    (N, 4) whole numbers, and (N,) bool.
    """
    cut = boxes.trunc().to(torch.int64)
    low = cut[:, :2].clamp(min=1)
    high = torch.minimum(cut[:, 2:], torch.tensor([width, height]))
    return torch.cat([low, high], dim=1), (high >= low).all(dim=1)


def crops(image: Tensor, places: Tensor, *, side: int) -> Tensor:
    """Cut places (N, 4) inside an image (3, H, W) out and resize them to (N, 3, side, side)."""
    out = image.new_empty(len(places), 3, side, side)
    for i, (left, top, right, bottom) in enumerate(places.tolist()):
        out[i] = resized(image[:, top - 1 : bottom, left - 1 : right], side, side)[0]
    return out


def best(boxes: Tensor, scores: Tensor, *, overlap: float) -> Tensor:
    """Return the numbers of the boxes to keep, best first.

    One is dropped if its intersection over union with a better one is more than `overlap`.
    """
    keep: Tensor = nms(boxes, scores, overlap)
    return keep


def best_of_nested(boxes: Tensor, scores: Tensor, *, overlap: float) -> Tensor:
    """Return the numbers of the boxes to keep, best first.

    One is dropped if it shares with a better one more than `overlap` of the smaller of the two, as
    a nose inside a face does. Of equal scores the first counts as better.
    """
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    left = torch.sort(scores, descending=True, stable=True).indices
    keep = []
    while len(left):
        first, left = left[0], left[1:]
        keep.append(first)
        low = torch.maximum(boxes[first, :2], boxes[left, :2])
        high = torch.minimum(boxes[first, 2:], boxes[left, 2:])
        shared = (high - low + 1).clamp(min=0).prod(dim=1)
        left = left[shared / torch.minimum(area[first], area[left]) <= overlap]
    return torch.stack(keep) if keep else left
