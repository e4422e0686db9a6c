"""Gaussian noise that is looked up by seed and place, so that it is the same on every device.

A seed and the places of numbers enter, standard normal deviates leave. A hash of 32 bits makes 16
random bits of each place, and these choose one of 65,536 quantiles of the normal distribution, the
outermost at 4.3 standard deviations. There is no generator whose state the rest of a batch moves.

References
----------
Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011 (random numbers by counting);
C. Wellons, Prospecting for hash functions, 2018 (lowbias32, the hash).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

Deviates = NDArray[np.float32]
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)


def normal(seed: Sequence[int], shape: tuple[int, ...]) -> Deviates:
    """Return standard normal deviates of a shape, by a seed of whole numbers."""
    first, second = _keys(seed)
    places = np.arange(math.prod(shape), dtype=np.uint32)
    found: Deviates = quantiles()[_hashed(_hashed(places ^ first) + second) >> np.uint32(16)]
    return found.reshape(shape)


def normal_batch(seeds: Sequence[Sequence[int]], places: Tensor) -> Tensor:
    """Return standard normal deviates (B, ...), of each seed those that `normal` gives.

    Parameters
    ----------
    seeds
        (B,) seeds.
    places
        (...) int32, each number's place in what `normal` gives, flat.
    """
    keys = np.array([_keys(seed) for seed in seeds]).astype(np.uint32).view(np.int32)
    shape = (-1, *(1 for _ in places.shape))
    first, second = (torch.from_numpy(k.copy()).to(places.device).view(shape) for k in keys.T)
    bits = _shifted(_hashed_batch(_hashed_batch(places ^ first) + second), 16)
    return torch.tensor(quantiles(), device=places.device)[bits]


@cache
def quantiles() -> Deviates:
    """Return the quantiles (65536,) at the middle of as many equal parts."""
    found: Deviates = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)
    found.setflags(write=False)
    return found


def _keys(seed: Sequence[int]) -> NDArray[np.uint32]:
    return np.asarray(np.random.SeedSequence(list(seed)).generate_state(2), np.uint32)


def _hashed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for shift, factor in zip(SHIFTS[:-1], MULTIPLIERS, strict=True):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(SHIFTS[-1]))


def _hashed_batch(x: Tensor) -> Tensor:
    """Do the same in int32, whose products wrap around to the same bits."""
    for shift, factor in zip(SHIFTS[:-1], MULTIPLIERS, strict=True):
        signed = int(np.uint32(factor).view(np.int32))
        x = (x ^ _shifted(x, shift)) * signed
    return x ^ _shifted(x, SHIFTS[-1])


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift int32 to the right and fill with zeros."""
    return (x >> bits) & ((1 << (32 - bits)) - 1)
