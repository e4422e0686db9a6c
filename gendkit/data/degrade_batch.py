"""Degradations of a batch on its device, each sample by its own values and its own seed.

Nothing depends on the rest of the batch, nor on the device: a sample gets what it would get alone.
JPEG, resize and noise are computed in whole numbers, or by looking up, and are those of
`gendkit.data.degrade_image` to the bit; H.264 is done there, on the host, sample by sample. It is
meant for a GPU: in tensors on the CPU all this takes 2 to 8 times as long as there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gendkit.data.blur import gaussian_blur
from gendkit.data.codecs import h264
from gendkit.data.degrade import Drawn
from gendkit.data.degrade_image import GREY, resized
from gendkit.data.jpeg import jpeg
from gendkit.data.noise import normal_batch
from gendkit.data.resample import BITS, Filter, weights
from gendkit.errors import InvalidImage

Values = Sequence[Sequence[Any]]
Seeds = Sequence[tuple[int, ...]]


def degrade_batch(images: Tensor, drawn: Sequence[Drawn]) -> Tensor:
    """Degrade a batch, each picture by its own chain.

    As training augmentation it is not the same as degrading crops at their own resolution: after
    the resize, a kernel or a block of JPEG is as large as the input's pixels. Measured with the
    recipe `small-data` at 126 px on 200 portraits, as `gend-batched` was, with the chain
    `jpeg:40..100@0.5, blur:3..7:0.5..2@0.2, colour:0.9..1.1:0.9..1.1, noise:0..0.03@0.3`, seeds 0
    to 2: AUROC on development, which also chose the epoch, was .805 (.800 to .811) before the
    resize and .770 (.766 to .775) with `none-batched`, seed by seed .037, .025 and .041 lower.

    Parameters
    ----------
    images
        (B, 3, H, W) uint8, on any device.
    drawn
        (B,) what is done to each; see `Chain.draw` and `Chain.at`.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8 on the same device; the input is left as it is.

    Raises
    ------
    InvalidImage
        For another shape or dtype, or another number of draws.
    """
    check_batch(images, len(drawn))
    images = images.clone(memory_format=torch.contiguous_format)
    for number in range(max((len(one.steps) for one in drawn), default=0)):
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(drawn):
            if number < len(one.steps):
                rows.setdefault(one.steps[number].name, []).append(row)
        for name, chosen in rows.items():
            which = torch.tensor(chosen, device=images.device)
            values = [drawn[row].steps[number].arguments for row in chosen]
            seeds = [(drawn[row].seed, number) for row in chosen]
            images.index_copy_(0, which, _DO[name](images[which], values, seeds))
    return images


def check_batch(images: Tensor, draws: int) -> None:
    """Refuse what is no batch of pictures, or has another number of draws.

    Raises
    ------
    InvalidImage
        Saying what was got.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InvalidImage(
            f"a batch of crops is uint8 (B, 3, H, W); got {images.dtype} {tuple(images.shape)}."
        )
    if draws != len(images):
        raise InvalidImage(f"{len(images)} crops need as many draws; got {draws}.")


def _jpeg(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    return jpeg(images.to(torch.int32), [quality for (quality,) in values]).to(torch.uint8)


def _blur(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    return gaussian_blur(images, [k for k, _ in values], [sigma for _, sigma in values])


def _resize(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    height, width = images.shape[2:]
    done = images.clone()
    for side, kind in dict.fromkeys(map(tuple, values)):
        chosen = [i for i, value in enumerate(values) if tuple(value) == (side, kind)]
        which = torch.tensor(chosen, device=images.device)
        small = resample_batch(images[which], resized(height, width, side), kind)
        done.index_copy_(0, which, resample_batch(small, (height, width), "bicubic"))
    return done


def resample_batch(images: Tensor, size: tuple[int, int], kind: Filter) -> Tensor:
    """Resize uint8 pictures (B, 3, H, W) to a height and width, as `gendkit.data.resample` does."""
    for dim, after in ((3, size[1]), (2, size[0])):
        before = images.shape[dim]
        first, factors = weights(before, after, 0, after, kind)
        shape = [-1 if d == dim else 1 for d in range(4)]
        total = torch.full((), 1 << (BITS - 1), dtype=torch.int32, device=images.device)
        for k in range(factors.shape[1]):
            at = torch.from_numpy(np.minimum(first + k, before - 1)).to(images.device)
            factor = torch.from_numpy(factors[:, k].copy()).to(images.device).view(shape)
            total = total + factor * images.index_select(dim, at).to(torch.int32)
        images = (total >> BITS).clamp_(0, 255).to(torch.uint8)
    return images


def _noise(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    height, width = images.shape[2:]
    places = torch.arange(3 * height * width, dtype=torch.int32, device=images.device)
    deviates = normal_batch(seeds, places.view(height, width, 3).permute(2, 0, 1))
    sigmas = _factors([255 * sigma for (sigma,) in values], images)
    return (images + sigmas * deviates).round_().clamp_(0, 255).to(torch.uint8)


def _colour(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    brightness, contrast, saturation, hue = (
        _factors(list(column), images) for column in zip(*values, strict=True)
    )
    bright = (images.float() * brightness).clamp_(0, 255)
    level = _grey(bright).mean((1, 2, 3), dtype=torch.float64, keepdim=True).float()
    vivid = (level + contrast * (bright - level)).clamp_(0, 255)
    grey = _grey(vivid)
    vivid = (grey + saturation * (vivid - grey)).clamp_(0, 255)
    turned = [i for i, value in enumerate(values) if value[3]]
    if turned:
        which = torch.tensor(turned, device=images.device)
        vivid.index_copy_(0, which, _turned(vivid[which], hue[which]))
    return vivid.round_().clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = (images[:, i : i + 1] * GREY[i] for i in range(3))
    return red + green + blue


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue, of pictures of 0 to 255."""
    from kornia.color import hsv_to_rgb, rgb_to_hsv

    hsv = rgb_to_hsv(images / 255)
    angle = torch.remainder(hsv[:, :1] + 2 * np.pi * turns, 2 * np.pi)
    turned: Tensor = hsv_to_rgb(torch.cat([angle, hsv[:, 1:]], dim=1))
    return turned * 255


def _h264(images: Tensor, values: Values, seeds: Seeds) -> Tensor:
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    pairs = zip(pictures, values, strict=True)
    coded = np.stack([h264(picture, crf) for picture, (crf,) in pairs])
    return torch.from_numpy(coded).to(images.device).permute(0, 3, 1, 2)


def _factors(values: Sequence[float], images: Tensor) -> Tensor:
    """Return (B, 1, 1, 1) float32."""
    return torch.tensor(values, dtype=torch.float32, device=images.device).view(-1, 1, 1, 1)


_DO: MappingProxyType[str, Callable[[Tensor, Values, Seeds], Tensor]] = MappingProxyType(
    {
        "jpeg": _jpeg, "blur": _blur, "resize": _resize, "noise": _noise, "colour": _colour,
        "h264": _h264,
    }
)  # fmt: skip
