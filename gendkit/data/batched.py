"""The method's augmentation of a whole batch at once, on the device: `gend-batched`.

Crops that are resized to the input size enter, (B, 3, S, S) uint8, and what is drawn for each of
them; the same leaves. There is no choice by device, and nothing depends on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from gendkit.data.augment import BLUR_KERNEL, Draw, draw
from gendkit.data.blur import gaussian_blur
from gendkit.data.degrade_batch import check_batch
from gendkit.data.jpeg import jpeg

BatchAugmentation = Callable[[Tensor, Sequence[Generator]], Tensor]
FRACTION = 16
"""Fraction bits of the positions that nearest neighbours are looked up at, as in Pillow."""


def gend_batched(images: Tensor, drawn: Sequence[Draw]) -> Tensor:
    """Augment a batch, each image by its own draw.

    For a sample, `gend` and `gend-batched` draw the same numbers. What differs: crops are augmented
    after they are resized to the input and not before, so that the 7-pixel blur and the 8-pixel
    blocks of JPEG are as large as the input's pixels, not the crop's, a shift is rounded to whole
    pixels of the input, and the jagged edges of nearest neighbours are not smoothed by the resize.
    On images of one size the two agree to the bit, but for blurred ones: the blur is rounded once,
    OpenCV's several times, which is one grey level at most before JPEG.

    It is not the method's augmentation, and costs accuracy where crops shrink much. Measured with
    the recipe `small-data` at 126 px, in which only the augmentation was changed, on the training
    and development parts of 200 portraits (558 crops of 93 people, 384 of 48; sides of some 160 to
    320 px), seeds 0 to 2: AUROC on development, which also chose the epoch, was .842 (.820 to .880)
    with `gend` and .783 (.776 to .788) with `gend-batched`, seed by seed .032, .042 and .104 lower.

    Parameters
    ----------
    images
        (B, 3, S, S) uint8, on any device.
    drawn
        (B,) what is done to each; see `gendkit.data.augment.draw`.

    Returns
    -------
    Tensor
        (B, 3, S, S) uint8 on the same device.

    Raises
    ------
    InvalidImage
        For another shape or dtype, or another number of draws.
    """
    check_batch(images, len(drawn))
    if not len(images):
        return images
    turned = _blurred(_turned(images, drawn), [d.sigma for d in drawn])
    lit = _lit(turned.to(torch.int32), drawn)
    return jpeg(lit, [d.quality for d in drawn]).to(torch.uint8)


def _gend(images: Tensor, rngs: Sequence[Generator]) -> Tensor:
    return gend_batched(images, [draw(rng) for rng in rngs])


def _none(images: Tensor, rngs: Sequence[Generator]) -> Tensor:
    return images


BATCHED: MappingProxyType[str, BatchAugmentation] = MappingProxyType(
    {"gend-batched": _gend, "none-batched": _none}
)


def _turned(images: Tensor, drawn: Sequence[Draw]) -> Tensor:
    """Flip and map by nearest neighbours; black outside."""
    batch, channels, height, width = images.shape
    a, b, c, d, e, f = _positions(drawn, width, height).to(images.device).unbind(1)
    v = torch.arange(height, device=images.device, dtype=torch.int32).view(1, -1, 1)
    u = torch.arange(width, device=images.device, dtype=torch.int32).view(1, 1, -1)
    x = (a * u + b * v + c) >> FRACTION
    y = (d * u + e * v + f) >> FRACTION
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flip = torch.tensor([d.flip for d in drawn], device=images.device).view(-1, 1, 1)
    x = torch.where(flip, width - 1 - x, x)
    where = torch.where(inside, y * width + x, 0).view(batch, 1, -1).long()
    found = images.flatten(2).gather(2, where.expand(-1, channels, -1)).view_as(images)
    return found * inside[:, None]


def _positions(drawn: Sequence[Draw], width: int, height: int) -> Tensor:
    """Return (B, 6, 1, 1) the inverse maps of pixel centres, in 16-bit fractions."""
    maps = np.array([one.inverse(width, height) for one in drawn])
    maps[:, 2] += maps[:, 0] * 0.5 + maps[:, 1] * 0.5
    maps[:, 5] += maps[:, 3] * 0.5 + maps[:, 4] * 0.5
    fixed = np.floor(maps * (1 << FRACTION) + 0.5).astype(np.int32)
    return torch.from_numpy(fixed).view(-1, 6, 1, 1)


def _blurred(images: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Blur those with a sigma, mirroring at the edges without repeating them."""
    chosen = [i for i, sigma in enumerate(sigmas) if sigma]
    if not chosen:
        return images
    which = torch.tensor(chosen, device=images.device)
    blurred = gaussian_blur(
        images[which], [BLUR_KERNEL] * len(chosen), [sigmas[i] for i in chosen]
    )  # fmt: skip
    return images.index_copy(0, which, blurred)


def _lit(images: Tensor, drawn: Sequence[Draw]) -> Tensor:
    """Change brightness and contrast, in the order drawn for each; (B, 3, H, W) int32."""

    def factors(name: str) -> Tensor:
        values = [getattr(one, name) for one in drawn]
        return torch.tensor(values, device=images.device).view(-1, 1, 1, 1)

    brightness, contrast = factors("brightness"), factors("contrast")
    first = factors("contrast_first")
    black = torch.zeros_like(images[:, :1, :1, :1])
    bright = torch.where(first, images, _towards(images, black, brightness))
    contrasted = _towards(bright, _grey(bright), contrast)
    return torch.where(first, _towards(contrasted, black, brightness), contrasted)


def _grey(images: Tensor) -> Tensor:
    """Return the mean grey levels (B, 1, 1, 1), rounded."""
    red, green, blue = images.unbind(1)
    grey = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    total, count = grey.sum((1, 2), dtype=torch.int32), grey[0].numel()
    return ((2 * total + count) // (2 * count)).view(-1, 1, 1, 1)


def _towards(images: Tensor, level: Tensor, factor: Tensor) -> Tensor:
    """Go `factor` times as far from a level, cut off to whole grey levels as Pillow does."""
    return (level + factor * (images - level)).clamp_(0, 255).to(torch.int32)
