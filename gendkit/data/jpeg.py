"""JPEG's loss for a batch of pictures, on any device: what encoding and decoding leave of them.

Only integers are computed with, and as libjpeg does by default (colour 4:2:0, accurate transform,
smooth upsampling of colour), so that the result is libjpeg's to the bit and does not depend on the
device or on what else is in the batch. There is no entropy coding: it loses nothing.

References
----------
ITU-T T.81 (tables K.1 and K.2); Loeffler, Ligtenberg and Moschytz, ICASSP 1989 (the transform);
the Independent JPEG Group's jfdctint.c, jidctint.c, jcsample.c, jdsample.c and jccolor.c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
)  # fmt: skip
BITS, PASS = 13, 2
"""Fraction bits of the transform's factors, and those kept between its two passes."""


def jpeg(images: Tensor, qualities: Sequence[int]) -> Tensor:
    """Return the pictures as they are after JPEG, each of its own quality.

    Parameters
    ----------
    images
        (B, 3, H, W) RGB, int32 of 0 to 255.
    qualities
        (B,) of 1 to 100.

    Returns
    -------
    Tensor
        (B, 3, H, W) int32 of 0 to 255.
    """
    height, width = images.shape[2:]
    luma, chroma = _to_ycc(_grown(images, rows=2, columns=16))
    tables = [_table(base, qualities).to(images.device) for base in (LUMA, CHROMA)]
    luma = _coded(_grown(luma[:, None], rows=8, columns=8), tables[0])
    chroma = _coded(_grown(_halved(chroma), rows=8, columns=8), tables[1])
    chroma = _doubled(chroma[..., : (height + 1) // 2, : (width + 1) // 2])
    return _to_rgb(luma[:, 0, :height, :width], chroma[..., :height, :width])


def _grown(images: Tensor, *, rows: int, columns: int) -> Tensor:
    """Repeat the last row and the last column up to multiples."""
    for dim, multiple in ((2, rows), (3, columns)):
        length = images.shape[dim]
        if length % multiple:
            grown = torch.arange(-(-length // multiple) * multiple, device=images.device)
            images = images.index_select(dim, grown.clamp(max=length - 1))
    return images


def _to_ycc(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return brightness (B, H, W) and colour (B, 2, H, W) of 0 to 255, in 16-bit fractions."""
    red, green, blue = images.unbind(1)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    middle = (128 << 16) + 32767
    cb = (-11059 * red - 21709 * green + 32768 * blue + middle) >> 16
    cr = (32768 * red - 27439 * green - 5329 * blue + middle) >> 16
    return luma, torch.stack([cb, cr], dim=1)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    cb, cr = (chroma - 128).unbind(1)
    red = luma + ((91881 * cr + 32768) >> 16)
    green = luma + ((-22554 * cb - 46802 * cr + 32768) >> 16)
    blue = luma + ((116130 * cb + 32768) >> 16)
    return torch.stack([red, green, blue], dim=1).clamp_(0, 255)


def _halved(chroma: Tensor) -> Tensor:
    """Average 2 x 2 pixels, rounding alternately down and up along a row."""
    columns = torch.arange(chroma.shape[3] // 2, device=chroma.device, dtype=chroma.dtype)
    rows = chroma[..., ::2, :] + chroma[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2] + (columns % 2 + 1)) >> 2


def _doubled(chroma: Tensor) -> Tensor:
    """Enlarge twofold by a triangle: three parts of the nearer and one of the farther pixel.

    Up to two pixels across are repeated, as libjpeg does.
    """
    if chroma.shape[-1] <= 2:
        return chroma.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    around = pad(chroma.float(), (1, 1, 1, 1), mode="replicate").to(chroma.dtype)
    here, above, below = around[..., 1:-1, :] * 3, around[..., :-2, :], around[..., 2:, :]
    rows = _alternate(here + above, here + below, dim=-2)
    here, left, right = rows[..., 1:-1] * 3, rows[..., :-2], rows[..., 2:]
    return _alternate((here + left + 8) >> 4, (here + right + 7) >> 4, dim=-1)


def _alternate(even: Tensor, odd: Tensor, *, dim: int) -> Tensor:
    """Interleave along a dimension that is counted from the end."""
    return torch.stack([even, odd], dim=dim).flatten(dim - 1, dim)


def _table(base: Sequence[int], qualities: Sequence[int]) -> Tensor:
    """Return the quantisation tables (B, 1, 1, 8, 1, 8) of some qualities."""
    quality = np.asarray(qualities, dtype=np.int64)[:, None]
    factor = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    steps: NDArray[np.int64] = ((np.asarray(base) * factor + 50) // 100).clip(1, 255)
    return torch.from_numpy(steps.astype(np.int32)).view(-1, 1, 1, 8, 1, 8)


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Transform planes (B, C, H, W) by blocks, quantise, and go back."""
    batch, channels, height, width = planes.shape
    blocks = (planes - 128).reshape(batch, channels, height // 8, 8, width // 8, 8)
    rows = _forward(blocks, dim=5, last=False)
    frequencies = _forward(rows, dim=3, last=True)
    half = 4 * table  # the transform's result is eight times as large
    levels = (frequencies.abs() + half).div(8 * table, rounding_mode="floor")
    columns = _inverse(levels * frequencies.sign() * table, dim=3, last=False)
    pixels = _inverse(columns, dim=5, last=True)
    return (pixels + 128).clamp_(0, 255).reshape(batch, channels, height, width)


def _fix(factor: float) -> int:
    return round(factor * (1 << BITS))


def _round(value: Tensor, bits: int) -> Tensor:
    return (value + (1 << (bits - 1))) >> bits


def _forward(x: Tensor, *, dim: int, last: bool) -> Tensor:
    """Transform along a dimension of 8; the first pass keeps fraction bits, the last drops them."""
    v = x.unbind(dim)
    s = [v[i] + v[7 - i] for i in range(4)]
    d = [v[i] - v[7 - i] for i in range(4)]
    even, odd = (s[0] + s[3], s[1] + s[2]), (s[0] - s[3], s[1] - s[2])
    down = BITS + PASS if last else BITS - PASS
    mid = (odd[0] + odd[1]) * _fix(0.541196100)
    if last:
        y0, y4 = _round(even[0] + even[1], PASS), _round(even[0] - even[1], PASS)
    else:
        y0, y4 = (even[0] + even[1]) << PASS, (even[0] - even[1]) << PASS
    y2 = _round(mid + odd[0] * _fix(0.765366865), down)
    y6 = _round(mid - odd[1] * _fix(1.847759065), down)
    y7, y5, y3, y1 = (_round(y, down) for y in _odd(d[3], d[2], d[1], d[0]))
    return torch.stack([y0, y1, y2, y3, y4, y5, y6, y7], dim=dim)


def _inverse(x: Tensor, *, dim: int, last: bool) -> Tensor:
    """Transform back along a dimension of 8."""
    v = x.unbind(dim)
    down = BITS + PASS + 3 if last else BITS - PASS
    mid = (v[2] + v[6]) * _fix(0.541196100)
    low, high = mid - v[6] * _fix(1.847759065), mid + v[2] * _fix(0.765366865)
    plus, minus = (v[0] + v[4]) << BITS, (v[0] - v[4]) << BITS
    even = (plus + high, minus + low, minus - low, plus - high)
    odd = _odd(v[7], v[5], v[3], v[1])[::-1]
    first = [_round(e + o, down) for e, o in zip(even, odd, strict=True)]
    second = [_round(e - o, down) for e, o in zip(even, odd, strict=True)]
    return torch.stack([*first, *reversed(second)], dim=dim)


def _odd(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotate the odd half, which is the same in both directions."""
    z5 = (a + c + b + d) * _fix(1.175875602)
    z1, z2 = (a + d) * -_fix(0.899976223), (b + c) * -_fix(2.562915447)
    z3 = (a + c) * -_fix(1.961570560) + z5
    z4 = (b + d) * -_fix(0.390180644) + z5
    return (
        a * _fix(0.298631336) + z1 + z3,
        b * _fix(2.053119869) + z2 + z4,
        c * _fix(3.072711026) + z2 + z3,
        d * _fix(1.501321110) + z1 + z4,
    )
